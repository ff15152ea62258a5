using System.Diagnostics;
using System.Globalization;
using System.Runtime;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace RecBackend.Bench.Measuring;

/// <summary>What a figure means nothing without: machine, versions, commit, time.</summary>
internal static class RunFacts
{
    public static void Print(TextWriter output, string? bundle)
    {
        output.WriteLine($"machine  {Processor()}, {Environment.ProcessorCount} cores, {Memory()}, {RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}");
        output.WriteLine($"runtime  {RuntimeInformation.FrameworkDescription}, {(GCSettings.IsServerGC ? "server" : "workstation")} GC, ONNX Runtime {OrtEnv.Instance().GetVersionString()}");
        output.WriteLine($"commit   {Commit()}, {DateTime.UtcNow.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture)} UTC");
        if (bundle is not null)
        {
            output.WriteLine($"bundle   {bundle}");
        }
    }

    private static string Processor()
    {
        const string Path = "/proc/cpuinfo";
        var line = File.Exists(Path) ? File.ReadLines(Path).FirstOrDefault(x => x.StartsWith("model name", StringComparison.Ordinal)) : null;
        return line is null ? "processor unknown" : line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
    }

    private static string Memory() =>
        string.Create(CultureInfo.InvariantCulture, $"{GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (1024.0 * 1024 * 1024):F1} GiB");

    private static string Commit()
    {
        try
        {
            var commit = Git("rev-parse --short HEAD");
            return commit.Length == 0 ? "unknown (no git)" : Git("status --porcelain --untracked-files=no").Length == 0 ? commit : commit + " with changes";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "unknown (no git)";
        }
    }

    private static string Git(string arguments)
    {
        using var git = Process.Start(new ProcessStartInfo("git", arguments)
        {
            WorkingDirectory = AppContext.BaseDirectory,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var output = git.StandardOutput.ReadToEnd();
        git.WaitForExit();
        return git.ExitCode == 0 ? output.Trim() : "";
    }
}
