using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Users;

namespace RecBackend.Grains.Counting;

/// <inheritdoc cref="ICountRoster"/>
[Reentrant]
internal sealed class CountRoster(GrainId id, Silo silo, ILoggerFactory loggers, RosterBook book) : GrainService(id, silo, loggers), ICountRoster
{
    public Task NoteAsync(SiloAddress silo, RosterEntry[] entries)
    {
        book.Note(silo, entries);
        return Task.CompletedTask;
    }

    public Task ForgetAsync(SiloAddress silo, CountBatch counted, long through)
    {
        book.Forget(silo, counted, through);
        return Task.CompletedTask;
    }
}

/// <summary>The rosters that this silo keeps for others, and what it does when one of them is dead: it wakes the users of its last batches, who then see to it that they are counted.</summary>
internal sealed class RosterBook : IAsyncDisposable
{
    private const int AtOnce = 16;

    private readonly IGrainFactory _grains;
    private readonly IClusterMembershipService _membership;
    private readonly ILogger _log;
    private readonly ConcurrentDictionary<SiloAddress, ConcurrentDictionary<RosterEntry, byte>> _rosters = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationToken _stopped;
    private Task _watch = Task.CompletedTask;
    private int _disposed;

    public RosterBook(IGrainFactory grains, IClusterMembershipService membership, ILogger<RosterBook> log)
    {
        (_grains, _membership, _log) = (grains, membership, log);
        _stopped = _stop.Token;
    }

    public void Start() => _watch = Task.Run(WatchAsync);

    public void Note(SiloAddress silo, RosterEntry[] entries)
    {
        var roster = _rosters.GetOrAdd(silo, _ => new());
        foreach (var entry in entries)
        {
            roster[entry] = 0;
        }

        // What it sent last may come after its death was seen.
        if (_membership.CurrentSnapshot.GetSiloStatus(silo) is SiloStatus.Dead)
        {
            _ = Task.Run(() => EndAsync(silo), _stopped);
        }
    }

    /// <param name="silo">Whose roster it is.</param>
    /// <param name="counted">A batch that is counted.</param>
    /// <param name="through">The number through which all batches of its incarnation are.</param>
    public void Forget(SiloAddress silo, CountBatch counted, long through)
    {
        if (_rosters.TryGetValue(silo, out var roster))
        {
            foreach (var entry in roster.Keys.Where(entry => entry.Batch == counted || (entry.Batch.Incarnation == counted.Incarnation && entry.Batch.Number <= through)))
            {
                roster.TryRemove(entry, out _);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            await _stop.CancelAsync();
            await _watch;
            _stop.Dispose();
        }
    }

    private async Task WatchAsync()
    {
        try
        {
            await foreach (var snapshot in _membership.MembershipUpdates.WithCancellation(_stopped))
            {
                foreach (var silo in _rosters.Keys.Where(silo => snapshot.GetSiloStatus(silo) is SiloStatus.Dead))
                {
                    await EndAsync(silo);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    private Task EndAsync(SiloAddress silo) =>
        _rosters.TryRemove(silo, out var roster) ? WakeAsync(silo, [.. roster.Keys.Select(entry => entry.User).Distinct()]) : Task.CompletedTask;

    private async Task WakeAsync(SiloAddress silo, string[] users)
    {
        if (users.Length == 0)
        {
            return;
        }

        _log.LogInformation("{Silo} is dead; {Count} users whose last counts it may not have sent are woken", silo, users.Length);
        var options = new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = _stopped };
        await Parallel.ForEachAsync(users, options, async (user, cancellation) =>
        {
            try
            {
                var grain = _grains.GetGrain<IUserGrain>(user);
                await GrainCall.TryAgainAsync(grain.ReadAsync, cancellation);
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                _log.LogWarning(error, "A user could not be woken; its counts reach their items when it is active next");
            }
        });
    }
}

/// <summary>Tells another silo whose counts this one is about to send. What gathers while a message is under way travels in the next one.</summary>
internal sealed class RosterSender(IServiceProvider services, IClusterMembershipService membership, ILocalSiloDetails here) : GrainServiceClient<ICountRoster>(services), IRoster
{
    /// <summary>A peer that does not answer holds nobody up.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private List<RosterEntry> _waiting = [];
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _sending;

    /// <summary>Ends when another silo knows, or cannot be told.</summary>
    public async Task NoteAsync(RosterEntry entry)
    {
        Task sent;
        lock (_lock)
        {
            _waiting.Add(entry);
            sent = _next.Task;
            if (!_sending)
            {
                _sending = true;
                _ = Task.Run(WorkAsync);
            }
        }

        await sent.WaitAsync(Patience).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
    }

    /// <summary>Lets all silos forget what is counted.</summary>
    public Task ForgetAsync(CountBatch counted, long through) => Task.WhenAll(Others().Select(async silo =>
    {
        try
        {
            await GetGrainService(silo).ForgetAsync(here.SiloAddress, counted, through);
        }
        catch (Exception)
        {
            // It forgets with the next batch, or wakes users in vain.
        }
    }));

    private async Task WorkAsync()
    {
        while (true)
        {
            RosterEntry[] entries;
            TaskCompletionSource sent;
            lock (_lock)
            {
                if (_waiting.Count == 0)
                {
                    _sending = false;
                    return;
                }

                (entries, _waiting) = ([.. _waiting], []);
                (sent, _next) = (_next, new(TaskCreationOptions.RunContinuationsAsynchronously));
            }

            try
            {
                // The next silo after this one, so that each keeps the roster of one other.
                var others = Others();
                var peer = others.Find(silo => silo.CompareTo(here.SiloAddress) > 0) ?? others.FirstOrDefault();
                if (peer is not null)
                {
                    await GetGrainService(peer).NoteAsync(here.SiloAddress, entries);
                }
            }
            catch (Exception)
            {
                // A roster is a help, not a promise.
            }

            sent.SetResult();
        }
    }

    private List<SiloAddress> Others() =>
    [
        .. membership.CurrentSnapshot.Members.Values
            .Where(silo => silo.Status == SiloStatus.Active && !silo.SiloAddress.Equals(here.SiloAddress))
            .Select(silo => silo.SiloAddress)
            .Order(),
    ];
}
