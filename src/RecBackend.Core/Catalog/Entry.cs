using System.Runtime.InteropServices;
using RecBackend.Core.Items;

namespace RecBackend.Core.Catalog;

/// <summary>
/// What the catalogue knows of one ID, beside its row. An entry belongs to its ID for ever; a row belongs to an entry as long as the entry says so.
/// <para>
/// <see cref="Sequence"/> is a sequence lock (as in the Linux kernel): odd while a writer is at work, and raised by every write. A reader copies, then looks whether the sequence is still
/// the even number that it was. Since a row changes its owner only after its old owner's sequence was raised, that one comparison also proves that the row was this ID's all along.
/// </para>
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal struct Entry
{
    /// <summary>The <see cref="Row"/> of an entry without one.</summary>
    public const int NoRow = -1;

    /// <summary>A version below all others.</summary>
    public const long NeverWritten = long.MinValue;

    /// <summary>Odd while a write goes on.</summary>
    public int Sequence;

    /// <summary>Number of the row, or <see cref="NoRow"/>.</summary>
    public int Row;

    /// <summary>Where the ID's bytes begin, in the arenas. Never changes.</summary>
    public uint IdAddress;

    /// <summary>Length of the ID in bytes. Never changes.</summary>
    public byte IdLength;

    /// <summary>Whether training did not know the item.</summary>
    public bool Cold;

    /// <summary>Item version of the row, or of its deletion.</summary>
    public long RowVersion;

    /// <summary>Item version of the counters. Apart from <see cref="RowVersion"/>, so that rows and counters may arrive in any order.</summary>
    public long CountersVersion;

    /// <summary>What events have counted.</summary>
    public ItemCounters Counters;

    /// <summary>The highest item version that the entry knows.</summary>
    public readonly long Version => Math.Max(RowVersion, CountersVersion);

    /// <summary>What digests are of.</summary>
    public readonly ItemVersions Versions => new(Version, RowVersion);

    /// <summary>Tells readers that what they copy from now on is not to be used.</summary>
    public void BeginWrite()
    {
        Sequence++;
        Volatile.WriteBarrier();
    }

    /// <summary>Lets readers use what they copy.</summary>
    public void EndWrite() => Volatile.Write(ref Sequence, Sequence + 1);
}
