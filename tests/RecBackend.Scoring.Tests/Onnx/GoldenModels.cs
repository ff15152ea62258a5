using System.Collections.Concurrent;
using RecBackend.Core.Models;

namespace RecBackend.Scoring.Tests.Onnx;

/// <summary>The bundles of tests/golden, each loaded when a test first asks for it, and so checked by the examples in it.</summary>
public sealed class GoldenModels : IAsyncLifetime
{
    private readonly TemporaryFolder _state = new();
    private readonly ScoringRuntime _runtime = TestRuntime.Create(new ScoringOptions { EncodingBatch = 8 });
    private readonly ConcurrentDictionary<string, Task<IModel>> _models = [];

    internal Task<IModel> LoadAsync(string bundle) => _models.GetOrAdd(bundle, name => TestRuntime.LoadAsync(_runtime, Golden.Path(name), _state.Path));

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var model in _models.Values.Where(model => model.IsCompletedSuccessfully))
        {
            await (await model).DisposeAsync();
        }

        _runtime.Dispose();
        _state.Dispose();
    }
}
