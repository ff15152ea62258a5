using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using RecBackend.Core.Ranking;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Ranking;

/// <summary>All buffers of one ranking, from the first byte of the body to the last byte of the reply. Pooled, so that a ranking in steady state allocates next to nothing.</summary>
internal sealed class RankExchange
{
    // What a request of unusual size has made larger is let go with it.
    private const int KeptBytes = 1024 * 1024;

    private byte[] _body = new byte[16 * 1024];

    /// <summary>The request, as the pipeline reads it.</summary>
    public RankRequest Request { get; } = new();

    /// <summary>Where the reply is written.</summary>
    public Utf8Buffer Reply { get; } = new();

    /// <summary>The request's ID in UTF-8, given or made.</summary>
    public Utf8Buffer RequestId { get; } = new(128);

    /// <summary>Whether the caller asked for features and stage times.</summary>
    public bool Explain { get; set; }

    /// <summary>Whether the buffers are worth keeping.</summary>
    public bool IsReusable => _body.Length <= KeptBytes && Reply.Capacity <= KeptBytes;

    /// <summary>Reads the body into one piece.</summary>
    /// <returns>The body; valid until the exchange is cleared.</returns>
    /// <exception cref="ProblemException">It is larger than <paramref name="limit"/>.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<ReadOnlyMemory<byte>> ReadBodyAsync(PipeReader reader, int limit, CancellationToken cancellation)
    {
        var length = 0;
        while (true)
        {
            var read = await reader.ReadAsync(cancellation);
            foreach (var segment in read.Buffer)
            {
                if (length + segment.Length > limit)
                {
                    reader.AdvanceTo(read.Buffer.End);
                    throw new ProblemException(ProblemCode.BodyTooLarge, $"A ranking's body has at most {limit} bytes.");
                }

                if (length + segment.Length > _body.Length)
                {
                    Array.Resize(ref _body, Math.Max(_body.Length * 2, length + segment.Length));
                }

                segment.Span.CopyTo(_body.AsSpan(length));
                length += segment.Length;
            }

            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
            {
                return _body.AsMemory(0, length);
            }
        }
    }

    /// <summary>Empties everything, keeping the buffers.</summary>
    public void Clear()
    {
        Request.Clear();
        Reply.Clear();
        RequestId.Clear();
        Explain = false;
    }
}
