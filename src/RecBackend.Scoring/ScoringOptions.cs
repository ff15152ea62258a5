using System.Globalization;

namespace RecBackend.Scoring;

/// <summary>Where graphs run.</summary>
public enum ScoringProvider
{
    /// <summary>The processor.</summary>
    Cpu,

    /// <summary>An NVIDIA GPU; needs a build with <c>-p:Gpu=true</c> and the CUDA libraries.</summary>
    Cuda,
}

/// <summary>How a host runs models. Keys of the section <c>Scoring</c>.</summary>
public sealed class ScoringOptions
{
    /// <summary>Where graphs run. Never falls back to another in silence.</summary>
    public ScoringProvider Provider { get; set; } = ScoringProvider.Cpu;

    /// <summary>The GPU to use, by its CUDA number.</summary>
    public int DeviceId { get; set; }

    /// <summary>How many rankings (batches of them, where <see cref="MaxBatch"/> is more than 1) and user encodings run at once; 0 = one for each processor, and two on a GPU: one is copied while the other runs.</summary>
    public int MaxConcurrency { get; set; }

    /// <summary>How many of them may wait; the next one is rejected as overload.</summary>
    public int QueueLength { get; set; } = 256;

    /// <summary>How many rankings of like numbers of candidates run as one, rounded down to a power of two; 0 = 1 on a processor, where one at a time is quickest, and 16 on a GPU.</summary>
    public int MaxBatch { get; set; }

    /// <summary>How many microseconds a ranking waits for others to run with while the device is busy anyway. An idle device waits for nobody.</summary>
    public int BatchDelayMicroseconds { get; set; } = 1_000;

    /// <summary>Candidates of all rankings of a batch, filled up ones included: what bounds its memory. A single ranking that has more runs alone.</summary>
    public int MaxBatchCandidates { get; set; } = 65_536;

    /// <summary>How many batches of item contents are encoded, or pictures checked, at once, beside the rankings; 0 = half of the processors, at least one.</summary>
    public int EncodingConcurrency { get; set; }

    /// <summary>Item contents in one batch. A batch is what bulk work holds a processor for at a time.</summary>
    public int EncodingBatch { get; set; } = 32;

    /// <summary>Threads of one run of a graph. More than 1 helps a single caller and costs throughput.</summary>
    public int IntraOpThreads { get; set; } = 1;

    /// <summary>Whether those threads spin while they wait: lower latency for a processor that is never idle.</summary>
    public bool Spinning { get; set; }

    /// <summary>Pixels of the largest picture that is decoded.</summary>
    public int MaxImagePixels { get; set; } = 25_000_000;

    /// <summary>Bytes that an uploaded bundle may take, zipped as well as unpacked.</summary>
    public long MaxBundleBytes { get; set; } = 8L << 30;

    /// <summary><see cref="MaxConcurrency"/> with its default applied.</summary>
    public int EffectiveConcurrency => MaxConcurrency != 0 ? MaxConcurrency : Provider == ScoringProvider.Cpu ? Environment.ProcessorCount : 2;

    /// <summary>Callers that run the ranker at once and should not share a session: with it they would share its threads, where it has some, and on a GPU its memory, and those are there once.</summary>
    internal int Rankers => Provider == ScoringProvider.Cpu && IntraOpThreads == 1 ? Math.Min(EffectiveConcurrency, Environment.ProcessorCount) : 1;

    /// <summary><see cref="MaxBatch"/> with its default applied.</summary>
    public int EffectiveBatch => MaxBatch != 0 ? MaxBatch : Provider == ScoringProvider.Cpu ? 1 : 16;

    /// <summary><see cref="EncodingConcurrency"/> with its default applied.</summary>
    public int EffectiveEncodingConcurrency => EncodingConcurrency == 0 ? Math.Max(1, Environment.ProcessorCount / 2) : EncodingConcurrency;

    /// <summary>Checks every key.</summary>
    /// <exception cref="ArgumentException">A value is not possible; the message names the key.</exception>
    public void Validate()
    {
        InRange(nameof(Provider), (int)Provider, 0, (int)ScoringProvider.Cuda);
        InRange(nameof(DeviceId), DeviceId, 0, 255);
        InRange(nameof(MaxConcurrency), MaxConcurrency, 0, 4096);
        InRange(nameof(QueueLength), QueueLength, 0, 1_000_000);
        InRange(nameof(MaxBatch), MaxBatch, 0, 1024);
        InRange(nameof(BatchDelayMicroseconds), BatchDelayMicroseconds, 0, 1_000_000);
        InRange(nameof(MaxBatchCandidates), MaxBatchCandidates, 1, 1_048_576);
        InRange(nameof(EncodingConcurrency), EncodingConcurrency, 0, 4096);
        InRange(nameof(EncodingBatch), EncodingBatch, 1, 4096);
        InRange(nameof(IntraOpThreads), IntraOpThreads, 1, 1024);
        InRange(nameof(MaxImagePixels), MaxImagePixels, 1, 500_000_000);
        InRange(nameof(MaxBundleBytes), MaxBundleBytes, 1, long.MaxValue);
    }

    private static void InRange(string key, long value, long least, long most)
    {
        if (value < least || value > most)
        {
            throw new ArgumentException(string.Create(CultureInfo.InvariantCulture, $"Scoring:{key} is {value}; it must lie in {least} to {most}."), key);
        }
    }
}
