using Microsoft.AspNetCore.Http;
using RecBackend.Core;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Http.Jobs;
using RecBackend.Http.Problems;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Warming;

/// <summary><c>POST /v1/warm</c>.</summary>
internal sealed class WarmEndpoint(ItemWriter writer, ModelDirectory models, JobBoard jobs, HttpLimits limits)
{
    public async Task WarmAsync(HttpContext context)
    {
        var ids = await ReadItemsAsync(context);
        if (models.Status.Active is null)
        {
            throw new ProblemException(ProblemCode.NoActiveBundle, "Activate a bundle first: its item encoder computes the representations.");
        }

        await JobsEndpoint.AcceptAsync(context, jobs.Start("warm", (progress, cancellation) => writer.WarmAsync(ids, progress, cancellation)));
    }

    private async ValueTask<IReadOnlyList<string>?> ReadItemsAsync(HttpContext context)
    {
        var body = await JsonBody.ReadBytesAsync(context.Request, limits.Body, context.RequestAborted);
        var warm = new WarmBody();
        try
        {
            warm = body.IsEmpty ? warm : JsonBody.Parse(body, WireJson.Default.WarmBody);
        }
        finally
        {
            context.Request.BodyReader.AdvanceTo(body.End);
        }

        for (var i = 0; i < warm.Items?.Count; i++)
        {
            if (!EntityId.IsValid(warm.Items[i]))
            {
                throw new ProblemException(ProblemCode.IdInvalid, ProblemCode.IdInvalid.Title, $"items[{i}]");
            }
        }

        return warm.Items;
    }
}
