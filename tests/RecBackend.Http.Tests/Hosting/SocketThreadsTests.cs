using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using RecBackend.Http.Hosting;

namespace RecBackend.Http.Tests.Hosting;

/// <summary>Which calls stay on the thread that received them. That thread is one of the test's own here, as is the one that brings the body.</summary>
public sealed class SocketThreadsTests
{
    private const string Socket = "socket";

    [Fact]
    public async Task Call_runs_on_the_pool_from_its_first_step_and_after_each_wait_for_its_body()
    {
        var threads = await RunAsync(new Endpoint(null, EndpointMetadataCollection.Empty, "any"));
        Assert.Equal(4, threads.Count);
        Assert.All(threads, thread => Assert.Equal("pool", thread));
    }

    [Fact]
    public async Task Call_whose_body_breaks_off_fails_on_the_pool()
    {
        var threads = await RunAsync(new Endpoint(null, EndpointMetadataCollection.Empty, "any"), breaks: true);
        Assert.Equal(5, threads.Count);
        Assert.All(threads, thread => Assert.Equal("pool", thread));
    }

    [Fact]
    public async Task Call_that_no_route_knows_runs_on_the_pool()
    {
        Assert.All(await RunAsync(null), thread => Assert.Equal("pool", thread));
    }

    [Fact]
    public async Task Host_whose_calls_come_on_the_pool_moves_none()
    {
        Assert.Contains(Socket, await RunAsync(new Endpoint(null, EndpointMetadataCollection.Empty, "any"), onSocketThreads: false));
    }

    [Fact]
    public async Task Call_that_is_marked_stays_on_the_thread_that_received_it()
    {
        var marked = new MarkedEndpoint();
        marked.StayOnSocketThread();
        var threads = await RunAsync(marked.Build());
        Assert.All(threads, thread => Assert.Equal(Socket, thread));
    }

    /// <summary>Receives a call on a thread of its own and reads its body, whose three pieces another such thread brings one by one; gives the threads that the call ran on.</summary>
    private static async Task<List<string>> RunAsync(Endpoint? endpoint, bool breaks = false, bool onSocketThreads = true)
    {
        var body = new SlowBody(pieces: 3, breaks);
        var threads = new List<string>();
        await using var services = new ServiceCollection().Configure<SocketTransportOptions>(sockets => sockets.UnsafePreferInlineScheduling = onSocketThreads).BuildServiceProvider();
        var app = new ApplicationBuilder(services);
        app.UsePoolThreads();
        app.Run(async context =>
        {
            threads.Add(Here());
            var buffer = new byte[16];
            try
            {
                while (await context.Request.Body.ReadAsync(buffer) > 0)
                {
                    threads.Add(Here());
                }
            }
            catch (IOException)
            {
                threads.Add(Here());
            }
        });

        var context = new DefaultHttpContext();
        context.SetEndpoint(endpoint);
        context.Request.Body = body;
        var call = app.Build();
        var done = new TaskCompletionSource<Task>();
        new Thread(() => done.SetResult(call(context))) { Name = Socket, IsBackground = true }.Start();
        await (await done.Task).WaitAsync(TimeSpan.FromSeconds(30));
        return threads;
    }

    private static string Here() => Thread.CurrentThread.IsThreadPoolThread ? "pool" : Thread.CurrentThread.Name ?? "?";

    private sealed class MarkedEndpoint : IEndpointConventionBuilder
    {
        private readonly List<Action<EndpointBuilder>> _conventions = [];

        public void Add(Action<EndpointBuilder> convention) => _conventions.Add(convention);

        public Endpoint Build()
        {
            var builder = new Builder();
            _conventions.ForEach(convention => convention(builder));
            return builder.Build();
        }

        private sealed class Builder : EndpointBuilder
        {
            public override Endpoint Build() => new(null, new EndpointMetadataCollection(Metadata), "marked");
        }
    }

    /// <summary>Each read waits, and whoever reads goes on on the thread that brings the piece.</summary>
    private sealed class SlowBody(int pieces, bool breaks) : MemoryStream
    {
        private int _left = pieces;

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (buffer.IsEmpty)
            {
                // Asks whether there is something.
                return ValueTask.FromResult(0);
            }

            if (_left-- == 0 && !breaks)
            {
                return ValueTask.FromResult(0);
            }

            var last = _left < 0;

            var read = new TaskCompletionSource<int>();
            var thread = new Thread(() =>
            {
                // Late enough for the reader to wait.
                Thread.Sleep(50);
                if (last)
                {
                    read.SetException(new IOException("broken off"));
                }
                else
                {
                    read.SetResult(1);
                }
            });
            (thread.Name, thread.IsBackground) = (Socket, true);
            thread.Start();
            return new(read.Task);
        }
    }
}
