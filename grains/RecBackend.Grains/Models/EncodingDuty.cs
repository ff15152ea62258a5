using System.Text;
using RecBackend.Core;
using RecBackend.Core.Catalog;
using RecBackend.Core.Models;

namespace RecBackend.Grains.Models;

/// <summary>Spreads what is to be encoded over the scoring silos, by the hash of the item.</summary>
internal sealed class EncodingDuty(IScoringSilos silos, ILocalSiloDetails here, TimeProvider clock) : IEncodingDuty
{
    // Membership changes seldom, and items by the thousand.
    private static readonly TimeSpan Fresh = TimeSpan.FromMilliseconds(500);

    private Share _share = new(0, 1, null);

    public bool IsMine(string item)
    {
        var share = _share;
        if (share.Since is not { } since || clock.GetElapsedTime(since) > Fresh)
        {
            SiloAddress[] all = [.. silos.Active.Keys.Append(here.SiloAddress).Distinct().Order()];
            _share = share = new(Array.IndexOf(all, here.SiloAddress), all.Length, clock.GetTimestamp());
        }

        // Other bits of the hash than those that choose the shard.
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        return (IdHash.Stable(utf8[..Encoding.UTF8.GetBytes(item, utf8)]) >> 32) % (ulong)share.Count == (ulong)share.Place;
    }

    private sealed record Share(int Place, int Count, long? Since);
}
