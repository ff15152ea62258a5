using System.Runtime.InteropServices;
using RecBackend.Cli;

namespace RecBackend.Bench.Processes;

/// <summary>Some of the machine's processors for this thread, and so for the programs that it starts, until it is disposed of on the same thread.</summary>
internal sealed partial class ProcessorShare : IDisposable
{
    private readonly ulong _before;

    private ProcessorShare(ulong processors)
    {
        if (GetAffinity(0, sizeof(ulong), out _before) < 0 || SetAffinity(0, sizeof(ulong), processors) != 0)
        {
            throw new CommandException("the system does not let processors be chosen (sched_setaffinity)");
        }
    }

    /// <summary>All processors but the last.</summary>
    public static ProcessorShare AllButLast() => new((1UL << Last) - 1);

    /// <summary>The last processor.</summary>
    public static ProcessorShare OfLast() => new(1UL << Last);

    // Of one word's worth, which is enough for the machines that this is for.
    private static int Last => Environment.ProcessorCount is > 1 and <= 64 and var count
        ? count - 1
        : throw new CommandException($"two sides apart need 2 to 64 processors, not {Environment.ProcessorCount}");

    public void Dispose() => _ = SetAffinity(0, sizeof(ulong), _before);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int SetAffinity(int thread, nint size, in ulong processors);

    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int GetAffinity(int thread, nint size, out ulong processors);
}
