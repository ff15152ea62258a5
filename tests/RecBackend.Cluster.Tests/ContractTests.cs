using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Engine.Contract;
using Xunit.Abstractions;

namespace RecBackend.Cluster.Tests;

[Collection(BackingCollection.Name)]
public sealed class ClusterUserTests(Backing backing) : UserContract
{
    protected override IEngineFixture CreateFixture() => new ClusterFixture(backing);
}

[Collection(BackingCollection.Name)]
public sealed class ClusterItemTests(Backing backing) : ItemContract
{
    protected override IEngineFixture CreateFixture() => new ClusterFixture(backing);
}

[Collection(BackingCollection.Name)]
public sealed class ClusterChangeFeedTests(Backing backing) : ChangeFeedContract
{
    protected override IEngineFixture CreateFixture() => new ClusterFixture(backing);
}

[Collection(BackingCollection.Name)]
public sealed class ClusterConcurrencyTests(Backing backing, ITestOutputHelper output) : ConcurrencyContract(output)
{
    protected override IEngineFixture CreateFixture() => new ClusterFixture(backing);
}
