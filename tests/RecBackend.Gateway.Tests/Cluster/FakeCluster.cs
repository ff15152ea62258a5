using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using RecBackend.Gateway.Tests.Hosting;

namespace RecBackend.Gateway.Tests.Cluster;

/// <summary>Silos over real sockets that all tell the same of their cluster, as it is told here.</summary>
internal sealed class FakeCluster : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, Member> _members = [];

    public FakeHost this[string name] => _members[name].Host;

    public async Task<FakeHost> JoinAsync(string name, params string[] roles)
    {
        var host = await FakeHost.StartAsync(name);
        host.Cluster = Tell;
        _members[name] = new Member(host, roles.Length > 0 ? roles : ["entity", "scoring"]);
        return host;
    }

    public void Drain(string name) => _members[name].Draining = true;

    public void SetReady(string name, bool ready) => _members[name].Ready = ready;

    public void Leave(string name) => _members.TryRemove(name, out _);

    public string Tell() => new JsonObject
    {
        ["silos"] = new JsonArray([.. _members.Select(member => member.Value.Tell(member.Key))]),
        ["of_a_later_version"] = 1,
    }.ToJsonString();

    public async ValueTask DisposeAsync()
    {
        foreach (var member in _members.Values)
        {
            await member.Host.DisposeAsync();
        }
    }

    private sealed class Member(FakeHost host, string[] roles)
    {
        public FakeHost Host => host;

        public volatile bool Ready = true;
        public volatile bool Draining;

        public JsonObject Tell(string name) => new JsonObject
        {
            ["name"] = name,
            ["address"] = host.Address.ToString(),
            ["roles"] = new JsonArray([.. roles.Select(role => (JsonNode)role)]),
            ["ready"] = Ready,
            ["draining"] = Draining,
            ["items"] = Random.Shared.Next(100),
            ["catalog_version"] = 1,
            ["catalog_bytes"] = 1,
            ["lag"] = 0,
        };
    }
}
