using System.Buffers;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using RecBackend.Core.Users;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Wire;

/// <summary>Entries of a batch that are stored together, with their places in it.</summary>
/// <param name="Entries">The entries that could be read.</param>
/// <param name="Indexes">Of each, its place in the batch.</param>
internal sealed record Chunk<T>(List<T> Entries, List<long> Indexes);

/// <summary>Stores a chunk.</summary>
/// <returns>How many were stored, how many had been before, and which cannot be, by place in the chunk.</returns>
internal delegate ValueTask<EventReceipt> StoreChunk<T>(Chunk<T> chunk, CancellationToken cancellation);

/// <summary>
/// Reads a body with many entries and stores it chunk by chunk, so that memory is bounded however long the body is. It takes NDJSON, declared as <c>application/x-ndjson</c> or recognized,
/// an array, or one object. Of NDJSON, a bad line is rejected and the others are stored; an array that is not JSON, or an object that cannot be stored, is a problem.
/// </summary>
/// <param name="context">The call.</param>
/// <param name="type">How an entry is read.</param>
/// <param name="limits">What a body may be.</param>
/// <param name="store">Stores a chunk.</param>
internal sealed class BatchReader<T>(HttpContext context, JsonTypeInfo<T> type, HttpLimits limits, StoreChunk<T> store)
{
    private readonly Chunk<T> _chunk = new([], []);
    private readonly BatchReply _reply = new();
    private long _chunkBytes;
    private long _lines;

    /// <summary>Reads and stores.</summary>
    /// <exception cref="ProblemException">The body as a whole cannot be read, or its only entry cannot be stored.</exception>
    public async ValueTask<BatchReply> RunAsync()
    {
        if (IsNdjson(context.Request.ContentType))
        {
            await ReadLinesAsync();
        }
        else
        {
            var body = await JsonBody.ReadBytesAsync(context.Request, limits.Body, context.RequestAborted);
            try
            {
                await ReadWholeAsync(body);
            }
            finally
            {
                // Also when it fails: a reader that is left in the middle costs the caller its connection.
                context.Request.BodyReader.AdvanceTo(body.End);
            }
        }

        await StoreAsync();
        return _reply;
    }

    private static bool IsNdjson(string? contentType) =>
        contentType is not null
        && (contentType.StartsWith("application/x-ndjson", StringComparison.OrdinalIgnoreCase)
            || contentType.StartsWith("application/ndjson", StringComparison.OrdinalIgnoreCase)
            || contentType.StartsWith("application/jsonl", StringComparison.OrdinalIgnoreCase));

    private async ValueTask ReadLinesAsync()
    {
        var reader = context.Request.BodyReader;
        var (scanned, skipping) = (0L, false);
        while (true)
        {
            var read = await reader.ReadAsync(context.RequestAborted);
            var buffer = read.Buffer;
            try
            {
                // What was looked through before has no line end: a long line that comes in small pieces is not searched again and again.
                while (buffer.Slice(scanned).PositionOf((byte)'\n') is { } end)
                {
                    await LineAsync(buffer.Slice(0, end), skipping);
                    (scanned, skipping) = (0, false);
                    buffer = buffer.Slice(buffer.GetPosition(1, end));
                }

                if (read.IsCompleted)
                {
                    await LineAsync(buffer, skipping);
                }
            }
            catch
            {
                reader.AdvanceTo(read.Buffer.End);
                throw;
            }

            if (read.IsCompleted)
            {
                reader.AdvanceTo(read.Buffer.End);
                return;
            }

            // Of a line that is too long only the number is kept.
            skipping |= buffer.Length > limits.Line;
            scanned = skipping ? 0 : buffer.Length;
            reader.AdvanceTo(skipping ? buffer.End : buffer.Start, buffer.End);
        }
    }

    private ValueTask LineAsync(ReadOnlySequence<byte> line, bool cut)
    {
        var index = _lines++;
        if (cut || line.Length > limits.Line)
        {
            Reject(new(index, ProblemCode.BodyTooLarge.Code, $"A line has at most {limits.Line} bytes."));
            return default;
        }

        return IsBlank(line) ? default : EntryAsync(index, line);
    }

    private async ValueTask ReadWholeAsync(ReadOnlySequence<byte> body)
    {
        switch (BatchForm.Of(body, out var elements))
        {
            case BodyForm.Array:
                for (var i = 0; i < elements.Count; i++)
                {
                    await EntryAsync(i, body.Slice(elements[i].Start, elements[i].Length));
                }

                break;
            case BodyForm.Lines:
                while (body.PositionOf((byte)'\n') is { } end)
                {
                    await LineAsync(body.Slice(0, end), cut: false);
                    body = body.Slice(body.GetPosition(1, end));
                }

                await LineAsync(body, cut: false);
                break;
            default:
                await SingleAsync(body);
                break;
        }
    }

    private async ValueTask SingleAsync(ReadOnlySequence<byte> body)
    {
        _chunk.Entries.Add(JsonBody.Parse(body, type));
        _chunk.Indexes.Add(0);
        await StoreAsync();
        if (_reply.Rejected is [var rejected])
        {
            throw new ProblemException(ProblemCode.Of(rejected.Code), rejected.Detail ?? "The entry cannot be stored.", rejected.Place);
        }
    }

    private async ValueTask EntryAsync(long index, ReadOnlySequence<byte> json)
    {
        try
        {
            _chunk.Entries.Add(JsonBody.Parse(json, type));
            _chunk.Indexes.Add(index);
        }
        catch (ProblemException e)
        {
            Reject(new(index, e.Problem.Code.Code, e.Problem.Detail, e.Problem.Place));
        }

        _chunkBytes += json.Length;
        if (_chunk.Entries.Count >= limits.Chunk || _chunkBytes >= limits.ChunkBytes)
        {
            await StoreAsync();
        }
    }

    private async ValueTask StoreAsync()
    {
        if (_chunk.Entries.Count > 0)
        {
            var receipt = await store(_chunk, context.RequestAborted);
            _reply.Accepted += receipt.Accepted;
            _reply.Duplicates += receipt.Duplicates;
            foreach (var rejected in receipt.Rejected)
            {
                Reject(new(_chunk.Indexes[rejected.Index], rejected.Code, rejected.Detail));
            }
        }

        _chunk.Entries.Clear();
        _chunk.Indexes.Clear();
        _chunkBytes = 0;
    }

    private void Reject(RejectedReply entry) => _reply.Reject(entry, limits.RejectedListed);

    private static bool IsBlank(in ReadOnlySequence<byte> line)
    {
        foreach (var segment in line)
        {
            if (segment.Span.IndexOfAnyExcept(" \t\r"u8) >= 0)
            {
                return false;
            }
        }

        return true;
    }
}
