namespace RecBackend.Grains.Items;

/// <summary>How many shards of a silo do at once what takes memory: after a silo has died, the others load its shards all together, and shards of even load are merged together.</summary>
internal sealed class ShardTurns(int loads = 8, int merges = 2) : IDisposable
{
    private readonly SemaphoreSlim _loads = new(loads);
    private readonly SemaphoreSlim _merges = new(merges);

    /// <summary>Waits for a turn to load, which ends when it is disposed of.</summary>
    public Task<IDisposable> LoadAsync(CancellationToken cancellation) => TakeAsync(_loads, cancellation);

    /// <summary>Waits for a turn to merge, which ends when it is disposed of.</summary>
    public Task<IDisposable> MergeAsync(CancellationToken cancellation) => TakeAsync(_merges, cancellation);

    public void Dispose()
    {
        _loads.Dispose();
        _merges.Dispose();
    }

    private static async Task<IDisposable> TakeAsync(SemaphoreSlim turns, CancellationToken cancellation)
    {
        await turns.WaitAsync(cancellation);
        return new Turn(turns);
    }

    private sealed class Turn(SemaphoreSlim turns) : IDisposable
    {
        public void Dispose() => turns.Release();
    }
}
