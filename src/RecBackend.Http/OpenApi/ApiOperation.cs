using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using RecBackend.Http.Authentication;
using RecBackend.Http.Problems;

namespace RecBackend.Http.OpenApi;

/// <summary>Adds to each call what its endpoint's metadata say: body, IDs in the path, scope, and problem details.</summary>
internal sealed class ApiOperation : IOpenApiOperationTransformer
{
    public async Task TransformAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken cancellationToken)
    {
        var metadata = context.Description.ActionDescriptor.EndpointMetadata;
        if (metadata.OfType<RequestBodyDescription>().LastOrDefault() is { } body)
        {
            operation.RequestBody = await BodyAsync(body, context, cancellationToken);
        }

        AddPathParameters(operation, context.Description.RelativePath ?? "");
        AddScope(operation, context, metadata.OfType<ScopeRequirement>().LastOrDefault()?.Scope ?? ApiScope.Admin);
        operation.Responses ??= [];
        operation.Responses["default"] = new OpenApiResponse
        {
            Description = "Problem details (RFC 9457) with a stable code.",
            Content = new Dictionary<string, OpenApiMediaType> { [Problem.ContentType] = new OpenApiMediaType { Schema = ProblemSchema() } },
        };
    }

    private static async Task<OpenApiRequestBody> BodyAsync(RequestBodyDescription body, OpenApiOperationTransformerContext context, CancellationToken cancellation)
    {
        var content = new Dictionary<string, OpenApiMediaType>();
        foreach (var contentType in body.ContentTypes)
        {
            var holdsBytes = body.Type is null || contentType == "application/octet-stream";
            content[contentType] = new OpenApiMediaType
            {
                Schema = holdsBytes
                    ? new OpenApiSchema { Type = JsonSchemaType.String, Format = "binary" }
                    : await context.GetOrCreateSchemaAsync(body.Type!, null, cancellation),
            };
        }

        return new OpenApiRequestBody { Required = body.Required, Content = content };
    }

    private static void AddPathParameters(OpenApiOperation operation, string path)
    {
        foreach (var segment in path.Split('/'))
        {
            if (!segment.StartsWith('{'))
            {
                continue;
            }

            var name = segment.Trim('{', '}');
            operation.Parameters ??= [];
            if (operation.Parameters.All(parameter => parameter.Name != name))
            {
                operation.Parameters.Add(new OpenApiParameter
                {
                    Name = name,
                    In = ParameterLocation.Path,
                    Required = true,
                    Schema = new OpenApiSchema { Type = JsonSchemaType.String },
                });
            }
        }
    }

    private static void AddScope(OpenApiOperation operation, OpenApiOperationTransformerContext context, ApiScope scope)
    {
        if (scope == ApiScope.None)
        {
            return;
        }

        operation.Description = $"Needs a key with scope {scope.ToString().ToLowerInvariant().Replace(", ", " or ", StringComparison.Ordinal)}.";
        operation.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(ApiDocument.KeyScheme, context.Document)] = [] }];
    }

    private static OpenApiSchema ProblemSchema() => new()
    {
        Type = JsonSchemaType.Object,
        Required = new HashSet<string> { "type", "title", "status", "detail", "code" },
        Properties = new Dictionary<string, IOpenApiSchema>
        {
            ["type"] = new OpenApiSchema { Type = JsonSchemaType.String },
            ["title"] = new OpenApiSchema { Type = JsonSchemaType.String },
            ["status"] = new OpenApiSchema { Type = JsonSchemaType.Integer },
            ["detail"] = new OpenApiSchema { Type = JsonSchemaType.String },
            ["code"] = new OpenApiSchema { Type = JsonSchemaType.String, Enum = [.. ProblemCode.All.Select(code => (System.Text.Json.Nodes.JsonNode)code.Code)] },
            ["place"] = new OpenApiSchema { Type = JsonSchemaType.String },
        },
    };
}
