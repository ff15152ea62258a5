using System.IO.Pipelines;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using RecBackend.Core.Ranking;

namespace RecBackend.Http.Hosting;

/// <summary>
/// Lets the threads that wait for sockets run the calls that arrive there, up to their first wait. Otherwise a call changes its thread three times before its body is read, and each change waits
/// until the system has woken a thread. Only rankings stay there: they are read and go to threads of their own (<see cref="RankLanes"/>). Every other call goes to the pool at once, since
/// one that computes, or waits for a disk, would hold up all connections of its socket thread.
/// </summary>
public static class SocketThreads
{
    // What .NET reads when the first socket is made. With it there are as many of these threads as processors.
    private const string InlineCompletions = "DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS";

    /// <summary>
    /// Before the first socket of the process. It is for all sockets of the process, so that it is not for a host that speaks to others meanwhile.
    /// </summary>
    public static IWebHostBuilder RunCallsOnSocketThreads(this IWebHostBuilder web)
    {
        if (Environment.GetEnvironmentVariable(InlineCompletions) is null)
        {
            Environment.SetEnvironmentVariable(InlineCompletions, "1");
        }

        return web.ConfigureServices(services => services.Configure<SocketTransportOptions>(sockets => sockets.UnsafePreferInlineScheduling = true));
    }

    /// <summary>On a host whose calls run on socket threads, moves those that are not marked by <see cref="StayOnSocketThread{TBuilder}"/> to the pool. Runs after routing.</summary>
    internal static IApplicationBuilder UsePoolThreads(this IApplicationBuilder app) =>
        app.ApplicationServices.GetRequiredService<IOptions<SocketTransportOptions>>().Value.UnsafePreferInlineScheduling ? app.UseMiddleware<PoolMiddleware>() : app;

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
            var body = new PoolBody(context.Request.BodyReader);
            context.Features.Set<IRequestBodyPipeFeature>(body);
            context.Request.Body = body.AsStream();
            await next(context);
        }
    }

    /// <summary>A body whose readers go on on the pool: a read that has to wait ends on the socket thread that brings the bytes. It reads nothing by itself.</summary>
    private sealed class PoolBody(PipeReader body) : PipeReader, IRequestBodyPipeFeature
    {
        public PipeReader Reader => this;

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
        {
            var reading = body.ReadAsync(cancellationToken);
            return reading.IsCompleted ? reading : OnPoolAsync(reading);
        }

        public override bool TryRead(out ReadResult result) => body.TryRead(out result);

        public override void AdvanceTo(SequencePosition consumed) => body.AdvanceTo(consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => body.AdvanceTo(consumed, examined);

        public override void CancelPendingRead() => body.CancelPendingRead();

        public override void Complete(Exception? exception = null) => body.Complete(exception);

        public override ValueTask CompleteAsync(Exception? exception = null) => body.CompleteAsync(exception);

        private static async ValueTask<ReadResult> OnPoolAsync(ValueTask<ReadResult> reading)
        {
            // What follows a read that fails is the caller's work too.
            var read = reading.AsTask();
            await ((Task)read).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await Task.Yield();
            return await read;
        }
    }
}
