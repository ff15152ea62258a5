using System.Globalization;
using RecBackend.Http;

namespace RecBackend.Gateway.Routing;

/// <summary>
/// Ends a ranking that its host does not answer: after <c>Gateway:RankTimeoutMs</c>, or after what <c>Request-Timeout-Ms</c> asks for and a second, if that is later. The host keeps to that header
/// and answers with the fallback, so this is for hosts that are gone.
/// </summary>
internal sealed class RankTimeoutMiddleware(RequestDelegate next, HttpLimits limits)
{
    /// <summary>Milliseconds for the way there and back, and for a host that is late with its fallback.</summary>
    public const int Slack = 1_000;

    private const string Header = "Request-Timeout-Ms";

    public async Task InvokeAsync(HttpContext context)
    {
        if (context.GetReverseProxyFeature().Route.Config.Metadata?.GetValueOrDefault(ApiRoutes.RankTimeoutKey) is not { } configured)
        {
            await next(context);
            return;
        }

        var caller = context.RequestAborted;
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(caller);
        timeout.CancelAfter(Math.Max(int.Parse(configured, CultureInfo.InvariantCulture), AskedFor(context.Request.Headers)));
        context.RequestAborted = timeout.Token;
        context.Features.Set(new RankTime(timeout.Token, caller));
        try
        {
            await next(context);
        }
        finally
        {
            // Whoever answers in the host's stead must not take the end of the time for a caller who has gone away.
            context.RequestAborted = caller;
        }
    }

    // A header that is no number, or too large a one, is the host's to refuse.
    private int AskedFor(IHeaderDictionary headers) =>
        int.TryParse(headers[Header].ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds) && milliseconds <= limits.RankTimeoutMaxMs
            ? milliseconds + Slack
            : 0;
}

/// <summary>The time of one ranking, and its caller's patience.</summary>
/// <param name="End">Cancelled when the time is over or the caller has gone away.</param>
/// <param name="Caller">Cancelled when the caller has gone away.</param>
internal sealed record RankTime(CancellationToken End, CancellationToken Caller)
{
    /// <summary>Whether the time is over while the caller still waits.</summary>
    public bool IsOver => End.IsCancellationRequested && !Caller.IsCancellationRequested;
}
