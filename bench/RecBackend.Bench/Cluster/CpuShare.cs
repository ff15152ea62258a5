using System.Globalization;
using RecBackend.Cli;

namespace RecBackend.Bench.Cluster;

/// <summary>A control group that bounds the processor time of processes: of version 1 (<c>cpu.cfs_quota_us</c>) or 2 (<c>cpu.max</c>). Needs root.</summary>
internal sealed class CpuShare : IDisposable
{
    // Short, so that who has used up his share waits for milliseconds and not for a tenth of a second.
    private const int PeriodMicroseconds = 20_000;

    private const string Root = "/sys/fs/cgroup";

    private readonly bool _second;
    private readonly string _folder;

    private CpuShare(string folder, bool second) => (_folder, _second) = (folder, second);

    /// <summary>Makes a group without a bound.</summary>
    /// <param name="name">Its name among those of this process.</param>
    /// <exception cref="CommandException">Groups cannot be made here.</exception>
    public static CpuShare Create(string name)
    {
        var second = !Directory.Exists(Path.Combine(Root, "cpu"));
        var own = File.ReadLines("/proc/self/cgroup").Select(line => line.Split(':', 3)).FirstOrDefault(line => second ? line[0] == "0" : line[1].Split(',').Contains("cpu"));
        var parent = Path.Join(second ? Root : Path.Combine(Root, "cpu"), own?[2].TrimEnd('/'));
        var share = new CpuShare(Path.Combine(parent, string.Create(CultureInfo.InvariantCulture, $"recbackend-bench-{Environment.ProcessId}-{name}")), second);
        try
        {
            if (second)
            {
                File.WriteAllText(Path.Combine(parent, "cgroup.subtree_control"), "+cpu");
            }

            Directory.CreateDirectory(share._folder);
            return share;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"a group with a share of the processor cannot be made ({e.Message}): it needs root and a cgroup file system that can be written");
        }
    }

    /// <summary>Puts a process into the group.</summary>
    public void Add(int process) => Write("cgroup.procs", process);

    /// <summary>Bounds the group to a number of cores.</summary>
    public void Limit(double cores)
    {
        var quota = (long)(cores * PeriodMicroseconds);
        if (_second)
        {
            File.WriteAllText(Path.Combine(_folder, "cpu.max"), string.Create(CultureInfo.InvariantCulture, $"{quota} {PeriodMicroseconds}"));
        }
        else
        {
            Write("cpu.cfs_period_us", PeriodMicroseconds);
            Write("cpu.cfs_quota_us", quota);
        }
    }

    /// <summary>Lets its processes go back to the group of this one, and removes it.</summary>
    public void Dispose()
    {
        foreach (var process in File.ReadAllLines(Path.Combine(_folder, "cgroup.procs")))
        {
            try
            {
                File.WriteAllText(Path.Combine(Path.GetDirectoryName(_folder)!, "cgroup.procs"), process);
            }
            catch (IOException)
            {
                // It has ended meanwhile.
            }
        }

        Directory.Delete(_folder);
    }

    private void Write(string file, long value) => File.WriteAllText(Path.Combine(_folder, file), value.ToString(CultureInfo.InvariantCulture));
}
