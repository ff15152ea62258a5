using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Wire;

/// <summary>
/// The request's target as it came over the wire. IDs are read from it, and the gateway forwards it, because <see cref="HttpRequest.Path"/> does not tell <c>a%2Fb</c> from <c>a/b</c>.
/// </summary>
public static class RawTarget
{
    /// <summary>Path and query of the target; empty if it has none, as <c>OPTIONS *</c>.</summary>
    public static string PathAndQuery(HttpContext context)
    {
        var target = Target(context);
        if (IsOrigin(target))
        {
            return target;
        }

        // The absolute form, `GET http://host/path`. The first `://` only: a query may hold another.
        var authority = target.IndexOf("://", StringComparison.Ordinal);
        var path = authority < 0 ? -1 : target.IndexOf('/', authority + 3);
        return path < 0 ? "" : target[path..];
    }

    /// <summary>The path alone.</summary>
    internal static ReadOnlySpan<char> Path(HttpContext context)
    {
        var target = PathAndQuery(context);
        var query = target.IndexOf('?', StringComparison.Ordinal);
        return query < 0 ? target : target.AsSpan(0, query);
    }

    /// <summary>
    /// Whether everybody who reads the target finds the same path in it. Not so with a segment <c>.</c> or <c>..</c>, which one reader removes and another counts, plain or as <c>%2e</c>; with a
    /// <c>\</c>, which some take for a <c>/</c>; and with a <c>#</c>, where some stop reading. And not with an
    /// escape in the absolute form, where Kestrel makes <c>/</c> of <c>%2F</c>.
    /// </summary>
    internal static bool IsPlain(HttpContext context)
    {
        var path = Path(context);
        var isAbsolute = !IsOrigin(Target(context));
        if (PathAndQuery(context).AsSpan().ContainsAny('\\', '#') || (isAbsolute && path.Contains('%')))
        {
            return false;
        }

        foreach (var segment in path.Split('/'))
        {
            if (IsDots(path[segment]))
            {
                return false;
            }
        }

        return true;
    }

    private static string Target(HttpContext context) => context.Features.Get<IHttpRequestFeature>()?.RawTarget ?? "";

    private static bool IsOrigin(string target) => target.StartsWith('/');

    private static bool IsDots(ReadOnlySpan<char> segment)
    {
        var dots = 0;
        while (!segment.IsEmpty)
        {
            var length = segment[0] == '.' ? 1 : segment.StartsWith("%2e", StringComparison.OrdinalIgnoreCase) ? 3 : 0;
            if (length == 0 || ++dots > 2)
            {
                return false;
            }

            segment = segment[length..];
        }

        return dots > 0;
    }
}

/// <summary>Adds the check of targets to a host.</summary>
public static class PlainTargetExtensions
{
    /// <summary>Refuses a target that another reader may take for another call: routing, key check, gateway and server would not speak of the same item.</summary>
    public static IApplicationBuilder UsePlainTargets(this IApplicationBuilder app) => app.Use(static (context, next) => RawTarget.IsPlain(context)
        ? next(context)
        : new Problem(ProblemCode.PathInvalid, "Percent-encode `\\` and `#` in IDs, and send IDs that need it by path, not by a whole URL; an item whose ID is `.` or `..` can be written with a batch only.").WriteAsync(context));
}
