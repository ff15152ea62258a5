using System.Diagnostics;
using RecBackend.Core.Storage;

namespace RecBackend.Grains.Calls;

/// <summary>Calls of grains that are tried again when the silo that held the grain went away, or when its activation found that another one writes. All calls of this project may be sent twice.</summary>
internal static class GrainCall
{
    /// <summary>For so long it is tried again, and once in any case: well above the time in which a silo that died is given up and what it held is elsewhere.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>
    /// For calls that wait until all shards of the items are loaded, as a start of the cluster does: many of them stand in line for it, and a start that gave up would only begin anew. A million items
    /// took more than two minutes with Azurite (docs/cluster.md).
    /// </summary>
    public static readonly TimeSpan WhileLoading = TimeSpan.FromMinutes(10);

    /// <summary>
    /// How long a call that writes waits for its answer, as <see cref="ResponseTimeoutAttribute"/> takes it: a storage may pause for seconds. If its silo dies, it ends sooner. Twice this time is less
    /// than the gateway gives a call.
    /// </summary>
    public const string WriteTime = "00:00:06";

    private static readonly TimeSpan FirstWait = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestWait = TimeSpan.FromMilliseconds(500);

    /// <param name="call">The call.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <param name="patience">For how long it is tried again; null = until a silo that died is given up.</param>
    public static async Task<TResult> TryAgainAsync<TResult>(Func<Task<TResult>> call, CancellationToken cancellation, TimeSpan? patience = null) =>
        (await TryAgainOrSayAsync(call, cancellation, patience)).Result;

    /// <summary>As <see cref="TryAgainAsync{TResult}"/>, and says whether there was a try before whose outcome is unknown.</summary>
    public static async Task<(TResult Result, bool Again)> TryAgainOrSayAsync<TResult>(Func<Task<TResult>> call, CancellationToken cancellation, TimeSpan? patience = null)
    {
        var (began, wait) = (Stopwatch.GetTimestamp(), FirstWait);
        for (var again = false; ; again = true)
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                return (await call(), again);
            }
            catch (Exception error) when (MayPass(error, cancellation) && (!again || Stopwatch.GetElapsedTime(began) < (patience ?? Patience)))
            {
                await Task.Delay(wait, cancellation);
                wait = wait * 3 < LongestWait ? wait * 3 : LongestWait;
            }
            catch (Exception error) when (MayPass(error, cancellation) && error is not StorageException)
            {
                throw new StorageException(StorageException.Unavailable, $"A silo does not answer: {error.Message} The outcome is unknown; it is safe to send the call again.", error);
            }
        }
    }

    public static Task TryAgainAsync(Func<Task> call, CancellationToken cancellation) => TryAgainAsync(
        async () =>
        {
            await call();
            return true;
        },
        cancellation);

    // What a storage throws while a grain is activated may arrive as any type, or as none that this silo knows; and Orleans throws its base class while no silo may hold the grain.
    // A cancellation that is not the caller's is that of an activation that took too long.
    private static bool MayPass(Exception error, CancellationToken cancellation) =>
        error is StorageException storage ? storage.Code == StorageException.Unavailable : !cancellation.IsCancellationRequested;
}
