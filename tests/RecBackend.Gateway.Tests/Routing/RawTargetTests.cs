using RecBackend.Gateway.Tests.Hosting;
using RecBackend.Http.Authentication;

namespace RecBackend.Gateway.Tests.Routing;

public sealed class RawTargetTests
{
    [Fact]
    public async Task Target_that_the_host_could_read_as_another_call_is_refused_and_does_not_reach_it()
    {
        var (key, hash) = ApiKeyHash.Create();
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address], "--RecBackend:Keys:0:Hash", hash.ToString(), "--RecBackend:Keys:0:Scopes", "rank, ingest");
        var address = gateway.Client.BaseAddress!.AbsoluteUri.TrimEnd('/');
        string[] targets =
        [
            @"/v1/items/x\..\..\users\alice", @"/v1/items/x\..\..\models", "/v1/items/a#b", "/v1/items/a?x=1#/../..", "/v1/./items/x", "/v1/items/../items/x", "/v1/items/%2e%2E/models",
            "/v1/items/.", "/v1/items/.%2e/x", "/../v1/items/x",
            @$"{address}/v1/items/x\..\..\models", $"{address}/v1/./items/x", $"{address}/v1/items/x%2F..%2F..%2Fmodels", $"{address}/v1/items/a%2Fembedding",
        ];
        foreach (var target in targets)
        {
            foreach (var method in new[] { "GET", "DELETE" })
            {
                var (status, text) = await RawCall.SendAsync(gateway.Client.BaseAddress!, method, target, key);

                // Some whole URLs Kestrel refuses by itself, without words.
                Assert.True(status == 400 && (text.Contains("path_invalid", StringComparison.Ordinal) || !target.StartsWith('/')), $"{method} {target}: {text}");
            }
        }

        Assert.Empty(host.Seen);
    }

    [Fact]
    public async Task Target_in_any_form_arrives_with_its_path_as_it_was_written()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address]);
        string[] targets = ["/v1/items/a%2Fb", "/v1/items/...", "/v1/items/.a", "/v1/items/%2e%2e%2F%2e", "/v1/items/a%5C..%23b", "/v1/items/a?u=http://b/c/../d", "/v1/items/%7Ea%3f|^"];
        foreach (var target in targets)
        {
            var (status, text) = await RawCall.SendAsync(gateway.Client.BaseAddress!, "GET", target);
            Assert.True(status == 200, $"{target}: {text}");
        }

        Assert.Equal(200, (await RawCall.SendAsync(gateway.Client.BaseAddress!, "GET", gateway.Client.BaseAddress!.AbsoluteUri + "v1/items/whole?u=http://b/c")).Status);
        Assert.Equal([.. targets, "/v1/items/whole?u=http://b/c"], host.Seen.Select(seen => seen.Target));
    }
}
