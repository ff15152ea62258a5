namespace RecBackend.Scoring.Onnx;

/// <summary>Counts who uses something, so that it is torn down only after the last one has left.</summary>
internal sealed class UseCount
{
    private readonly TaskCompletionSource _unused = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Users, and one for the owner until it ends.</summary>
    private int _count = 1;

    private int _ended;

    /// <summary>Enters. Each entry is followed by one <see cref="Leave"/>.</summary>
    /// <exception cref="ObjectDisposedException">The owner has ended it.</exception>
    public void Enter(object owner)
    {
        var count = Volatile.Read(ref _count);
        while (true)
        {
            ObjectDisposedException.ThrowIf(count == 0 || Volatile.Read(ref _ended) != 0, owner);
            var seen = Interlocked.CompareExchange(ref _count, count + 1, count);
            if (seen == count)
            {
                return;
            }

            count = seen;
        }
    }

    public void Leave()
    {
        if (Interlocked.Decrement(ref _count) == 0)
        {
            _unused.SetResult();
        }
    }

    /// <summary>Lets nobody in any more. Completes when the last has left; for the first caller only it is true, and that one tears down.</summary>
    public async Task<bool> EndAsync()
    {
        var isFirst = Interlocked.Exchange(ref _ended, 1) == 0;
        if (isFirst)
        {
            Leave();
        }

        await _unused.Task;
        return isFirst;
    }
}
