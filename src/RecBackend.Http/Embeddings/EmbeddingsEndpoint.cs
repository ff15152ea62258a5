using Microsoft.AspNetCore.Http;
using RecBackend.Core.Items;
using RecBackend.Core.Users;
using RecBackend.Http.Items;
using RecBackend.Http.Problems;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Embeddings;

/// <summary><c>PUT /v1/items/{id}/embedding</c> and <c>POST /v1/embeddings</c>.</summary>
internal sealed class EmbeddingsEndpoint(ItemWriter writer, HttpLimits limits, RecBackendHttpOptions options)
{
    public async Task PutAsync(HttpContext context)
    {
        var id = RouteId.Read(context.Request);
        var body = await JsonBody.ReadAsync(context.Request, WireJson.Default.EmbeddingBody, limits.Body, context.RequestAborted);
        if (body.Id is not null && body.Id != id)
        {
            throw new ProblemException(ProblemCode.ValueInvalid, "The body's id is another than that of the path.", "id");
        }

        var receipt = await writer.SetEmbeddingsAsync([new EmbeddingWrite(id, body.Bundle, body.Representation)], context.RequestAborted);
        await ItemsEndpoint.ReplyAsync(context, receipt);
    }

    public async Task PutBatchAsync(HttpContext context)
    {
        var reply = IsSafetensors(context.Request.ContentType) ? await PutTableAsync(context) : await PutLinesAsync(context);
        await JsonBody.WriteAsync(context, reply, WireJson.Default.BatchReply);
    }

    private static bool IsSafetensors(string? contentType) =>
        contentType is not null
        && (contentType.StartsWith("application/octet-stream", StringComparison.OrdinalIgnoreCase)
            || contentType.StartsWith("application/vnd.safetensors", StringComparison.OrdinalIgnoreCase)
            || contentType.StartsWith("application/safetensors", StringComparison.OrdinalIgnoreCase));

    private ValueTask<BatchReply> PutLinesAsync(HttpContext context) =>
        new BatchReader<EmbeddingBody>(context, WireJson.Default.EmbeddingBody, limits, async (chunk, cancellation) =>
        {
            var writes = chunk.Entries.Select(entry => new EmbeddingWrite(entry.Id ?? "", entry.Bundle, entry.Representation));
            var receipt = await writer.SetEmbeddingsAsync([.. writes], cancellation);
            return new EventReceipt(receipt.Stored, 0, receipt.Rejected);
        }).RunAsync();

    private async ValueTask<BatchReply> PutTableAsync(HttpContext context)
    {
        // The format puts the vectors before their IDs, so the table is read from disk and not from the wire.
        await using var file = await options.SpoolAsync(context.Request.Body, context.RequestAborted);
        var table = EmbeddingTable.Open(file);
        var bundle = context.Request.Query["bundle"] is [{ } version] ? version : null;
        var reply = new BatchReply();
        var writes = new List<EmbeddingWrite>(limits.Chunk);
        for (var first = 0; first < table.Count; first += writes.Count)
        {
            writes.Clear();
            for (var row = first; row < Math.Min(first + limits.Chunk, table.Count); row++)
            {
                writes.Add(new EmbeddingWrite(table.Id(row), bundle, table.Row(row)));
            }

            var receipt = await writer.SetEmbeddingsAsync(writes, context.RequestAborted);
            reply.Accepted += receipt.Stored;
            foreach (var rejected in receipt.Rejected)
            {
                reply.Reject(new(first + rejected.Index, rejected.Code, rejected.Detail), limits.RejectedListed);
            }
        }

        return reply;
    }
}
