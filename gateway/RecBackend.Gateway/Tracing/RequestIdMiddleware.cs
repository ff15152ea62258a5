using RecBackend.Http.Ranking;

namespace RecBackend.Gateway.Tracing;

/// <summary>Gives each request an <c>X-Request-Id</c>, the caller's or a new one, that the host gets and the caller gets back. Trace headers pass untouched.</summary>
internal sealed class RequestIdMiddleware(RequestDelegate next, TimeProvider clock)
{
    private const string Header = "X-Request-Id";
    private const int MaxLength = 128;

    public Task InvokeAsync(HttpContext context)
    {
        var given = context.Request.Headers[Header];
        var id = given is [{ Length: > 0 and <= MaxLength } single] && IsVisible(single) ? single : RequestIds.New(clock.GetUtcNow());
        context.Request.Headers[Header] = id;
        context.Response.OnStarting(static state =>
        {
            var (response, requestId) = ((HttpResponse, string))state;
            response.Headers[Header] = requestId;
            return Task.CompletedTask;
        }, (context.Response, id));
        return next(context);
    }

    // What goes into logs and headers of others: nothing that could end a line there.
    private static bool IsVisible(string text) => !text.AsSpan().ContainsAnyExceptInRange('!', '~');
}
