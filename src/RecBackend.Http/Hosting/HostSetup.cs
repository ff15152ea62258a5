using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace RecBackend.Http.Hosting;

/// <summary>What the programs that serve HTTP set up alike.</summary>
public static class HostSetup
{
    /// <summary>Logs to the console alone: a line for each entry, with its time in UTC.</summary>
    public static ILoggingBuilder UseOneLineConsole(this ILoggingBuilder logging) => logging.ClearProviders().AddSimpleConsole(console =>
    {
        console.SingleLine = true;
        console.UseUtcTimestamp = true;
        console.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ ";
    });

    /// <summary>Bounds how long a slow caller is borne with: one that trickles holds a place among the admitted calls.</summary>
    public static void LimitSlowCallers(this KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 1024, gracePeriod: TimeSpan.FromSeconds(10));
        kestrel.Limits.MinResponseDataRate = new MinDataRate(bytesPerSecond: 1024, gracePeriod: TimeSpan.FromSeconds(10));
    }
}
