using System.IO.Pipelines;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;

namespace RecBackend.Http.Hosting;

/// <summary>
/// Lets the threads that wait for sockets run the calls that arrive there, up to their first wait. Otherwise a call changes its thread three times before its body is read, and each change waits
/// until the system has woken a thread. Only rankings stay there: they are read and go to threads of their own (<see cref="Ranking.RankLanes"/>). Every other call goes to the pool at once, since
/// one that computes, or waits for a disk, would hold up all connections of its socket thread.
/// </summary>
public static class SocketThreads
{
    // What .NET reads when the first socket is made. With it there are as many of these threads as processors.
    private const string InlineCompletions = "DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS";

    /// <summary>
    /// Before the first socket of the process. It is for all sockets of the process, so that it is not for a host that speaks to others meanwhile. The host's options must say the same
    /// (<see cref="RecBackendHttpOptions.RunsCallsOnSocketThreads"/>), or its calls do not go to the pool.
    /// </summary>
    public static IWebHostBuilder RunCallsOnSocketThreads(this IWebHostBuilder web)
    {
        if (Environment.GetEnvironmentVariable(InlineCompletions) is null)
        {
            Environment.SetEnvironmentVariable(InlineCompletions, "1");
        }

        return web.ConfigureServices(services => services.Configure<SocketTransportOptions>(sockets => sockets.UnsafePreferInlineScheduling = true));
    }

    /// <summary>Moves calls that are not marked by <see cref="StayOnSocketThread{TBuilder}"/> to the pool. Runs after routing.</summary>
    internal static IApplicationBuilder UsePoolThreads(this IApplicationBuilder app) => app.UseMiddleware<PoolMiddleware>();

    /// <summary>Marks a call that may run on the thread that received it: it neither waits nor computes there.</summary>
    internal static TBuilder StayOnSocketThread<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder =>
        endpoint.WithMetadata(new ShortCall());

    /// <summary>Endpoint metadata: may run on a socket thread.</summary>
    private sealed record ShortCall;

    private sealed class PoolMiddleware(RequestDelegate next)
    {
        public Task InvokeAsync(HttpContext context) => context.GetEndpoint()?.Metadata.GetMetadata<ShortCall>() is null ? OnPoolAsync(context) : next(context);

        private async Task OnPoolAsync(HttpContext context)
        {
            await Task.Yield();
            if (!IsWhole(context.Request.BodyReader))
            {
                context.Request.Body = new PoolBody(context.Request.Body);
            }

            await next(context);
        }

        /// <summary>Whether the body came with the head, as small ones do: then nobody waits for it.</summary>
        private static bool IsWhole(PipeReader body)
        {
            if (!body.TryRead(out var read))
            {
                return false;
            }

            body.AdvanceTo(read.Buffer.Start);
            return read.IsCompleted;
        }
    }

    /// <summary>A body whose readers go on on the pool: a read that has to wait ends on the socket thread that brings the bytes.</summary>
    private sealed class PoolBody(Stream body) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var reading = body.ReadAsync(buffer, cancellationToken);
            return reading.IsCompleted ? reading : OnPoolAsync(reading);
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => body.Read(buffer, offset, count);

        public override void Flush()
        {
            // Nothing is written.
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        private static async ValueTask<int> OnPoolAsync(ValueTask<int> reading)
        {
            var read = await reading;
            await Task.Yield();
            return read;
        }
    }
}
