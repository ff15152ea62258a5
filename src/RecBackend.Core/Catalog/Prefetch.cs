using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace RecBackend.Core.Catalog;

/// <summary>Asks the processor to bring memory near before it is read. A hint: where there is no such instruction nothing happens, and nothing is ever read or checked.</summary>
internal static unsafe class Prefetch
{
    private const int LineBytes = 64;

    /// <summary>The cache line of <paramref name="at"/>. The memory may move or go meanwhile: a prefetch of a wrong address does nothing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Line<T>(ref readonly T at)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(Unsafe.AsPointer(ref Unsafe.AsRef(in at)));
        }
    }

    /// <summary>The cache lines of <paramref name="span"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Lines(ReadOnlySpan<byte> span)
    {
        for (var i = 0; i < span.Length; i += LineBytes)
        {
            Line(in span[i]);
        }

        // The last byte may lie in a line of its own, since a row does not begin where a line does.
        if (!span.IsEmpty)
        {
            Line(in span[^1]);
        }
    }
}
