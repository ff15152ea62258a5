using System.Net;
using System.Text;
using RecBackend.Core.Catalog;

namespace RecBackend.Grains.Placement;

/// <summary>
/// Which entity silo each shard of the items belongs on: of those that have not got their part yet, the one that a hash of both rates highest (rendezvous hashing with bounds).
/// So silos that know of the same silos agree without asking each other, and their shards differ by one at most. Evenness has its price: more shards move than the part of the silo that comes or goes.
/// </summary>
internal sealed class ShardHomes(Func<IEnumerable<SiloAddress>> entitySilos, int shards, TimeProvider clock)
{
    private readonly Lock _lock = new();
    private SiloAddress[] _silos = [];
    private SiloAddress[] _homes = [];
    private long _since = clock.GetTimestamp();
    private int _held;
    private int _moving;

    /// <summary>Shards that this silo has loaded.</summary>
    public int Held => Volatile.Read(ref _held);

    /// <summary>Counts a shard that this silo has loaded, or has let go.</summary>
    public void Hold(int change) => Interlocked.Add(ref _held, change);

    /// <summary>Where the shard belongs by the silos that are known now; null if none can hold it.</summary>
    public SiloAddress? Of(int shard)
    {
        lock (_lock)
        {
            Refresh();
            return HomeOf(shard);
        }
    }

    /// <summary>Whether the shard, which is on this silo, belongs on another, and the silos have been the same for so long that it should move there.</summary>
    public bool ShouldMove(SiloAddress silo, int shard, TimeSpan settled)
    {
        lock (_lock)
        {
            Refresh();
            return clock.GetElapsedTime(_since) >= settled && HomeOf(shard) is { } home && !home.Equals(silo);
        }
    }

    /// <summary>Whether a shard of this silo may begin to move: one at a time, so that none waits closed for others to load. It says when it has gone: <see cref="EndMove"/>.</summary>
    public bool TryBeginMove() => Interlocked.CompareExchange(ref _moving, 1, 0) == 0;

    /// <summary>Ends what <see cref="TryBeginMove"/> began.</summary>
    public void EndMove() => Volatile.Write(ref _moving, 0);

    /// <summary>The home of each of so many shards, for silos in any order.</summary>
    public static SiloAddress[] Assign(int shards, IReadOnlyCollection<SiloAddress> silos)
    {
        // So many silos have one more than the others.
        var (part, more) = Math.DivRem(shards, silos.Count);
        var loads = silos.Select(silo => (Silo: silo, Key: KeyOf(silo.Endpoint))).OrderBy(one => one.Key, StringComparer.Ordinal).Select(one => new Load(one.Silo, one.Key)).ToArray();
        var homes = new SiloAddress[shards];
        for (var shard = 0; shard < shards; shard++)
        {
            var home = loads.Where(load => load.Shards < part || (load.Shards == part && more > 0)).MaxBy(load => Rate(shard, load.Key))!;
            more -= home.Shards++ == part ? 1 : 0;
            homes[shard] = home.Silo;
        }

        return homes;
    }

    // A grain of another number of shards than this silo's is placed too: it refuses to load, and says why.
    private SiloAddress? HomeOf(int shard) => _homes.Length == 0 ? null : _homes[shard % _homes.Length];

    private void Refresh()
    {
        SiloAddress[] silos = [.. entitySilos().Order()];
        if (!silos.SequenceEqual(_silos))
        {
            (_silos, _homes, _since) = (silos, silos.Length == 0 ? [] : Assign(shards, silos), clock.GetTimestamp());
        }
    }

    // Without its generation: a silo that starts again at the same address gets the same shards.
    private static string KeyOf(IPEndPoint endpoint) => endpoint.ToString();

    private static ulong Rate(int shard, string silo) => IdHash.Stable(Encoding.UTF8.GetBytes($"{shard} {silo}"));

    private sealed class Load(SiloAddress silo, string key)
    {
        public SiloAddress Silo => silo;

        public string Key => key;

        public int Shards { get; set; }
    }
}
