using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Core.Models;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Tests;

internal static class TestRuntime
{
    public static ScoringRuntime Create(ScoringOptions? options = null, TimeProvider? clock = null) =>
        new(options ?? new ScoringOptions(), clock ?? TimeProvider.System, NullLogger<ScoringRuntime>.Instance);

    public static FileBundleStore Store(string folder, ScoringRuntime runtime) => new(folder, runtime, NullLogger<FileBundleStore>.Instance);

    /// <summary>Adds a folder and loads what was added.</summary>
    public static async Task<IModel> LoadAsync(ScoringRuntime runtime, string bundle, string state)
    {
        var store = Store(state, runtime);
        var summary = await store.AddFolderAsync(bundle, CancellationToken.None);
        return await store.LoadAsync(summary.Version, CancellationToken.None);
    }
}
