using System.Diagnostics;
using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Ingest;

/// <summary>What durability costs at least on a disk: appending 4 KiB to a file and waiting until the disk says that it has it.</summary>
internal static class DiskFlush
{
    private const int Flushes = 200;

    public static LatencySample Measure(string folder)
    {
        var path = Path.Combine(folder, "flush");
        var sample = new LatencySample(Flushes);
        var block = new byte[4096];
        using (var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0))
        {
            for (var i = 0; i < Flushes; i++)
            {
                var start = Stopwatch.GetTimestamp();
                file.Write(block);
                file.Flush(flushToDisk: true);
                sample.Add(Stopwatch.GetTimestamp() - start);
            }
        }

        File.Delete(path);
        return sample;
    }
}
