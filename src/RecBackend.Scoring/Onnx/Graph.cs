using System.Collections.Concurrent;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Onnx;

/// <summary>
/// One graph of a bundle in ONNX Runtime sessions, checked against its contract. Thread-safe: a session runs for many callers at once. With one for each of them, each run finds weights and
/// memory of its thread's last one, which are then near its processor.
/// </summary>
internal sealed class Graph : IDisposable
{
    // What all sessions of a graph may take, by its file: large ones share.
    private const long MostBytes = 256 << 20;

    private readonly InferenceSession[] _sessions;
    private readonly RunOptions _runOptions = new();
    private readonly string[] _inputNames;
    private readonly string[] _outputNames;
    private readonly ConcurrentBag<GraphRun> _runs = [];
    private readonly ScoringRuntime _runtime;
    private int _made;

    private Graph(InferenceSession[] sessions, GraphContract contract, ScoringRuntime runtime)
    {
        _sessions = sessions;
        _runtime = runtime;
        Contract = contract;
        _inputNames = [.. contract.Inputs.Select(input => input.Name)];
        _outputNames = [.. contract.Outputs.Select(output => output.Name)];
    }

    /// <summary>What it reads and gives.</summary>
    public GraphContract Contract { get; }

    /// <summary>Whether the first axis of all that it reads and gives is open, so that several calls may run as one.</summary>
    public bool TakesBatches => _sessions[0].InputMetadata.Values.Concat(_sessions[0].OutputMetadata.Values).All(tensor => tensor.Dimensions[0] < 0);

    /// <summary>How many sessions it has.</summary>
    public int Sessions => _sessions.Length;

    /// <summary>Loads a graph of the bundle in <paramref name="folder"/>.</summary>
    /// <param name="folder">Of the bundle.</param>
    /// <param name="contract">What the graph must be.</param>
    /// <param name="runtime">Where it is to run.</param>
    /// <param name="callers">How many run it at once: as many sessions, unless it is large.</param>
    /// <exception cref="Core.Models.BundleRefusedException"><c>bundle_dims_mismatch</c>.</exception>
    public static Graph Load(string folder, GraphContract contract, ScoringRuntime runtime, int callers = 1)
    {
        var file = Path.Combine(folder, contract.File);
        var sessions = new List<InferenceSession>();
        try
        {
            sessions.Add(Open(file, contract, runtime));
            Check(contract, "input", contract.Inputs, sessions[0].InputMetadata);
            Check(contract, "output", contract.Outputs, sessions[0].OutputMetadata);
            for (var most = Math.Min(callers, MostBytes / Math.Max(1, new FileInfo(file).Length)); sessions.Count < most;)
            {
                sessions.Add(Open(file, contract, runtime));
            }

            return new Graph([.. sessions], contract, runtime);
        }
        catch
        {
            sessions.ForEach(session => session.Dispose());
            throw;
        }
    }

    /// <summary>Begins a run: bind every input and output, <see cref="Run"/>, then <see cref="Return"/>.</summary>
    /// <param name="batch">B.</param>
    /// <param name="candidates">N; ignored by graphs without that axis.</param>
    public GraphRun Rent(int batch, int candidates = 0)
    {
        if (!_runs.TryTake(out var run))
        {
            run = new GraphRun(Contract, _sessions[(Interlocked.Increment(ref _made) - 1) % _sessions.Length]);
        }

        run.SetExtents(batch, candidates);
        return run;
    }

    /// <summary>Runs on the calling thread.</summary>
    public void Run(GraphRun run)
    {
        var begin = _runtime.Clock.GetTimestamp();
        run.Session.Run(_runOptions, _inputNames, run.Inputs, _outputNames, run.Outputs);
        _runtime.Metrics.Ran(Contract.Name, _runtime.Clock.GetElapsedTime(begin));
    }

    /// <summary>Ends a run, whether it was made or not.</summary>
    public void Return(GraphRun run)
    {
        run.Unbind();
        _runs.Add(run);
    }

    public void Dispose()
    {
        Array.ForEach(_sessions, session => session.Dispose());
        _runOptions.Dispose();
    }

    private static InferenceSession Open(string file, GraphContract contract, ScoringRuntime runtime)
    {
        try
        {
            using var options = runtime.Provider.CreateSessionOptions();
            return new InferenceSession(file, options);
        }
        catch (OnnxRuntimeException exception)
        {
            throw BundleRefusal.DimsMismatch(contract.File, $"ONNX Runtime cannot load it: {exception.Message}", exception);
        }
    }

