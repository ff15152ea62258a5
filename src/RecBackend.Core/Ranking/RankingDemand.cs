namespace RecBackend.Core.Ranking;

/// <summary>How many rankings wait for a thread to run on: what other work gives way to. One for each process; thread-safe.</summary>
public sealed class RankingDemand
{
    private int _waiting;

    /// <summary>How many wait.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Counts rankings that begin to wait, or with a negative number, that no longer do.</summary>
    public void Add(int rankings) => Interlocked.Add(ref _waiting, rankings);
}
