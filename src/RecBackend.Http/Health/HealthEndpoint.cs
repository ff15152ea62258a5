using Microsoft.AspNetCore.Http;
using RecBackend.Core.Models;
using RecBackend.Http.Hosting;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Health;

/// <summary>Whether a host is well.</summary>
/// <param name="Status"><c>live</c>, <c>ready</c>, <c>not_ready</c>, or <c>draining</c> when it was told to stop.</param>
/// <param name="Missing">What a ready host would have: <c>catalog</c> while it is filled, <c>bundle</c> without an active one, or with another one than the cluster's.</param>
/// <param name="Detail">In words.</param>
/// <param name="Model">Version of the active bundle.</param>
/// <param name="Items">Items in its catalogue.</param>
public sealed record HealthReply(string Status, IReadOnlyList<string>? Missing = null, string? Detail = null, string? Model = null, int? Items = null);

/// <summary>Port: whether a host of a cluster has the model that the others have. A single host has none of it.</summary>
public interface IModelLag
{
    /// <summary>Whether another model answers in the cluster than here, or this host does not know yet.</summary>
    bool IsBehind { get; }
}

/// <summary><c>/healthz</c>.</summary>
internal sealed class HealthEndpoint(ModelDirectory models, EngineStart start, HostDrain drain, RecBackendHttpOptions options, IModelLag? lag = null)
{
    private static readonly HealthReply Live = new("live");

    public static Task LiveAsync(HttpContext context) => JsonBody.WriteAsync(context, Live, WireJson.Default.HealthReply);

    public Task ReadyAsync(HttpContext context)
    {
        var status = models.Status;
        if (drain.IsUnderWay)
        {
            var draining = new HealthReply("draining", Detail: "The host was told to stop: it serves what still comes, and wants no more.", Model: status.Active, Items: status.Items);
            return JsonBody.WriteAsync(context, draining, WireJson.Default.HealthReply, StatusCodes.Status503ServiceUnavailable);
        }

        if (!options.Scores && start.IsOver)
        {
            return JsonBody.WriteAsync(context, new HealthReply("ready"), WireJson.Default.HealthReply);
        }

        var missing = new List<string>();
        if (!status.Ready)
        {
            missing.Add("catalog");
        }

        if (status.Active is null || lag is { IsBehind: true })
        {
            missing.Add("bundle");
        }

        var reply = missing.Count == 0
            ? new HealthReply("ready", Model: status.Active, Items: status.Items)
            : new HealthReply("not_ready", missing, Words(status), status.Active, status.Items);
        return JsonBody.WriteAsync(
            context, reply, WireJson.Default.HealthReply, missing.Count == 0 ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
    }

    private static string Words(ModelStatus status) =>
        status.Problem is { } problem ? $"The bundle that was active could not be loaded ({problem.Code}); the log of the host says why."
        : !status.Ready ? "The catalogue is being filled."
        : status.Active is not null ? "The cluster has another bundle than this host, which comes after it."
        : "No bundle is active; rankings are answered by the fallback. Add one with POST /v1/models and activate it.";
}
