using System.Collections.Concurrent;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Onnx;

/// <summary>One graph of a bundle in an ONNX Runtime session, checked against its contract. Thread-safe: a session runs for many callers at once.</summary>
internal sealed class Graph : IDisposable
{
    private readonly InferenceSession _session;
    private readonly RunOptions _runOptions = new();
    private readonly string[] _inputNames;
    private readonly string[] _outputNames;
    private readonly ConcurrentQueue<GraphRun> _runs = new();
    private readonly ScoringRuntime _runtime;

    private Graph(InferenceSession session, GraphContract contract, ScoringRuntime runtime)
    {
        _session = session;
        _runtime = runtime;
        Contract = contract;
        _inputNames = [.. contract.Inputs.Select(input => input.Name)];
        _outputNames = [.. contract.Outputs.Select(output => output.Name)];
    }

    /// <summary>What it reads and gives.</summary>
    public GraphContract Contract { get; }

    /// <summary>Whether the first axis of all that it reads and gives is open, so that several calls may run as one.</summary>
    public bool TakesBatches => _session.InputMetadata.Values.Concat(_session.OutputMetadata.Values).All(tensor => tensor.Dimensions[0] < 0);

    /// <summary>Loads a graph of the bundle in <paramref name="folder"/>.</summary>
    /// <exception cref="Core.Models.BundleRefusedException"><c>bundle_dims_mismatch</c>.</exception>
    public static Graph Load(string folder, GraphContract contract, ScoringRuntime runtime)
    {
        InferenceSession session;
        try
        {
            using var options = runtime.Provider.CreateSessionOptions();
            session = new InferenceSession(Path.Combine(folder, contract.File), options);
        }
        catch (OnnxRuntimeException exception)
        {
            throw BundleRefusal.DimsMismatch(contract.File, $"ONNX Runtime cannot load it: {exception.Message}", exception);
        }

        try
        {
            Check(contract, "input", contract.Inputs, session.InputMetadata);
            Check(contract, "output", contract.Outputs, session.OutputMetadata);
            return new Graph(session, contract, runtime);
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>Begins a run: bind every input and output, <see cref="Run"/>, then <see cref="Return"/>.</summary>
    /// <param name="batch">B.</param>
    /// <param name="candidates">N; ignored by graphs without that axis.</param>
    public GraphRun Rent(int batch, int candidates = 0)
    {
        if (!_runs.TryDequeue(out var run))
        {
            run = new GraphRun(Contract);
        }

        run.SetExtents(batch, candidates);
        return run;
    }

    /// <summary>Runs on the calling thread.</summary>
    public void Run(GraphRun run)
    {
        var begin = _runtime.Clock.GetTimestamp();
        _session.Run(_runOptions, _inputNames, run.Inputs, _outputNames, run.Outputs);
        _runtime.Metrics.Ran(Contract.Name, _runtime.Clock.GetElapsedTime(begin));
    }

    /// <summary>Ends a run, whether it was made or not.</summary>
    public void Return(GraphRun run)
    {
        run.Unbind();
        _runs.Enqueue(run);
    }

    public void Dispose()
    {
        _session.Dispose();
        _runOptions.Dispose();
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

    public GraphRun(GraphContract contract)
    {
        _contract = contract;
        _inputShapes = [.. contract.Inputs.Select(input => (long[])input.Shape.Clone())];
        _outputShapes = [.. contract.Outputs.Select(output => (long[])output.Shape.Clone())];
        Inputs = new OrtValue[_inputShapes.Length];
        Outputs = new OrtValue[_outputShapes.Length];
    }

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
