using RecBackend.Gateway.Routing;
using RecBackend.Gateway.Tests.Hosting;

namespace RecBackend.Gateway.Tests.Routing;

public sealed class RetryTests
{
    [Theory]
    [InlineData("POST", "/v1/rank")]
    [InlineData("POST", "/v1/events")]
    [InlineData("PUT", "/v1/items/i")]
    [InlineData("DELETE", "/v1/items/i")]
    [InlineData("GET", "/v1/users/u")]
    public async Task Call_that_may_be_made_twice_is_made_again_if_its_host_breaks_off(string method, string path)
    {
        await using var pair = await Pair.StartAsync();
        for (var i = 0; i < 10; i++)
        {
            var body = method is "GET" or "DELETE" ? null : new ByteArrayContent(new byte[RetryMiddleware.KeptBody]);
            var answer = await pair.Gateway.SendAsync(new HttpMethod(method), path, body);
            Assert.Equal((200, "well"), (answer.Status, answer.Host));
            Assert.Equal(body is null ? 0 : RetryMiddleware.KeptBody, pair.Well.Seen.Last().Body);
        }
    }

    [Fact]
    public async Task Call_is_made_twice_at_most()
    {
        await using var pair = await Pair.StartAsync();
        pair.Well.Answer = pair.Broken.Answer;
        var answer = await pair.Gateway.RankAsync();
        Assert.Equal(502, answer.Status);
        Assert.Contains("upstream_unavailable", answer.Text, StringComparison.Ordinal);
        Assert.Equal((1, 1), (pair.Well.Seen.Count, pair.Broken.Seen.Count));
    }

    [Fact]
    public async Task Call_that_would_start_a_second_job_is_not_made_again()
    {
        await using var pair = await Pair.StartAsync();
        Assert.Equal(502, (await pair.Gateway.SendAsync(HttpMethod.Post, "/v1/warm", new StringContent("{}"))).Status);
        Assert.Empty(pair.Well.Seen);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Body_that_is_too_large_to_be_kept_arrives_whole_and_is_not_sent_again(bool chunked)
    {
        await using var pair = await Pair.StartAsync();
        const int Length = RetryMiddleware.KeptBody + 1;
        var statuses = new HashSet<int>();
        for (var i = 0; i < 60 && statuses.Count < 2; i++)
        {
            statuses.Add((await pair.Gateway.SendAsync(
                HttpMethod.Post, "/v1/events", new StreamContent(new MemoryStream(new byte[Length])), request => request.Headers.TransferEncodingChunked = chunked)).Status);
        }

        Assert.Equal([200, 502], statuses.Order());
        Assert.All(pair.Well.Seen, seen => Assert.Equal(Length, seen.Body));
    }

    /// <summary>A host that breaks off every call after it has read it, one that answers, and a gateway before them.</summary>
    private sealed class Pair : IAsyncDisposable
    {
        public required FakeHost Broken { get; init; }

        public required FakeHost Well { get; init; }

        public required RunningGateway Gateway { get; init; }

        public static async Task<Pair> StartAsync()
        {
            var (broken, well) = (await FakeHost.StartAsync("broken"), await FakeHost.StartAsync("well"));
            broken.Answer = context =>
            {
                context.Abort();
                return Task.CompletedTask;
            };
            return new Pair { Broken = broken, Well = well, Gateway = await RunningGateway.StartAsync([broken.Address, well.Address]) };
        }

        public async ValueTask DisposeAsync()
        {
            await Gateway.DisposeAsync();
            await Well.DisposeAsync();
            await Broken.DisposeAsync();
        }
    }
}
