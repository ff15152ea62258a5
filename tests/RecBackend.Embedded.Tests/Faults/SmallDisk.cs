using System.Diagnostics;

namespace RecBackend.Embedded.Tests.Faults;

/// <summary>A file system of a few megabytes, in memory. Needs Linux and root; a test that wants one is skipped elsewhere, with the reason.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly TemporaryDirectory _mountPoint = new();

    public SmallDisk(int megabytes)
    {
        try
        {
            Skip.IfNot(OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess, "Mounting a small file system needs Linux and root.");
            var (code, error) = Run("mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "none", Path);
            Skip.IfNot(code == 0, $"A small file system cannot be mounted here: {error}");
        }
        catch
        {
            _mountPoint.Dispose();
            throw;
        }
    }

    public string Path => _mountPoint.Path;

    private string Ballast => System.IO.Path.Combine(Path, "ballast");

    /// <summary>Leaves no free byte.</summary>
    public void Fill()
    {
        using var file = new FileStream(Ballast, FileMode.Append, FileAccess.Write, FileShare.None, bufferSize: 0);
        foreach (var block in new[] { 65_536, 4_096 })
        {
            try
            {
                while (true)
                {
                    file.Write(new byte[block]);
                }
            }
            catch (IOException)
            {
                // Full, for blocks of this size.
            }
        }
    }

    public void Free() => File.Delete(Ballast);

    public void MakeReadOnly() => Assert.Equal((0, ""), Run("mount", "-o", "remount,ro", Path));

    public void Dispose()
    {
        Run("umount", "--lazy", Path);
        _mountPoint.Dispose();
    }

    private static (int Code, string Error) Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, error.Trim());
    }
}
