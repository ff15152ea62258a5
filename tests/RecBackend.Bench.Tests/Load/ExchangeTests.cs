using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using RecBackend.Bench.Load;

namespace RecBackend.Bench.Tests.Load;

/// <summary>Against a real Kestrel that answers each request by its body.</summary>
public sealed class ExchangeTests : IAsyncLifetime
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly TaskCompletionSource _silence = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _silent = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Of each request, in the order of their coming: tests that read it ask one after the other.
    private readonly List<string> _connections = [];
    private WebApplication? _server;

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http1);
            kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http2);
        });
        _server = builder.Build();
        _server.MapPost("/v1/rank", AnswerAsync);
        await _server.StartAsync();
    }

    public async Task DisposeAsync()
    {
        _silence.TrySetResult();
        await _server!.DisposeAsync();
    }

    [Theory]
    [InlineData("1.1")]
    [InlineData("2.0")]
    public async Task Each_answer_is_counted_as_what_it_is(string version)
    {
        (string Asked, Outcome Expected)[] answers =
        [
            ("""200 {"request_id":"1","model":"m","mode":"model","reason":null,"items":[]}""", Outcome.Model),
            ("""200 {"request_id":"1","model":null,"mode":"fallback","reason":"overloaded","items":[]}""", Outcome.FallbackOverloaded),
            ("""200 {"request_id":"1","model":null,"mode":"fallback","reason":"deadline_exceeded","items":[]}""", Outcome.FallbackDeadline),
            ("""200 {"request_id":"1","model":null,"mode":"fallback","reason":"no_model","items":[]}""", Outcome.FallbackOther),
            ("""200 {"hello":"world"}""", Outcome.Unexpected),
            ("429 {}", Outcome.TooManyRequests),
            ("503 {}", Outcome.Unavailable),
            ("500 {}", Outcome.Unexpected),
            ("abort", Outcome.Broken),
        ];
        using var exchange = To(version, deadline: null, [.. answers.Select(x => x.Asked)]);

        for (var i = 0; i < answers.Length; i++)
        {
            Assert.Equal((answers[i].Asked, answers[i].Expected), (answers[i].Asked, await exchange.SendAsync(i, CancellationToken.None).WaitAsync(Limit)));
        }
    }

    [Theory]
    [InlineData("1.1")]
    [InlineData("2.0")]
    public async Task Request_that_is_given_up_is_timed_out_and_the_next_one_is_answered(string version)
    {
        using var exchange = To(version, deadline: null, "silence", """200 {"mode":"model","reason":null}""");
        using var giveUp = new CancellationTokenSource();
        var held = exchange.SendAsync(0, giveUp.Token);
        await _silent.Task.WaitAsync(Limit);
        await giveUp.CancelAsync();

        Assert.Equal(Outcome.TimedOut, await held.WaitAsync(Limit));
        Assert.Equal(Outcome.Model, await exchange.SendAsync(1, CancellationToken.None).WaitAsync(Limit));
    }

    [Theory]
    [InlineData("1.1")]
    [InlineData("2.0")]
    public async Task Long_answer_is_read_to_its_end(string version)
    {
        // Longer than the buffer, with the mode of another reply in its middle.
        using var exchange = To(version, deadline: null, $$"""200 {"mode":"model","reason":null,"items":["{{new string('x', 100_000)}}","mode":"fallback"]}""");

        Assert.Equal(Outcome.Model, await exchange.SendAsync(0, CancellationToken.None).WaitAsync(Limit));
        Assert.Equal(Outcome.Model, await exchange.SendAsync(1, CancellationToken.None).WaitAsync(Limit));
    }

    [Fact]
    public async Task Requests_one_after_the_other_go_over_one_connection_and_one_that_the_server_closed_is_replaced()
    {
        const string Ask = """connection {"mode":"model","reason":null}""";
        using var exchange = To("1.1", deadline: null, Ask, "close", "abort");

        Assert.Equal(Outcome.Model, await exchange.SendAsync(0, CancellationToken.None).WaitAsync(Limit));
        Assert.Equal(Outcome.Model, await exchange.SendAsync(0, CancellationToken.None).WaitAsync(Limit));
        Assert.Single(_connections.Distinct());

        // The server says that it closes the connection: a new one.
        Assert.Equal(Outcome.Model, await exchange.SendAsync(1, CancellationToken.None).WaitAsync(Limit));
        Assert.Equal(Outcome.Model, await exchange.SendAsync(0, CancellationToken.None).WaitAsync(Limit));
        Assert.Equal(2, _connections.Distinct().Count());

        // It breaks the kept one and the new one that is tried after it, and is asked no third time.
        var before = _connections.Count;
        Assert.Equal(Outcome.Broken, await exchange.SendAsync(2, CancellationToken.None).WaitAsync(Limit));
        Assert.Equal(2, _connections.Skip(before).Distinct().Count());
        Assert.Equal(before + 2, _connections.Count);
    }

    [Fact]
    public async Task Deadline_is_sent_as_the_header_of_the_api()
    {
        using var exchange = To("1.1", TimeSpan.FromMilliseconds(250), "deadline 250");
        using var other = To("1.1", TimeSpan.FromMilliseconds(300), "deadline 250");

        Assert.Equal(Outcome.Model, await exchange.SendAsync(0, CancellationToken.None).WaitAsync(Limit));
        Assert.Equal(Outcome.Unexpected, await other.SendAsync(0, CancellationToken.None).WaitAsync(Limit));
    }

    private IExchange To(string version, TimeSpan? deadline, params string[] bodies)
    {
        var address = _server!.Urls.ElementAt(version == "2.0" ? 1 : 0);
        return Exchange.Create(
            new Uri(address), Version.Parse(version), [.. bodies.Select(x => (ReadOnlyMemory<byte>)System.Text.Encoding.UTF8.GetBytes(x))], deadline);
    }

    private async Task AnswerAsync(HttpContext context)
    {
        using var reader = new StreamReader(context.Request.Body);
        var asked = (await reader.ReadToEndAsync()).Split(' ', 2);
        _connections.Add(context.Connection.Id);
        switch (asked[0])
        {
            case "close":
                context.Response.Headers.Connection = "close";
                await context.Response.WriteAsync("""{"mode":"model","reason":null}""");
                break;
            case "connection":
                await context.Response.WriteAsync(asked[1]);
                break;
            case "abort":
                context.Abort();
                break;
            case "silence":
                _silent.SetResult();
                await _silence.Task;
                break;
            case "deadline":
                context.Response.StatusCode = context.Request.Headers["Request-Timeout-Ms"] == asked[1] ? 200 : 400;
                await context.Response.WriteAsync("""{"mode":"model","reason":null}""");
                break;
            default:
                context.Response.StatusCode = int.Parse(asked[0], System.Globalization.CultureInfo.InvariantCulture);
                await context.Response.WriteAsync(asked[1]);
                break;
        }
    }
}
