using System.Diagnostics.Metrics;

namespace RecBackend.Http.Metrics;

/// <summary>What the endpoints count, on Core's meter. Names and units follow OpenTelemetry's conventions; <c>/metrics</c> shows them in Prometheus' form.</summary>
internal sealed class HttpMetrics
{
    private static readonly HashSet<string> Methods = new(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], StringComparer.Ordinal);

    // Nearly every status, and boxed once.
    private static readonly object Ok = 200;

    private readonly Counter<long> _requests;
    private readonly Counter<long> _events;

    public HttpMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(Core.Telemetry.Name);
        _requests = meter.CreateCounter<long>("recbackend.requests", "{request}", "Requests by route, method and status.");
        _events = meter.CreateCounter<long>("recbackend.events", "{event}", "Events by what became of them.");
    }

    /// <summary>Counts a request that was answered.</summary>
    public void Answered(string route, string method, int status) =>
        _requests.Add(1, new("route", route), new("method", MethodOf(method)), new("status", status == 200 ? Ok : status));

    // Anybody may send a method of his own making, and each would be a new series.
    private static string MethodOf(string method) => Methods.Contains(method) ? method : "other";

    /// <summary>Counts events of one call.</summary>
    public void Told(long accepted, long duplicates, long rejected)
    {
        _events.Add(accepted, new KeyValuePair<string, object?>("outcome", "accepted"));
        _events.Add(duplicates, new KeyValuePair<string, object?>("outcome", "duplicate"));
        _events.Add(rejected, new KeyValuePair<string, object?>("outcome", "rejected"));
    }
}
