using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace RecBackend.Scoring.Bundles;

/// <summary>Writes that survive a power cut: contents first, then the names that lead to them.</summary>
internal static partial class DurableFiles
{
    private const int ReadOnly = 0;

    /// <summary>Puts a file in the place of another, all or nothing.</summary>
    public static void Replace(string path, ReadOnlySpan<byte> content)
    {
        var fresh = path + ".new";
        using (var file = new FileStream(fresh, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            file.Write(content);
            file.Flush(flushToDisk: true);
        }

        File.Move(fresh, path, overwrite: true);
        FlushFolder(Path.GetDirectoryName(path)!);
    }

    /// <summary>Flushes the files of a folder and then moves it.</summary>
    public static void MoveFolder(string from, string to)
    {
        foreach (var path in Directory.EnumerateFiles(from))
        {
            using var file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
            RandomAccess.FlushToDisk(file);
        }

        FlushFolder(from);
        Directory.Move(from, to);
        FlushFolder(Path.GetDirectoryName(to)!);
    }

    /// <summary>Makes the names in a folder durable. Windows does so by itself, and cannot open a folder for it.</summary>
    private static void FlushFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        using var handle = new SafeFileHandle(Open(folder, ReadOnly), ownsHandle: true);
        if (handle.IsInvalid || Flush(handle) != 0)
        {
            throw new IOException($"The folder {folder} cannot be flushed to disk: {Marshal.GetLastPInvokeErrorMessage()}.");
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial IntPtr Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Flush(SafeFileHandle folder);
}
