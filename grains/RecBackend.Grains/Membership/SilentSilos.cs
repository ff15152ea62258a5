using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace RecBackend.Grains.Membership;

/// <summary>
/// Holds up the start of a silo while the table of silos has an active one that cannot be reached and whose sign of life is still fresh.
/// </summary>
/// <remarks>
/// A silo joins once it has reached all that are active. One that died is given up by those that watched it; where all died at once, by those that start, but only if its sign of life was old
/// when they looked, and they look again only when the table changes. Silos that start right after such a death would wait for the dead until their join is given up, after minutes.
/// </remarks>
internal sealed partial class SilentSilos(
    IMembershipTable table, ILocalSiloDetails self, IOptions<ClusterMembershipOptions> options, TimeProvider clock, ILogger<SilentSilos> log) : ILifecycleParticipant<ISiloLifecycle>
{
    // Once the table can be read, before this silo puts itself into it.
    private const int Stage = ServiceLifecycleStage.AfterRuntimeGrainServices - 1;

    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    private TimeSpan Fresh => options.Value.IAmAliveTablePublishTimeout * options.Value.NumMissedTableIAmAliveLimit;

    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(SilentSilos), Stage, WaitAsync);

    /// <summary>Returns when each active silo accepts a connection or has shown no sign of life for as long as Orleans wants; or after a little longer than that, since one that goes on with its signs of life is not dead.</summary>
    public async Task WaitAsync(CancellationToken cancellation)
    {
        for (var end = clock.GetUtcNow() + Fresh + ConnectLimit; clock.GetUtcNow() < end;)
        {
            try
            {
                var silent = await ReadAsync(cancellation);
                if (silent.Length == 0)
                {
                    return;
                }

                LogWait(silent.Length, silent[0]);
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                // Whoever joins after this reads the table too, and says what is wrong with it.
                LogUnreadable(error);
            }

            await Task.Delay(Interval, clock, cancellation);
        }
    }

    private async Task<SiloAddress[]> ReadAsync(CancellationToken cancellation)
    {
#pragma warning disable CS0618 // Later versions of 10.4 want ReadAllAsync, which 10.4.0 does not have.
        var entries = (await table.ReadAll()).Members.Select(member => member.Item1);
#pragma warning restore CS0618

        // One that ran at this silo's own address is taken for dead by Orleans itself.
        var fresh = entries.Where(entry => entry.Status == SiloStatus.Active && !entry.SiloAddress.Endpoint.Equals(self.SiloAddress.Endpoint) && IsFresh(entry)).ToArray();
        var reached = await Task.WhenAll(fresh.Select(entry => AcceptsAsync(entry.SiloAddress.Endpoint, cancellation)));
        return [.. fresh.Where((_, place) => !reached[place]).Select(entry => entry.SiloAddress)];
    }

    private bool IsFresh(MembershipEntry entry)
    {
        var seen = entry.IAmAliveTime > entry.StartTime ? entry.IAmAliveTime : entry.StartTime;
        return clock.GetUtcNow() - new DateTimeOffset(DateTime.SpecifyKind(seen, DateTimeKind.Utc)) <= Fresh;
    }

    private static async Task<bool> AcceptsAsync(IPEndPoint endpoint, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(ConnectLimit);
        using var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(endpoint, limit.Token);
            return true;
        }
        catch (Exception error) when (error is SocketException || (error is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return false;
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The table of silos cannot be read.")]
    private partial void LogUnreadable(Exception error);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Count} active silos cannot be reached, {First} among them: the start waits until they are known to be dead.")]
    private partial void LogWait(int count, SiloAddress first);
}
