using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.OpenApi;

public sealed class OpenApiTests(SharedHost shared) : IClassFixture<SharedHost>
{
    private readonly RunningHost _host = shared.Host;

    [Fact]
    public async Task Document_has_every_endpoint_and_no_other()
    {
        var document = (await _host.GetAsync("/openapi/v1.json")).Json;
        var described = document["paths"]!.AsObject().SelectMany(path => path.Value!.AsObject().Select(verb => $"{verb.Key.ToUpperInvariant()} {path.Key}"));
        var mapped = _host.App.Services.GetServices<EndpointDataSource>().SelectMany(source => source.Endpoints).OfType<RouteEndpoint>()
            .Where(endpoint => !endpoint.RoutePattern.RawText!.StartsWith("/openapi", StringComparison.Ordinal))
            .SelectMany(endpoint => endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()!.HttpMethods.Select(verb => $"{verb} {endpoint.RoutePattern.RawText}"));
        Assert.Equal(mapped.Distinct().Order(), described.Order());
        foreach (var (path, verbs) in document["paths"]!.AsObject())
        {
            foreach (var (verb, operation) in verbs!.AsObject())
            {
                Assert.True(operation!["summary"] is not null && operation["responses"]!["default"] is not null, $"{verb} {path}");
                Assert.Equal(path.Contains('{', StringComparison.Ordinal), operation["parameters"] is not null);
            }
        }
    }

    [Theory]
    [InlineData("post", "/v1/rank", """{"user":"u","items":["a"],"context":{"x":1.5},"limit":3,"model":null,"explain":true,"request_id":"r"}""")]
    [InlineData("post", "/v1/events", """{"event_id":"e","type":"click","user":"u","item":"a","timestamp":1700000000,"request_id":null}""")]
    [InlineData("put", "/v1/items/{id}", """{"title":"t","text":null,"categories":["c"],"tags":[],"attributes":{"year":"1999"},"image":"AAAA","image_features":[0.5]}""")]
    [InlineData("put", "/v1/users/{id}", """{"attributes":{"gender":"F"}}""")]
    [InlineData("put", "/v1/items/{id}/embedding", """{"bundle":null,"representation":[0.5,1]}""")]
    [InlineData("post", "/v1/warm", """{"items":["a"]}""")]
    public async Task Body_that_is_accepted_fits_its_schema_and_a_wrong_one_does_not(string verb, string path, string body)
    {
        var document = (await _host.GetAsync("/openapi/v1.json")).Json;
        var schema = document["paths"]![path]![verb]!["requestBody"]!["content"]!["application/json"]!["schema"]!;
        Assert.Null(Misfit(document, schema, JsonNode.Parse(body)!, "body"));
        var wrong = JsonNode.Parse(body)!.AsObject();
        foreach (var (name, value) in wrong.ToList())
        {
            wrong[name] = value is JsonObject ? 5 : new JsonObject { ["no"] = "such" };
            Assert.NotNull(Misfit(document, schema, wrong, "body"));
            wrong[name] = value?.DeepClone();
        }
    }

    [Fact]
    public async Task Replies_fit_their_schemas()
    {
        var document = (await _host.GetAsync("/openapi/v1.json")).Json;
        (string Verb, string Path, Answer Answer)[] replies =
        [
            ("post", "/v1/rank", await _host.PostAsync("/v1/rank", """{"user":"u","items":["i01","nope"],"explain":true}""")),
            ("post", "/v1/events", await _host.PostAsync("/v1/events", """[{"event_id":"o1","type":"click","user":"openapi","item":"i01"},5]""")),
            ("get", "/v1/items/{id}", await _host.GetAsync("/v1/items/i01")),
            ("get", "/v1/users/{id}", await _host.GetAsync("/v1/users/openapi")),
            ("get", "/v1/models", await _host.GetAsync("/v1/models")),
            ("get", "/v1/cluster", await _host.GetAsync("/v1/cluster")),
            ("get", "/v1/jobs", await _host.GetAsync("/v1/jobs")),
            ("get", "/healthz/ready", await _host.GetAsync("/healthz/ready")),
        ];
        foreach (var (verb, path, answer) in replies)
        {
            var schema = document["paths"]![path]![verb]!["responses"]!["200"]!["content"]!["application/json"]!["schema"]!;
            var misfit = Misfit(document, schema, answer.Json, path);
            Assert.True(misfit is null, $"{misfit}: {answer.Text}");
        }
    }

    /// <summary>Where a value does not fit a schema, by the keywords that the document uses; null if it fits.</summary>
    private static string? Misfit(JsonNode document, JsonNode schema, JsonNode? value, string place)
    {
        if (schema["$ref"] is { } reference)
        {
            var target = ((string)reference!).Split('/').Skip(1).Aggregate(document, (node, key) => node[key]!);
            return Misfit(document, target, value, place);
        }

        foreach (var choice in new[] { "oneOf", "anyOf" })
        {
            if (schema[choice] is JsonArray options)
            {
                return options.Any(option => Misfit(document, option!, value, place) is null) ? null : $"{place} fits no choice";
            }
        }

        var types = schema["type"] switch
        {
            JsonArray several => [.. several.Select(type => (string)type!)],
            JsonValue one => new[] { (string)one! },
            _ => null,
        };
        if (types is not null && !types.Any(type => Is(type, value)))
        {
            return $"{place} is no {string.Join(" or ", types)}";
        }

        switch (value)
        {
            case JsonObject members:
                foreach (var required in schema["required"]?.AsArray() ?? [])
                {
                    if (!members.ContainsKey((string)required!))
                    {
                        return $"{place} lacks {required}";
                    }
                }

                foreach (var (name, member) in members)
                {
                    var known = schema["properties"]?[name] ?? schema["additionalProperties"];
                    if (known is null)
                    {
                        return $"{place}.{name} is not described";
                    }

                    if (known is JsonObject && Misfit(document, known, member, $"{place}.{name}") is { } misfit)
                    {
                        return misfit;
                    }
                }

                return null;
            case JsonArray elements:
                return elements.Select((element, i) => Misfit(document, schema["items"]!, element, $"{place}[{i}]")).FirstOrDefault(misfit => misfit is not null);
            default:
                return null;
        }
    }

    private static bool Is(string type, JsonNode? value) => (type, value?.GetValueKind()) switch
    {
        ("null", null or System.Text.Json.JsonValueKind.Null) => true,
        ("object", System.Text.Json.JsonValueKind.Object) => true,
        ("array", System.Text.Json.JsonValueKind.Array) => true,
        ("string", System.Text.Json.JsonValueKind.String) => true,
        ("boolean", System.Text.Json.JsonValueKind.True or System.Text.Json.JsonValueKind.False) => true,
        ("number", System.Text.Json.JsonValueKind.Number) => true,
        ("integer", System.Text.Json.JsonValueKind.Number) => true,
        _ => false,
    };
}
