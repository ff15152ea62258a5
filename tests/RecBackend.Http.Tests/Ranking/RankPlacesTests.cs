using System.Net.Sockets;
using System.Text;
using RecBackend.Core.Ranking;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Ranking;

/// <summary>The places of rankings (<c>Limits:ConcurrentRankings</c>), of a host that has one.</summary>
public sealed class RankPlacesTests : IAsyncLifetime
{
    private const string Body = """{"user":"u","items":["i01"]}""";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly SemaphoreSlim _held = new(0);
    private RunningHost _host = null!;

    public async Task InitializeAsync() => _host = await RunningHost.StartAsync(new HostSettings
    {
        Configuration = { ["RecBackend:Limits:ConcurrentRankings"] = "1", ["RecBackend:Limits:RankBody"] = "1000" },
        Ranker = inner => new ByUser(inner, _held),
    });

    public async Task DisposeAsync() => await _host.DisposeAsync();

    [Fact]
    public async Task Ranking_whose_body_is_still_on_its_way_holds_a_place()
    {
        using var slow = await BeginAsync(Body.Length);

        Assert.Equal(429, (await _host.PostAsync("/v1/rank", Body)).Status);

        await slow.GetStream().WriteAsync(Encoding.ASCII.GetBytes(Body));
        Assert.StartsWith("HTTP/1.1 200", await ReadLineAsync(slow.GetStream()), StringComparison.Ordinal);
        await PlaceComesBackAsync();
    }

    [Theory]
    [InlineData("{", 400)]
    [InlineData("""{"user":"u","items":"i01"}""", 400)]
    [InlineData("""{"user":"broken","items":["i01"]}""", 500)]
    public async Task Place_of_a_call_that_fails_comes_back(string body, int status)
    {
        Assert.Equal(status, (await _host.PostAsync("/v1/rank", body)).Status);
        await PlaceComesBackAsync();
    }

    [Fact]
    public async Task Place_of_a_call_with_a_body_that_is_too_large_comes_back()
    {
        Assert.Equal(413, (await _host.PostAsync("/v1/rank", Body + new string(' ', 2_000))).Status);
        await PlaceComesBackAsync();
    }

    [Fact]
    public async Task Place_of_a_call_with_a_bad_deadline_comes_back()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/rank") { Content = new StringContent(Body), Headers = { { "Request-Timeout-Ms", "soon" } } };
        using var answer = await _host.Client.SendAsync(request);
        Assert.Equal(400, (int)answer.StatusCode);
        await PlaceComesBackAsync();
    }

    [Fact]
    public async Task Place_of_a_caller_who_goes_away_within_the_body_comes_back()
    {
        using (var slow = await BeginAsync(Body.Length))
        {
            await slow.GetStream().WriteAsync(Encoding.ASCII.GetBytes(Body[..10]));
        }

        await PlaceComesBackAsync();
    }

    [Fact]
    public async Task Place_of_a_caller_who_goes_away_while_the_ranking_is_made_comes_back()
    {
        const string Held = """{"user":"held","items":["i01"]}""";
        using (var gone = await BeginAsync(Held.Length))
        {
            await gone.GetStream().WriteAsync(Encoding.ASCII.GetBytes(Held));
            Assert.True(await _held.WaitAsync(Patience));
        }

        await PlaceComesBackAsync();
    }

    /// <summary>A call of which the head is sent, and of which the host waits for the body: it says so once the endpoint reads.</summary>
    private async Task<TcpClient> BeginAsync(int length)
    {
        var client = new TcpClient();
        await client.ConnectAsync(_host.Address.Host, _host.Address.Port);
        var head = $"POST /v1/rank HTTP/1.1\r\nHost: {_host.Address.Authority}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n";
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head));
        Assert.Equal("HTTP/1.1 100 Continue", await ReadLineAsync(client.GetStream()));
        Assert.Empty(await ReadLineAsync(client.GetStream()));
        return client;
    }

    private static async Task<string> ReadLineAsync(NetworkStream stream)
    {
        using var patience = new CancellationTokenSource(Patience);
        var line = new StringBuilder();
        var one = new byte[1];
        while (await stream.ReadAsync(one, patience.Token) == 1 && one[0] != '\n')
        {
            line.Append((char)one[0]);
        }

        return line.ToString().TrimEnd('\r');
    }

    /// <summary>The call may end a moment after its caller has the answer, or has gone.</summary>
    private async Task PlaceComesBackAsync()
    {
        using var patience = new CancellationTokenSource(Patience);
        while ((await _host.PostAsync("/v1/rank", Body)).Status != 200)
        {
            await Task.Delay(5, patience.Token);
        }
    }

    /// <summary>Fails for the user <c>broken</c>, and ranks for the user <c>held</c> until the caller goes.</summary>
    private sealed class ByUser(IRanker inner, SemaphoreSlim held) : IRanker
    {
        public async ValueTask<Core.Ranking.Ranking> RankAsync(RankRequest request, CancellationToken cancellation)
        {
            switch (request.User)
            {
                case "broken":
                    throw new InvalidDataException("of the test");
                case "held":
                    held.Release();
                    await Task.Delay(Timeout.Infinite, cancellation);
                    break;
            }

            return await inner.RankAsync(request, cancellation);
        }
    }
}
