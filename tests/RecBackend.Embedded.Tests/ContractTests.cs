using RecBackend.Engine.Contract;
using Xunit.Abstractions;

namespace RecBackend.Embedded.Tests;

public sealed class EmbeddedUserTests : UserContract
{
    protected override IEngineFixture CreateFixture() => new EmbeddedFixture();
}

public sealed class EmbeddedItemTests : ItemContract
{
    protected override IEngineFixture CreateFixture() => new EmbeddedFixture();
}

public sealed class EmbeddedChangeFeedTests : ChangeFeedContract
{
    protected override IEngineFixture CreateFixture() => new EmbeddedFixture();
}

public sealed class EmbeddedConcurrencyTests(ITestOutputHelper output) : ConcurrencyContract(output)
{
    protected override IEngineFixture CreateFixture() => new EmbeddedFixture();
}
