using System.Net;

namespace RecBackend.Client;

/// <summary>The server refused a call, with problem details (RFC 9457), or without any if something in between answered.</summary>
public sealed class ProblemException : Exception
{
    internal ProblemException(HttpStatusCode status, string? code, string? title, string? detail, string? place)
        : base(Describe(status, code, title, detail, place))
    {
        Status = status;
        Code = code;
        Detail = detail;
        Place = place;
    }

    /// <summary>HTTP status of the answer.</summary>
    public HttpStatusCode Status { get; }

    /// <summary>The stable code to switch on, such as <c>item_unknown</c>; null if the answer held no problem details.</summary>
    public string? Code { get; }

    /// <summary>What was wrong and what to do.</summary>
    public string? Detail { get; }

    /// <summary>Where in the request, such as <c>items[3].id</c>.</summary>
    public string? Place { get; }

    private static string Describe(HttpStatusCode status, string? code, string? title, string? detail, string? place)
    {
        var what = detail ?? title ?? "The server gave no reason.";
        return $"{(int)status}{(code is null ? "" : $" {code}")}: {what}{(place is null ? "" : $" (at {place})")}";
    }
}
