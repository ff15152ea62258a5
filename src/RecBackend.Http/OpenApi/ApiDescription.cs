using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using RecBackend.Http.Wire;

namespace RecBackend.Http.OpenApi;

/// <summary>Endpoint metadata: the body that a call takes. Endpoints read their bodies themselves, so nothing can be inferred.</summary>
/// <param name="Type">What it holds; null for bytes.</param>
/// <param name="ContentTypes">In which forms.</param>
/// <param name="Required">Whether it may be left out.</param>
internal sealed record RequestBodyDescription(Type? Type, IReadOnlyList<string> ContentTypes, bool Required);

/// <summary>Says what a call takes and gives, for <c>openapi/v1.json</c>.</summary>
internal static class ApiDescription
{
    private const string Json = "application/json";
    private const string Ndjson = "application/x-ndjson";

    public static IServiceCollection AddApiDescription(this IServiceCollection services) => services
        .ConfigureHttpJsonOptions(json =>
        {
            json.SerializerOptions.TypeInfoResolverChain.Insert(0, WireJson.Default);
            json.SerializerOptions.PropertyNamingPolicy = System.Text.Json.JsonNamingPolicy.SnakeCaseLower;
        })
        .AddOpenApi("v1", options => options
            .AddDocumentTransformer<ApiDocument>()
            .AddOperationTransformer<ApiOperation>());

    /// <summary>Enters the endpoint into the description.</summary>
    public static TBuilder Describe<TBuilder>(this TBuilder endpoint, string summary)
        where TBuilder : IEndpointConventionBuilder
    {
        // Only endpoints with a method are described, and a RequestDelegate does not count as one by itself.
        endpoint.Add(builder => builder.Metadata.Add(builder.RequestDelegate!.Method));
        return endpoint.WithSummary(summary);
    }

    public static IEndpointConventionBuilder Takes<T>(this IEndpointConventionBuilder endpoint, bool optional = false) =>
        endpoint.WithMetadata(new RequestBodyDescription(typeof(T), [Json], !optional));

    public static IEndpointConventionBuilder TakesBatch<T>(this IEndpointConventionBuilder endpoint, params string[] others) =>
        endpoint.WithMetadata(new RequestBodyDescription(typeof(T), [Ndjson, Json, .. others], Required: true));

    public static IEndpointConventionBuilder TakesBytes(this IEndpointConventionBuilder endpoint, string contentType) =>
        endpoint.WithMetadata(new RequestBodyDescription(null, [contentType], Required: true));

    public static IEndpointConventionBuilder Gives<T>(this IEndpointConventionBuilder endpoint, int status = StatusCodes.Status200OK) =>
        endpoint.WithMetadata(new ProducesResponseTypeMetadata(status, typeof(T), [Json]));

    public static IEndpointConventionBuilder GivesNothing(this IEndpointConventionBuilder endpoint) =>
        endpoint.WithMetadata(new ProducesResponseTypeMetadata(StatusCodes.Status204NoContent));

    public static IEndpointConventionBuilder GivesText(this IEndpointConventionBuilder endpoint, string contentType) =>
        endpoint.WithMetadata(new ProducesResponseTypeMetadata(StatusCodes.Status200OK, typeof(string), [contentType]));
}