    private static void Check(
        GraphContract contract, string kind, IReadOnlyList<TensorContract> expected, IReadOnlyDictionary<string, NodeMetadata> actual)
    {
        foreach (var name in actual.Keys)
        {
            if (expected.All(tensor => tensor.Name != name))
            {
                throw BundleRefusal.DimsMismatch(contract.File, $"it has an {kind} {name}, which the manifest does not ask for.");
            }
        }

        foreach (var tensor in expected)
        {
            if (!actual.TryGetValue(tensor.Name, out var metadata))
            {
                throw BundleRefusal.DimsMismatch(contract.File, $"it has no {kind} {tensor.Name}.");
            }

            var type = tensor.IsInteger ? TensorElementType.Int64 : TensorElementType.Float;
            if (!metadata.IsTensor || metadata.ElementDataType != type || !Fits(tensor.Shape, metadata.Dimensions, isOutput: kind == "output"))
            {
                throw BundleRefusal.DimsMismatch(
                    contract.File,
                    $"the {kind} {tensor.Name} is {metadata.ElementDataType} [{string.Join(", ", metadata.Dimensions)}]; the manifest asks for {type} {tensor.ShapeText}.");
            }
        }
    }

    /// <summary>An output may leave axes open, because exporters cannot always infer them; its examples then tell.</summary>
    private static bool Fits(long[] expected, int[] actual, bool isOutput)
    {
        if (expected.Length != actual.Length)
        {
            return false;
        }

        for (var axis = 0; axis < expected.Length; axis++)
        {
            var isOpen = actual[axis] < 0;
            var isOfRankings = expected[axis] == GraphContract.Rankings;
            var mustBeOpen = expected[axis] < 0 && !isOfRankings;
            var mayBeOpen = mustBeOpen || isOfRankings || isOutput;
            if (isOpen ? !mayBeOpen : (mustBeOpen || actual[axis] != (isOfRankings ? 1 : expected[axis])))
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>The tensors of one run, over memory of the caller. Reused: names, arrays and shapes stay, so that a run allocates little.</summary>
internal sealed unsafe class GraphRun
{
    private readonly GraphContract _contract;
    private readonly long[][] _inputShapes;
    private readonly long[][] _outputShapes;

    public GraphRun(GraphContract contract, InferenceSession session)
    {
        _contract = contract;
        Session = session;
        _inputShapes = [.. contract.Inputs.Select(input => (long[])input.Shape.Clone())];
        _outputShapes = [.. contract.Outputs.Select(output => (long[])output.Shape.Clone())];
        Inputs = new OrtValue[_inputShapes.Length];
        Outputs = new OrtValue[_outputShapes.Length];
    }

    /// <summary>Where it runs.</summary>
    public InferenceSession Session { get; }

    public OrtValue[] Inputs { get; }

    public OrtValue[] Outputs { get; }

    public void SetExtents(int batch, int candidates)
    {
        SetExtents(_contract.Inputs, _inputShapes, batch, candidates);
        SetExtents(_contract.Outputs, _outputShapes, batch, candidates);
    }

    /// <summary>Binds an input of 32-bit floats to memory that stays where it is until <see cref="Unbind()"/>.</summary>
    public void Input(int place, float* values, int length) => Inputs[place] = Over(TensorElementType.Float, _inputShapes[place], values, (long)length * sizeof(float));

    /// <summary>Binds an input of 64-bit integers.</summary>
    public void Input(int place, long* values, int length) => Inputs[place] = Over(TensorElementType.Int64, _inputShapes[place], values, (long)length * sizeof(long));

    /// <summary>Binds an output.</summary>
    public void Output(int place, float* values, int length) => Outputs[place] = Over(TensorElementType.Float, _outputShapes[place], values, (long)length * sizeof(float));

    public void Unbind()
    {
        Unbind(Inputs);
        Unbind(Outputs);
    }

    /// <summary>ONNX Runtime checks that the memory holds the shape.</summary>
    private static OrtValue Over(TensorElementType type, long[] shape, void* values, long bytes) =>
        OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, shape, (IntPtr)values, bytes);

    private static void SetExtents(IReadOnlyList<TensorContract> contracts, long[][] shapes, int batch, int candidates)
    {
        for (var tensor = 0; tensor < shapes.Length; tensor++)
        {
            var contract = contracts[tensor].Shape;
            for (var axis = 0; axis < contract.Length; axis++)
            {
                shapes[tensor][axis] = contract[axis] switch
                {
                    GraphContract.Batch or GraphContract.Rankings => batch,
                    GraphContract.Candidates => candidates,
                    var extent => extent,
                };
            }
        }
    }

    private static void Unbind(OrtValue?[] values)
    {
        for (var i = 0; i < values.Length; i++)
        {
            values[i]?.Dispose();
            values[i] = null;
        }
    }
}
