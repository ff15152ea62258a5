using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace RecBackend.Http.Problems;

/// <summary>What went wrong with one request, as RFC 9457 problem details.</summary>
/// <param name="Code">Code, status and title.</param>
/// <param name="Detail">What was wrong here, and what to do.</param>
/// <param name="Place">Where in the request: a path such as <c>items[3].id</c>, or line and byte; null if it has no place.</param>
public sealed record Problem(ProblemCode Code, string Detail, string? Place = null)
{
    /// <summary>Content type of problem details.</summary>
    public const string ContentType = "application/problem+json";

    /// <summary>Answers the request with this problem. If the answer has begun already, the connection is cut, so that nobody takes the beginning for the whole.</summary>
    public async Task WriteAsync(HttpContext context)
    {
        var response = context.Response;
        if (response.HasStarted)
        {
            context.Abort();
            return;
        }

        var body = new ArrayBufferWriter<byte>(512);
        Write(body);
        response.StatusCode = Code.Status;
        response.ContentType = ContentType;
        response.ContentLength = body.WrittenCount;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await response.Body.WriteAsync(body.WrittenMemory, context.RequestAborted);
        }
    }

    // Not for HTML, so quotes and letters of other languages stay what they are.
    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private void Write(IBufferWriter<byte> body)
    {
        using var json = new Utf8JsonWriter(body, Readable);
        json.WriteStartObject();
        json.WriteString("type", $"urn:recbackend:problem:{Code.Code}");
        json.WriteString("title", Code.Title);
        json.WriteNumber("status", Code.Status);
        json.WriteString("detail", Detail);
        json.WriteString("code", Code.Code);
        if (Place is not null)
        {
            json.WriteString("place", Place);
        }

        json.WriteEndObject();
    }
}

/// <summary>Ends a request with a problem.</summary>
public sealed class ProblemException(Problem problem) : Exception(problem.Detail)
{
    /// <summary>Ends a request with a problem.</summary>
    public ProblemException(ProblemCode code, string detail, string? place = null)
        : this(new Problem(code, detail, place))
    {
    }

    /// <summary>The answer.</summary>
    public Problem Problem { get; } = problem;
}
