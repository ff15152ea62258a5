using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace RecBackend.Scoring.Text;

/// <summary>
/// The byte-level byte-pair encoding of docs/bundle-format.md, section 3; training/recbackend/tokenizer.py is the other implementation.
/// No Unicode table takes part, so both agree on every text. Thread-safe.
/// </summary>
public sealed class BytePairTokenizer
{
    /// <summary>Stands between the parts of a document.</summary>
    public const int Separator = 2;

    private const int FirstByte = 3;
    private const int FirstMerge = FirstByte + 256;
    private const int NoRank = int.MaxValue;

    /// <summary>Up to here a scan for the best pair beats a queue; beyond it the scan's n² would let one long unspaced text stall an item write.</summary>
    private const int LongestScannedWord = 48;

    private readonly Dictionary<long, int> _ranks;

    /// <summary>Makes a tokenizer.</summary>
    /// <param name="merges">Pairs of ids in rank order.</param>
    /// <exception cref="InvalidDataException">A merge names an id that does not exist at its rank.</exception>
    public BytePairTokenizer(IReadOnlyList<(int Left, int Right)> merges)
    {
        _ranks = new Dictionary<long, int>(merges.Count);
        for (var rank = 0; rank < merges.Count; rank++)
        {
            var (left, right) = merges[rank];
            if (!Exists(left, rank) || !Exists(right, rank))
            {
                throw new InvalidDataException($"Merge {rank} joins {left} and {right}, of which one does not exist before it.");
            }

            _ranks.TryAdd(Pair(left, right), rank);
        }

        Size = FirstMerge + merges.Count;
    }

    /// <summary>One more than the largest id.</summary>
    public int Size { get; }

    /// <summary>Reads tokenizer.json.</summary>
    /// <exception cref="InvalidDataException">It is not of format 1, or a merge is not possible.</exception>
    public static BytePairTokenizer Parse(ReadOnlySpan<byte> utf8)
    {
        TokenizerFile? file;
        try
        {
            file = JsonSerializer.Deserialize(utf8, TokenizerJson.Default.TokenizerFile);
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException("It cannot be read: " + exception.Message, exception);
        }

        if (file is not { Format: 1, Merges: { } merges })
        {
            throw new InvalidDataException("It is not of format 1 with a list of merges.");
        }

        return new BytePairTokenizer(merges.ConvertAll(pair => pair is { Length: 2 }
            ? (pair[0], pair[1])
            : throw new InvalidDataException("A merge is not a pair.")));
    }

    /// <summary>Writes the ids of a document: those of its parts that are not empty, a separator between them, cut at the length of <paramref name="ids"/> and filled with padding.</summary>
    /// <param name="parts">Valid Unicode.</param>
    /// <param name="ids">[T]; written in full.</param>
    public void EncodeDocument(ReadOnlySpan<string?> parts, Span<long> ids)
    {
        var written = 0;
        var first = true;
        foreach (var part in parts)
        {
            if (string.IsNullOrEmpty(part) || written == ids.Length)
            {
                continue;
            }

            if (!first)
            {
                ids[written++] = Separator;
            }

            first = false;
            written += Encode(part, ids[written..]);
        }

        ids[written..].Clear(); // 0 is padding
    }

