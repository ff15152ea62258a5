using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.MembershipService.SiloMetadata;
using RecBackend.Core.Items;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Items;
using RecBackend.Grains.Placement;

namespace RecBackend.Grains.Catalog;

/// <summary>
/// Carries changes from the shards of this silo to the replicas of all scoring silos. While a message to a silo is under way, what comes for it gathers and travels in the next one: alone a change
/// leaves at once, under load messages grow instead of queues.
/// <para>
/// A writer waits until its change has reached every silo that answers, so that a ranking that starts after the reply sees the write wherever it lands; a silo that does not answer holds one writer
/// up once, and for <see cref="ClusterEngineOptions.CatalogPatience"/>. Delivery is not relied on: <see cref="CatalogRepair"/> finds what was lost.
/// </para>
/// </summary>
internal sealed class CatalogBroadcast(
    CatalogReplicas replicas, ReplicaFeed local, IClusterMembershipService membership, ISiloMetadataCache metadata, ILocalSiloDetails here, ClusterEngineOptions options, ILogger<CatalogBroadcast> log)
    : IItemChangeSink
{
    /// <summary>A message that has so many bytes leaves what waits to the next: a large one would delay the probes that share its connection.</summary>
    private const int MessageBytes = 2 << 20;

    /// <summary>Bytes that wait for a silo, beyond which changes for it are dropped: it will have to be repaired anyway.</summary>
    private const long MostWaiting = 64 << 20;

    private readonly ConcurrentDictionary<SiloAddress, Sender> _senders = new();

    public async Task TellAsync(IReadOnlyList<ItemChange> changes)
    {
        if (changes.Count == 0)
        {
            return;
        }

        local.Publish([.. changes]);
        var others = membership.CurrentSnapshot.Members.Values.Where(MayScore).Select(silo => _senders.GetOrAdd(silo.SiloAddress, address => new(address, this))).ToList();
        if (others.Count > 0)
        {
            ItemChangeMessage[] messages = [.. changes.Select(ItemChangeMessage.Of)];
            await Task.WhenAll(others.Select(silo => silo.SendAsync(messages)));
        }
    }

    // Of a silo that has just joined the roles may not be known here yet.
    private bool MayScore(ClusterMember silo) =>
        silo.Status == SiloStatus.Active && !silo.SiloAddress.Equals(here.SiloAddress) && metadata.RolesOf(silo.SiloAddress) is var roles && (roles == SiloRole.None || roles.HasFlag(SiloRole.Scoring));

    /// <summary>The way to one silo.</summary>
    private sealed class Sender(SiloAddress to, CatalogBroadcast broadcast)
    {
        private readonly Lock _lock = new();
        private readonly Queue<Parcel> _waiting = new();
        private long _bytes;
        private bool _sending;
        private volatile bool _late;

        /// <summary>Ends when the changes have arrived, or nobody should wait for them.</summary>
        public async Task SendAsync(ItemChangeMessage[] changes)
        {
            var parcel = new Parcel(changes);
            lock (_lock)
            {
                if (_bytes > MostWaiting)
                {
                    return;
                }

                _waiting.Enqueue(parcel);
                _bytes += parcel.Bytes;
                if (!_sending)
                {
                    _sending = true;
                    _ = Task.Run(WorkAsync);
                }
            }

            if (!_late)
            {
                try
                {
                    await parcel.Sent.Task.WaitAsync(broadcast.Patience);
                }
                catch (TimeoutException)
                {
                    _late = true;
                }
            }
        }

        private async Task WorkAsync()
        {
            while (Take() is { Count: > 0 } parcels)
            {
                ItemChangeMessage[] changes = [.. parcels.SelectMany(parcel => parcel.Changes)];
                try
                {
                    await broadcast.Replica(to).ApplyAsync(new Immutable<ItemChangeMessage[]>(changes));
                    _late = false;
                }
                catch (Exception error)
                {
                    broadcast.Lost(to, changes.Length, error);
                }

                parcels.ForEach(parcel => parcel.Sent.SetResult());
            }
        }

        /// <summary>What the next message carries; nothing ends the work.</summary>
        private List<Parcel> Take()
        {
            var taken = new List<Parcel>();
            lock (_lock)
            {
                for (var bytes = 0L; bytes < MessageBytes && _waiting.TryDequeue(out var parcel); bytes += parcel.Bytes)
                {
                    taken.Add(parcel);
                    _bytes -= parcel.Bytes;
                }

                _sending = taken.Count > 0;
                return taken;
            }
        }
    }

    /// <summary>The changes of one writer.</summary>
    private sealed class Parcel(ItemChangeMessage[] changes)
    {
        public ItemChangeMessage[] Changes => changes;

        public long Bytes { get; } = changes.Sum(change => change.Size());

        public TaskCompletionSource Sent { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private TimeSpan Patience => options.CatalogPatience;

    private ICatalogReplica Replica(SiloAddress silo) => replicas[silo];

    private void Lost(SiloAddress silo, int changes, Exception error)
    {
        log.LogWarning("{Count} changes did not reach the catalogue of {Silo}, which will find them by itself: {Error}", changes, silo, error.Message);
        if (membership.CurrentSnapshot.GetSiloStatus(silo) is SiloStatus.Dead)
        {
            _senders.TryRemove(silo, out _);
        }
    }
}
