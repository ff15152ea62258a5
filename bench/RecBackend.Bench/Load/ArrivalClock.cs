using System.Diagnostics;
using System.Runtime.InteropServices;

namespace RecBackend.Bench.Load;

/// <summary>The clock of arrivals and latencies, in ticks of <see cref="Stopwatch"/>. Tests have one that they move.</summary>
internal abstract class ArrivalClock
{
    /// <summary>Now.</summary>
    public abstract long Now { get; }

    /// <summary>Returns at <paramref name="moment"/> or as soon as possible after it.</summary>
    public abstract void SleepUntil(long moment);
}

/// <summary>
/// The machine's clock. A sleep is the kernel's, to some tens of microseconds: .NET's own waits are of whole milliseconds, as long as a ranking takes, and spinning would take a processor from
/// the server under test.
/// </summary>
internal sealed partial class KernelClock : ArrivalClock
{
    private const int SetTimerSlack = 29;
    private const int FirstInFirstOut = 1;
    private const long NanosecondsPerSecond = 1_000_000_000;

    public override long Now => Stopwatch.GetTimestamp();

    /// <summary>Asks the kernel not to put off this thread's wake-ups; its default is to gather those within 50 microseconds.</summary>
    public static void WakeThisThreadPromptly() => _ = Control(SetTimerSlack, 1, 0, 0, 0);

    /// <summary>
    /// Gives this thread, and those that it starts, the processor the moment they want it (SCHED_FIFO), if the user may have that. Callers on other machines would not wait for the server to let a
    /// processor go, which can take the whole of a scheduler's tick, and what is issued late counts against the server.
    /// </summary>
    /// <returns>Whether the user may.</returns>
    public static bool GoBeforeOthers() => SetScheduler(0, FirstInFirstOut, priority: 1) == 0;

    public override void SleepUntil(long moment)
    {
        // Again after a signal, which ends a sleep early.
        for (var left = moment - Now; left > 0; left = moment - Now)
        {
            var nanoseconds = (long)(left * ((double)NanosecondsPerSecond / Stopwatch.Frequency));
            var span = new TimeSpec { Seconds = (nint)(nanoseconds / NanosecondsPerSecond), Nanoseconds = (nint)(nanoseconds % NanosecondsPerSecond) };
            _ = Sleep(span, 0);
        }
    }

    [LibraryImport("libc", EntryPoint = "nanosleep")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Sleep(in TimeSpec span, nint left);

    [LibraryImport("libc", EntryPoint = "prctl")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Control(int option, nuint value, nuint unused3, nuint unused4, nuint unused5);

    [LibraryImport("libc", EntryPoint = "sched_setscheduler")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int SetScheduler(int thread, int policy, in int priority);

    private struct TimeSpec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }
}