    /// <summary>Writes the ids of a text, as many as fit.</summary>
    /// <returns>How many were written.</returns>
    public int Encode(ReadOnlySpan<char> text, Span<long> ids)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(text.Length));
        try
        {
            return Encode(buffer.AsSpan(0, Encoding.UTF8.GetBytes(text, buffer)), ids);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Writes the ids of a text in UTF-8, as many as fit.</summary>
    /// <returns>How many were written.</returns>
    public int Encode(ReadOnlySpan<byte> utf8, Span<long> ids)
    {
        var written = 0;
        var position = 0;
        while (position < utf8.Length && written < ids.Length)
        {
            var begin = position;
            while (position < utf8.Length && IsOfWord(utf8[position]))
            {
                position++;
            }

            if (position > begin)
            {
                written += EncodeWord(utf8[begin..position], ids[written..]);
            }
            else if (utf8[position++] is > 0x20 and not 0x7F)
            {
                ids[written++] = FirstByte + utf8[begin];
            }
        }

        return written;
    }

    private int EncodeWord(ReadOnlySpan<byte> word, Span<long> ids)
    {
        var length = word.Length + 1;
        int[]? rented = null;
        var parts = length <= LongestScannedWord ? stackalloc int[LongestScannedWord] : (rented = ArrayPool<int>.Shared.Rent(length));
        try
        {
            parts[0] = FirstByte + ' ';
            for (var i = 0; i < word.Length; i++)
            {
                parts[i + 1] = FirstByte + Lower(word[i]);
            }

            var merged = length <= LongestScannedWord ? MergeByScan(parts[..length]) : MergeByQueue(parts[..length]);
            var fitting = Math.Min(merged, ids.Length);
            for (var i = 0; i < fitting; i++)
            {
                ids[i] = parts[i];
            }

            return fitting;
        }
        finally
        {
            if (rented is not null)
            {
                ArrayPool<int>.Shared.Return(rented);
            }
        }
    }

    /// <summary>Merges in place: the pair of the lowest rank, at its leftmost place, until none is left.</summary>
    /// <returns>How many parts are left, at the front.</returns>
    internal int MergeByScan(Span<int> parts)
    {
        var count = parts.Length;
        while (count > 1)
        {
            var best = NoRank;
            var place = 0;
            for (var i = 0; i + 1 < count; i++)
            {
                var rank = RankOf(parts[i], parts[i + 1]);
                if (rank < best)
                {
                    best = rank;
                    place = i;
                }
            }

            if (best == NoRank)
            {
                break;
            }

            parts[place] = FirstMerge + best;
            parts[(place + 2)..count].CopyTo(parts[(place + 1)..]);
            count--;
        }

        return count;
    }

    /// <summary>The same as <see cref="MergeByScan"/> in n log n: a queue of pairs by rank, then place, over a linked list of parts.</summary>
    internal int MergeByQueue(Span<int> parts)
    {
        const int Gone = -1;
        var next = new int[parts.Length];
        var previous = new int[parts.Length];
        var pairs = new PriorityQueue<(int Left, int LeftId, int RightId), (int Rank, int Place)>();
        for (var i = 0; i < parts.Length; i++)
        {
            next[i] = i + 1;
            previous[i] = i - 1;
        }

        for (var i = 0; i + 1 < parts.Length; i++)
        {
            Add(parts, i);
        }

        while (pairs.TryDequeue(out var pair, out var priority))
        {
            var left = pair.Left;
            var right = parts[left] == Gone ? parts.Length : next[left];
            if (right >= parts.Length || parts[left] != pair.LeftId || parts[right] != pair.RightId)
            {
                continue; // a neighbour was merged since
            }

            parts[left] = FirstMerge + priority.Rank;
            parts[right] = Gone;
            next[left] = next[right];
            if (next[left] < parts.Length)
            {
                previous[next[left]] = left;
                Add(parts, left);
            }

            if (previous[left] >= 0)
            {
                Add(parts, previous[left]);
            }
        }

        var count = 0;
        for (var i = 0; i < parts.Length; i = next[i])
        {
            parts[count++] = parts[i];
        }

        return count;

        void Add(Span<int> parts, int left)
        {
            var rank = RankOf(parts[left], parts[next[left]]);
            if (rank != NoRank)
            {
                pairs.Enqueue((left, parts[left], parts[next[left]]), (rank, left));
            }
        }
    }

    private int RankOf(int left, int right) => _ranks.TryGetValue(Pair(left, right), out var rank) ? rank : NoRank;

    private static long Pair(int left, int right) => ((long)left << 32) | (uint)right;

    private static bool Exists(int id, int rank) => id >= FirstByte && id < FirstMerge + rank;

    private static bool IsOfWord(byte value) => value >= 0x80 || char.IsAsciiLetterOrDigit((char)value);

    private static int Lower(byte value) => value is >= (byte)'A' and <= (byte)'Z' ? value + 32 : value;
}

internal sealed record TokenizerFile(int Format, List<int[]>? Merges);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(TokenizerFile))]
internal sealed partial class TokenizerJson : JsonSerializerContext;
