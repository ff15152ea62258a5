using Microsoft.AspNetCore.Http;
using RecBackend.Core;
using RecBackend.Core.Users;
using RecBackend.Http.Problems;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Users;

/// <summary><c>/v1/users</c>.</summary>
internal sealed class UsersEndpoint(IUserDirectory users, HttpLimits limits)
{
    private const int MaxAttributes = 64;
    private const int MaxLabel = 256;

    public async Task PutAsync(HttpContext context)
    {
        var id = RouteId.Read(context.Request);
        var body = await JsonBody.ReadAsync(context.Request, WireJson.Default.UserBody, limits.Body, context.RequestAborted);
        if (body.Id is not null && body.Id != id)
        {
            throw new ProblemException(ProblemCode.ValueInvalid, "The body's id is another than that of the path.", "id");
        }

        if (Check(body, id, 0) is { } rejected)
        {
            throw new ProblemException(ProblemCode.Of(rejected.Code), rejected.Detail!);
        }

        await users.SetAttributesAsync([ToProfile(body, id)], context.RequestAborted);
        await JsonBody.WriteAsync(context, new BatchReply { Accepted = 1 }, WireJson.Default.BatchReply);
    }

    public async Task PutBatchAsync(HttpContext context)
    {
        var batch = new BatchReader<UserBody>(context, WireJson.Default.UserBody, limits, PutAsync);
        await JsonBody.WriteAsync(context, await batch.RunAsync(), WireJson.Default.BatchReply);
    }

    public async Task GetAsync(HttpContext context)
    {
        var user = await users.GetAsync(RouteId.Read(context.Request), context.RequestAborted);
        await JsonBody.WriteAsync(context, user.Known ? UserReply.Of(user) : throw Unknown(), WireJson.Default.UserReply);
    }

    public async Task EraseAsync(HttpContext context)
    {
        var known = await users.EraseAsync(RouteId.Read(context.Request), context.RequestAborted);
        context.Response.StatusCode = known ? StatusCodes.Status204NoContent : throw Unknown();
    }

    private async ValueTask<EventReceipt> PutAsync(Chunk<UserBody> chunk, CancellationToken cancellation)
    {
        var (valid, rejected) = (new List<UserProfile>(chunk.Entries.Count), new List<RejectedEntry>());
        for (var i = 0; i < chunk.Entries.Count; i++)
        {
            var user = chunk.Entries[i];
            if (Check(user, user.Id, i) is { } refusal)
            {
                rejected.Add(refusal);
            }
            else
            {
                valid.Add(ToProfile(user, user.Id!));
            }
        }

        if (valid.Count > 0)
        {
            await users.SetAttributesAsync(valid, cancellation);
        }

        return new EventReceipt(valid.Count, 0, rejected);
    }

    private static RejectedEntry? Check(UserBody user, string? id, int index)
    {
        if (!EntityId.IsValid(id))
        {
            return new(index, ProblemCode.IdInvalid.Code, ProblemCode.IdInvalid.Title);
        }

        if (user.Attributes.Count > MaxAttributes)
        {
            return new(index, ProblemCode.TooManyAttributes.Code, $"A user has at most {MaxAttributes} attributes.");
        }

        foreach (var (name, value) in user.Attributes)
        {
            if (name.Length is 0 or > MaxLabel || value is null or { Length: 0 or > MaxLabel })
            {
                return new(index, ProblemCode.LabelInvalid.Code, $"An attribute's name and value have 1 to {MaxLabel} characters.");
            }
        }

        return null;
    }

    private static UserProfile ToProfile(UserBody user, string id) =>
        new(id, user.Attributes.ToDictionary(pair => pair.Key, pair => pair.Value!, StringComparer.Ordinal));

    private static ProblemException Unknown() => new(ProblemCode.UserUnknown, "The user has no events and no attributes. Ranking works all the same.");
}
