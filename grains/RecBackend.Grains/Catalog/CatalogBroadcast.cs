using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using RecBackend.Core.Items;
using RecBackend.Grains.Items;

namespace RecBackend.Grains.Catalog;

/// <summary>
/// Carries changes from the shards of this silo to the replicas of all silos. While a message to a silo is under way, what comes for it gathers and travels in the next one: alone a change leaves at
/// once, under load messages grow instead of queues.
/// <para>
/// A writer waits until its change has reached every silo that answers, so that a ranking that starts after the reply sees the write wherever it lands; a silo that does not answer holds nobody up
/// for long. Delivery is not relied on: the comparison of digests finds what was lost.
/// </para>
/// </summary>
internal sealed class CatalogBroadcast(CatalogReplicas replicas, ReplicaFeed local, IClusterMembershipService membership, ILocalSiloDetails here, ILogger<CatalogBroadcast> log)
    : IItemChangeSink
{
    /// <summary>How long a writer waits for a silo.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(500);

    /// <summary>Changes for a silo that does not answer, beyond which they are dropped: it will have to be repaired anyway.</summary>
    private const int MostWaiting = 100_000;

    private readonly ConcurrentDictionary<SiloAddress, Sender> _senders = new();

    public async Task TellAsync(IReadOnlyList<ItemChange> changes)
    {
        if (changes.Count == 0)
        {
            return;
        }

        local.Publish([.. changes]);
        var others = membership.CurrentSnapshot.Members.Values.Where(silo => silo.Status == SiloStatus.Active && !silo.SiloAddress.Equals(here.SiloAddress)).ToList();
        if (others.Count == 0)
        {
            return;
        }

        ItemChangeMessage[] messages = [.. changes.Select(ItemChangeMessage.Of)];
        var sent = Task.WhenAll(others.Select(silo => _senders.GetOrAdd(silo.SiloAddress, address => new(address, this)).SendAsync(messages)));
        await sent.WaitAsync(Patience).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
    }

    /// <summary>The way to one silo.</summary>
    private sealed class Sender(SiloAddress to, CatalogBroadcast broadcast)
    {
        private readonly Lock _lock = new();
        private List<ItemChangeMessage> _waiting = [];
        private TaskCompletionSource _next = New();
        private bool _sending;

        /// <summary>Ends when the changes have arrived, or are given up.</summary>
        public Task SendAsync(ItemChangeMessage[] changes)
        {
            lock (_lock)
            {
                if (_waiting.Count > MostWaiting)
                {
                    return Task.CompletedTask;
                }

                _waiting.AddRange(changes);
                var sent = _next.Task;
                if (!_sending)
                {
                    _sending = true;
                    _ = Task.Run(WorkAsync);
                }

                return sent;
            }
        }

        private async Task WorkAsync()
        {
            while (true)
            {
                ItemChangeMessage[] changes;
                TaskCompletionSource sent;
                lock (_lock)
                {
                    if (_waiting.Count == 0)
                    {
                        _sending = false;
                        return;
                    }

                    (changes, _waiting) = ([.. _waiting], []);
                    (sent, _next) = (_next, New());
                }

                try
                {
                    await broadcast.Replica(to).ApplyAsync(new Immutable<ItemChangeMessage[]>(changes));
                }
                catch (Exception error)
                {
                    broadcast.Lost(to, changes.Length, error);
                }

                sent.SetResult();
            }
        }

        private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private ICatalogReplica Replica(SiloAddress silo) => replicas[silo];

    private void Lost(SiloAddress silo, int changes, Exception error)
    {
        log.LogWarning("{Count} changes did not reach the catalogue of {Silo}, which will find them by its digests: {Error}", changes, silo, error.Message);
        if (membership.CurrentSnapshot.GetSiloStatus(silo) is SiloStatus.Dead)
        {
            _senders.TryRemove(silo, out _);
        }
    }
}
