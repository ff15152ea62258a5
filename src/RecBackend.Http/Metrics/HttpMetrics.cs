using System.Diagnostics.Metrics;

namespace RecBackend.Http.Metrics;

/// <summary>What the endpoints count, on Core's meter. Names and units follow OpenTelemetry's conventions; <c>/metrics</c> shows them in Prometheus' form.</summary>
internal sealed class HttpMetrics
{
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
        _requests.Add(1, new("route", route), new("method", method), new("status", status));

    /// <summary>Counts events of one call.</summary>
    public void Told(long accepted, long duplicates, long rejected)
    {
        _events.Add(accepted, new KeyValuePair<string, object?>("outcome", "accepted"));
        _events.Add(duplicates, new KeyValuePair<string, object?>("outcome", "duplicate"));
        _events.Add(rejected, new KeyValuePair<string, object?>("outcome", "rejected"));
    }
}
