namespace RecBackend.Cluster.Tests.Hosting;

/// <summary>Runs code as a reentrant grain runs it: one turn at a time, which ends where it waits.</summary>
internal static class GrainTurns
{
    public static Task RunAsync(Func<Task> code) =>
        Task.Factory.StartNew(code, CancellationToken.None, TaskCreationOptions.DenyChildAttach, new ConcurrentExclusiveSchedulerPair().ExclusiveScheduler).Unwrap();
}
