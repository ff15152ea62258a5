using System.Diagnostics;
using System.Globalization;
using RecBackend.Bench.Measuring;
using RecBackend.Core.Models;

namespace RecBackend.Bench.Rank;

/// <summary>What the ranker's arithmetic alone costs on this machine: the limit that servers are compared with.</summary>
/// <param name="P50">Microseconds of a call on one thread, while nothing else of this run works.</param>
/// <param name="P99">Of the same calls.</param>
/// <param name="ProcessorMicroseconds">Processor time of such a call.</param>
/// <param name="OneThread">Such calls a second.</param>
/// <param name="Cores">How many cores the server may use: all, unless the run says otherwise.</param>
/// <param name="AllCores">Calls a second of as many threads as there are such cores, each with a session of its own, all at once: what the machine can rank.</param>
internal sealed record BareLimit(double P50, double P99, double ProcessorMicroseconds, double OneThread, int Cores, double AllCores)
{
    private const int MostCalls = 1_000_000;
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(0.5);

    /// <summary>Measures for <paramref name="length"/> on one thread and then on all cores.</summary>
    /// <param name="bundle">Folder of the bundle.</param>
    /// <param name="layout">Its sizes.</param>
    /// <param name="tensors">Recorded from the pipeline; each thread runs on one of them.</param>
    /// <param name="length">Of each of the two.</param>
    /// <param name="cores">How many cores; 0 = all.</param>
    public static BareLimit Measure(string bundle, ModelLayout layout, IReadOnlyList<RankTensors> tensors, TimeSpan length, int cores = 0)
    {
        cores = cores == 0 ? Environment.ProcessorCount : cores;
        var (alone, processor) = Run(bundle, layout, tensors, length, threads: 1);
        var (together, _) = Run(bundle, layout, tensors, length, cores);
        return new BareLimit(
            alone[0].Percentile(0.5),
            alone[0].Percentile(0.99),
            processor.TotalMicroseconds / alone[0].Count,
            alone[0].Count / length.TotalSeconds,
            cores,
            together.Sum(x => x.Count) / length.TotalSeconds);
    }

    /// <summary>The mean of two, taken before and after what they are compared with.</summary>
    public static BareLimit Mean(BareLimit a, BareLimit b) => new(
        (a.P50 + b.P50) / 2, (a.P99 + b.P99) / 2, (a.ProcessorMicroseconds + b.ProcessorMicroseconds) / 2, (a.OneThread + b.OneThread) / 2, a.Cores, (a.AllCores + b.AllCores) / 2);

    /// <summary>One line.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"p50 {P50:F0} µs, p99 {P99:F0} µs, CPU {ProcessorMicroseconds:F0} µs, {OneThread:F0}/s on one thread; {AllCores:F0}/s on {Cores} cores");

    /// <returns>Latencies of each thread, and the processor time of all.</returns>
    private static (LatencySample[] Samples, TimeSpan Processor) Run(string bundle, ModelLayout layout, IReadOnlyList<RankTensors> tensors, TimeSpan length, int threads)
    {
        var samples = Enumerable.Range(0, threads).Select(_ => new LatencySample(MostCalls)).ToArray();
        var processor = TimeSpan.Zero;
        using var begin = new Barrier(threads, _ => processor = Environment.CpuUsage.TotalTime);
        using var end = new Barrier(threads, _ => processor = Environment.CpuUsage.TotalTime - processor);
        var workers = samples.Select((sample, i) => Task.Factory.StartNew(() => Work(i, sample), TaskCreationOptions.LongRunning)).ToArray();
        Task.WaitAll(workers);
        return (samples, processor);

        void Work(int thread, LatencySample sample)
        {
            var taken = tensors[thread % tensors.Count];
            using var ranker = new BareRanker(bundle, layout, taken.Candidates);
            ranker.Fill(taken);
            for (var clock = Stopwatch.StartNew(); clock.Elapsed < WarmUp;)
            {
                ranker.Run();
            }

            ranker.Check(taken);
            begin.SignalAndWait();
            var stop = Stopwatch.GetTimestamp() + (long)(length.TotalSeconds * Stopwatch.Frequency);
            for (var now = Stopwatch.GetTimestamp(); now < stop;)
            {
                ranker.Run();
                var after = Stopwatch.GetTimestamp();
                sample.Add(after - now);
                now = after;
            }

            end.SignalAndWait();
        }
    }
}
