using Microsoft.ML.OnnxRuntime;
using RecBackend.Core.Models;

namespace RecBackend.Bench.Rank;

/// <summary>
/// The floor of every ranking: ONNX Runtime running the bundle's ranker on one thread, on tensors that are in place, inputs and output bound once. Nothing is looked up, copied or allocated.
/// </summary>
internal sealed class BareRanker : IDisposable
{
    private readonly SessionOptions _options;
    private readonly InferenceSession _session;
    private readonly RunOptions _run = new();
    private readonly OrtIoBinding _binding;
    private readonly List<IDisposable> _values = [];
    private readonly float[] _userState;
    private readonly float[] _historyState;
    private readonly float[] _rows;
    private readonly float[] _context;
    private readonly float[] _scores;

    public BareRanker(string bundle, ModelLayout layout, int candidates)
    {
        _options = new SessionOptions
        {
            IntraOpNumThreads = 1,
            InterOpNumThreads = 1,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
        };
        _session = new InferenceSession(Path.Combine(bundle, "ranker.onnx"), _options);
        _binding = _session.CreateIoBinding();
        _userState = Bind("user_state", 1, layout.UserState);
        _historyState = Bind("history_state", 1, layout.History, layout.HistoryState);
        _rows = Bind("item", 1, candidates, layout.Row);
        _context = layout.Context.Count > 0 ? Bind("context", 1, layout.Context.Count) : [];
        _scores = GC.AllocateArray<float>(candidates, pinned: true);
        _binding.BindOutput("score", Value(_scores, 1, candidates));
    }

    /// <summary>Puts the tensors of a ranking in place.</summary>
    public void Fill(RankTensors tensors)
    {
        tensors.UserState.CopyTo(_userState, 0);
        tensors.HistoryState.CopyTo(_historyState, 0);
        tensors.Rows.CopyTo(_rows, 0);
        tensors.Context.CopyTo(_context, 0);
    }

    /// <summary>The call that is measured.</summary>
    public void Run() => _session.RunWithBinding(_run, _binding);

    /// <summary>Throws if the last run's scores are not those that the ranking got.</summary>
    public void Check(RankTensors tensors)
    {
        for (var i = 0; i < tensors.Candidates; i++)
        {
            if (!(Math.Abs(_scores[i] - tensors.Scores[i]) <= 1e-4f))
            {
                throw new InvalidOperationException($"The bare call scored candidate {i} with {_scores[i]}, the pipeline with {tensors.Scores[i]}: they did not run the same thing.");
            }
        }
    }

    public void Dispose()
    {
        _binding.Dispose();
        _values.ForEach(x => x.Dispose());
        _run.Dispose();
        _session.Dispose();
        _options.Dispose();
    }

    private float[] Bind(string name, params long[] shape)
    {
        var memory = GC.AllocateArray<float>((int)shape.Aggregate((a, b) => a * b), pinned: true);
        _binding.BindInput(name, Value(memory, shape));
        return memory;
    }

    private OrtValue Value(float[] memory, params long[] shape)
    {
        var value = OrtValue.CreateTensorValueFromMemory(OrtMemoryInfo.DefaultInstance, memory.AsMemory(), shape);
        _values.Add(value);
        return value;
    }
}
