using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace RecBackend.Http.OpenApi;

/// <summary>What holds for the API as a whole: its name, and keys.</summary>
internal sealed class ApiDocument : IOpenApiDocumentTransformer
{
    /// <summary>Name of the key's scheme in the document.</summary>
    public const string KeyScheme = "key";

    public Task TransformAsync(OpenApiDocument document, OpenApiDocumentTransformerContext context, CancellationToken cancellationToken)
    {
        document.Info = new OpenApiInfo
        {
            Title = "RecBackend",
            Version = "v1",
            Description = "Ranks items for a user by the probability of a click. Errors are RFC 9457 problem details with a stable code.",
        };
        document.Servers?.Clear();
        document.Components ??= new OpenApiComponents();
        document.Components.SecuritySchemes ??= new Dictionary<string, IOpenApiSecurityScheme>();
        document.Components.SecuritySchemes[KeyScheme] = new OpenApiSecurityScheme
        {
            Type = SecuritySchemeType.Http,
            Scheme = "bearer",
            Description = "A key with the scope that the call names. Scope admin grants every call.",
        };
        return Task.CompletedTask;
    }
}
