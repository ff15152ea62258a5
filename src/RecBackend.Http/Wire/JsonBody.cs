using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Wire;

/// <summary>Reads a body, or one entry of it, as one JSON value, and writes replies.</summary>
internal static class JsonBody
{
    /// <summary>Reads the whole body.</summary>
    /// <exception cref="ProblemException">It is too large, or no such value.</exception>
    public static async ValueTask<T> ReadAsync<T>(HttpRequest request, JsonTypeInfo<T> type, int limit, CancellationToken cancellation)
    {
        var body = await ReadBytesAsync(request, limit, cancellation);
        try
        {
            return Parse(body, type);
        }
        finally
        {
            request.BodyReader.AdvanceTo(body.End);
        }
    }

    /// <summary>Waits for the whole body. The caller advances the reader past it when it is done with the bytes.</summary>
    /// <exception cref="ProblemException">It is too large.</exception>
    public static async ValueTask<ReadOnlySequence<byte>> ReadBytesAsync(HttpRequest request, int limit, CancellationToken cancellation)
    {
        while (true)
        {
            var read = await request.BodyReader.ReadAsync(cancellation);
            if (read.Buffer.Length > limit)
            {
                request.BodyReader.AdvanceTo(read.Buffer.End);
                throw new ProblemException(ProblemCode.BodyTooLarge, $"The body of this call has at most {limit} bytes. Larger batches go as NDJSON with the content type application/x-ndjson.");
            }

            if (read.IsCompleted)
            {
                return read.Buffer;
            }

            request.BodyReader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    /// <summary>Reads one value that fills <paramref name="json"/>.</summary>
    /// <exception cref="ProblemException">It is no such value.</exception>
    public static T Parse<T>(in ReadOnlySequence<byte> json, JsonTypeInfo<T> type)
    {
        var reader = new Utf8JsonReader(json);
        try
        {
            var value = JsonSerializer.Deserialize(ref reader, type);

            // Finds what stands behind the value.
            reader.Read();
            return value ?? throw new ProblemException(ProblemCode.TypeInvalid, "Here stands an object, not null.");
        }
        catch (JsonException e)
        {
            throw new ProblemException(CodeOf(e), JsonPlace.Words(e), JsonPlace.Of(e));
        }
    }

    /// <summary>Writes a reply.</summary>
    public static Task WriteAsync<T>(HttpContext context, T value, JsonTypeInfo<T> type, int status = StatusCodes.Status200OK)
    {
        context.Response.StatusCode = status;
        return context.Response.WriteAsJsonAsync(value, type, cancellationToken: context.RequestAborted);
    }

    // The serializer has one exception for everything; what it found is told by its words alone. Tests hold on to each of them.
    private static ProblemCode CodeOf(JsonException e) =>
        e.InnerException is JsonException || e.GetType() != typeof(JsonException) ? ProblemCode.JsonInvalid
        : e.Message.Contains("could not be mapped", StringComparison.Ordinal) ? ProblemCode.MemberUnknown
        : e.Message.Contains("uplicate", StringComparison.Ordinal) ? ProblemCode.MemberDuplicate
        : e.Message.Contains("required properties", StringComparison.Ordinal) ? ProblemCode.MemberMissing
        : ProblemCode.TypeInvalid;
}
