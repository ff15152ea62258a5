using Microsoft.AspNetCore.Http;
using RecBackend.Core.Items;
using RecBackend.Core.Users;
using RecBackend.Http.Problems;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Items;

/// <summary><c>/v1/items</c>.</summary>
internal sealed class ItemsEndpoint(ItemWriter writer, IItemDirectory items, HttpLimits limits)
{
    public async Task PutAsync(HttpContext context)
    {
        var id = RouteId.Read(context.Request);
        var body = await JsonBody.ReadAsync(context.Request, WireJson.Default.ItemBody, limits.Body, context.RequestAborted);
        if (body.Id is not null && body.Id != id)
        {
            throw new ProblemException(ProblemCode.ValueInvalid, "The body's id is another than that of the path.", "id");
        }

        var receipt = await writer.UpsertAsync([body.ToWrite(id)], context.RequestAborted);
        await ReplyAsync(context, receipt);
    }

    public async Task PutBatchAsync(HttpContext context)
    {
        var batch = new BatchReader<ItemBody>(context, WireJson.Default.ItemBody, limits, async (chunk, cancellation) =>
        {
            // An absent ID is an empty one, and the writer refuses it in words.
            var receipt = await writer.UpsertAsync([.. chunk.Entries.Select(item => item.ToWrite(item.Id ?? ""))], cancellation);
            return new EventReceipt(receipt.Stored, 0, receipt.Rejected);
        });
        await JsonBody.WriteAsync(context, await batch.RunAsync(), WireJson.Default.BatchReply);
    }

    public async Task GetAsync(HttpContext context)
    {
        var item = await items.GetAsync(RouteId.Read(context.Request), context.RequestAborted) ?? throw Unknown();
        await JsonBody.WriteAsync(context, ItemReply.Of(item), WireJson.Default.ItemReply);
    }

    public async Task DeleteAsync(HttpContext context)
    {
        var deleted = await items.DeleteAsync([RouteId.Read(context.Request)], context.RequestAborted);
        context.Response.StatusCode = deleted[0] ? StatusCodes.Status204NoContent : throw Unknown();
    }

    /// <summary>Answers a write of one item.</summary>
    internal static Task ReplyAsync(HttpContext context, WriteReceipt receipt) => receipt.Rejected is [var rejected, ..]
        ? throw new ProblemException(ProblemCode.Of(rejected.Code), rejected.Detail ?? "The item cannot be stored.")
        : JsonBody.WriteAsync(context, new BatchReply { Accepted = receipt.Stored }, WireJson.Default.BatchReply);

    private static ProblemException Unknown() => new(ProblemCode.ItemUnknown, "No item of this ID was ever stored, or it was deleted.");
}
