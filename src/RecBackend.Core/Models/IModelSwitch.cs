using RecBackend.Core.Jobs;

namespace RecBackend.Core.Models;

/// <summary>Port: changes the model that answers, on all hosts that serve together. A single host has its <see cref="ModelDirectory"/>.</summary>
public interface IModelSwitch
{
    /// <inheritdoc cref="ModelDirectory.ActivateAsync(string, JobProgress, CancellationToken)"/>
    Task ActivateAsync(string version, JobProgress progress, CancellationToken cancellation);

    /// <inheritdoc cref="ModelDirectory.RollbackAsync(string, JobProgress, CancellationToken)"/>
    Task RollbackAsync(string from, JobProgress progress, CancellationToken cancellation);
}
