using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;

namespace RecBackend.Core.Catalog;

/// <summary>64-bit hash of an ID by folded multiplication, after wyhash (W. Yi, final version 4).</summary>
internal static class IdHash
{
    private const ulong Secret0 = 0xa0761d6478bd642f;
    private const ulong Secret1 = 0xe7037ed1a0b428db;

    // Callers choose IDs. Without a secret they could choose a million that fall into one place of the table.
    private static readonly ulong ProcessSeed = BinaryPrimitives.ReadUInt64LittleEndian(RandomNumberGenerator.GetBytes(8));

    /// <summary>The hash that look-ups use; another one in each process.</summary>
    public static ulong OfProcess(ReadOnlySpan<byte> id) => Of(id, ProcessSeed);

    /// <summary>The hash that digests use; the same in each process.</summary>
    public static ulong Stable(ReadOnlySpan<byte> id) => Of(id, 0);

    /// <summary>Spreads <paramref name="value"/> over all bits.</summary>
    public static ulong Mix(ulong value, ulong with) => Fold(value ^ Secret0, with ^ Secret1);

    private static ulong Of(ReadOnlySpan<byte> id, ulong seed)
    {
        var length = (ulong)id.Length;
        var state = seed ^ Secret0;
        while (id.Length > 16)
        {
            state = Fold(BinaryPrimitives.ReadUInt64LittleEndian(id) ^ Secret1, BinaryPrimitives.ReadUInt64LittleEndian(id[8..]) ^ state);
            id = id[16..];
        }

        ulong head, tail;
        if (id.Length >= 8)
        {
            head = BinaryPrimitives.ReadUInt64LittleEndian(id);
            tail = BinaryPrimitives.ReadUInt64LittleEndian(id[^8..]);
        }
        else if (id.Length >= 4)
        {
            head = BinaryPrimitives.ReadUInt32LittleEndian(id);
            tail = BinaryPrimitives.ReadUInt32LittleEndian(id[^4..]);
        }
        else if (id.Length > 0)
        {
            head = ((ulong)id[0] << 16) | ((ulong)id[id.Length >> 1] << 8) | id[^1];
            tail = 0;
        }
        else
        {
            head = tail = 0;
        }

        return Fold(Secret1 ^ length, Fold(head ^ Secret1, tail ^ state));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Fold(ulong a, ulong b)
    {
        var high = Math.BigMul(a, b, out var low);
        return high ^ low;
    }
}
