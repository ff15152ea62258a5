using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Problems;

public sealed class UnicodeTests(SharedHost shared) : IClassFixture<SharedHost>
{
    [Theory]
    [InlineData("""{"\ud800":1}""")]
    [InlineData("""{"user":"u","items":[{"\ud800":"a"}]}""")]
    [InlineData("""{"user":"u","items":["i01"],"context":{"\udc00\ud800":1}}""")]
    public async Task Member_name_with_half_a_surrogate_pair_gets_400(string body) =>
        (await shared.Host.PostAsync("/v1/rank", body)).IsProblem(400, "json_invalid");
}
