using Microsoft.ML.OnnxRuntime;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Bundles;

/// <summary>Runs graphs on the examples of golden.safetensors and compares what they give with what training got.</summary>
internal sealed class GoldenExamples : IDisposable
{
    private const int LeastExamples = 8;
    private const double Tolerance = 1e-4;

    private readonly SafeTensors _file;

    /// <summary>Inputs that native code reads: the collector must not take them before the run.</summary>
    private readonly List<Array> _kept = [];

    private GoldenExamples(SafeTensors file) => _file = file;

    /// <exception cref="Core.Models.BundleRefusedException"><c>bundle_golden_mismatch</c>: the file is damaged.</exception>
    public static GoldenExamples Open(string folder)
    {
        try
        {
            return new GoldenExamples(SafeTensors.Open(Path.Combine(folder, BundleFiles.Golden)));
        }
        catch (InvalidDataException exception)
        {
            throw BundleRefusal.GoldenMismatch(exception.Message, exception);
        }
    }

    /// <summary>Checks one graph; a ranker that says that it takes several rankings also with its example twice, as one.</summary>
    /// <exception cref="Core.Models.BundleRefusedException"><c>bundle_golden_mismatch</c>, with the place and the two values.</exception>
    public void Check(Graph graph)
    {
        Check(graph, rankings: 1);
        if (graph.TakesBatches && graph.Contract.Inputs[0].Shape[0] == GraphContract.Rankings)
        {
            Check(graph, rankings: 2);
        }
    }

    private void Check(Graph graph, int rankings)
    {
        var contract = graph.Contract;
        var batch = ExtentOf(contract, GraphContract.Batch);
        var candidates = ExtentOf(contract, GraphContract.Candidates);
        var run = graph.Rent((int)(batch ?? rankings), (int)(candidates ?? 0));
        try
        {
            for (var place = 0; place < contract.Inputs.Count; place++)
            {
                Bind(run, place, contract, batch, candidates, rankings);
            }

            var outputs = BindOutputs(run, contract, batch, candidates, rankings);
            try
            {
                graph.Run(run);
            }
            catch (OnnxRuntimeException exception)
            {
                throw BundleRefusal.GoldenMismatch($"{contract.File} does not run on its examples{(rankings > 1 ? ", several at once, which its open first axis promises" : "")}: {exception.Message}", exception);
            }

            for (var place = 0; place < outputs.Length; place++)
            {
                Compare($"{contract.Name}/{contract.Outputs[place].Name}", outputs[place].Expected, outputs[place].Actual);
            }
        }
        finally
        {
            graph.Return(run);
            _kept.Clear();
        }
    }

    public void Dispose() => _file.Dispose();

    /// <summary>Extent of an open axis in the examples, or null where the graph has no such axis.</summary>
    private long? ExtentOf(GraphContract contract, long axis)
    {
        foreach (var tensor in contract.Inputs)
        {
            var place = Array.IndexOf(tensor.Shape, axis);
            if (place >= 0)
            {
                var entry = Entry(contract, tensor);
                var extent = entry.Shape.Count == tensor.Shape.Length ? entry.Shape[place] : 0;
                return extent is >= LeastExamples and <= int.MaxValue
                    ? extent
                    : throw BundleRefusal.GoldenMismatch($"{contract.Name}/{tensor.Name} is {entry.ShapeText}; {tensor.ShapeText} with at least {LeastExamples} examples is asked for.");
            }
        }

        return null;
    }

    private TensorEntry Entry(GraphContract contract, TensorContract tensor) =>
        _file.Tensors.TryGetValue($"{contract.Name}/{tensor.Name}", out var entry)
            ? entry
            : throw BundleRefusal.GoldenMismatch($"it has no {contract.Name}/{tensor.Name}.");

    private TensorEntry Entry(GraphContract contract, TensorContract tensor, long? batch, long? candidates)
    {
        var entry = Entry(contract, tensor);
        var shape = tensor.Shape.Select(axis => axis switch { GraphContract.Batch => batch!.Value, GraphContract.Candidates => candidates!.Value, GraphContract.Rankings => 1, _ => axis });
        if (!entry.Shape.SequenceEqual(shape) || entry.Type != (tensor.IsInteger ? TensorType.I64 : TensorType.F32))
        {
            throw BundleRefusal.GoldenMismatch($"{contract.Name}/{tensor.Name} is {entry.Type} {entry.ShapeText}; {tensor.ShapeText} is asked for, with one B and one N throughout.");
        }

        return entry;
    }

    private unsafe void Bind(GraphRun run, int place, GraphContract contract, long? batch, long? candidates, int rankings)
    {
        var tensor = contract.Inputs[place];
        var entry = Entry(contract, tensor, batch, candidates);
        if (tensor.IsInteger)
        {
            var values = _file.ReadIntegers(entry, pinned: true);
            fixed (long* pinned = values)
            {
                run.Input(place, pinned, values.Length);
            }

            _kept.Add(values);
        }
        else
        {
            var values = Repeat(_file.ReadFloats(entry, pinned: true), rankings);
            fixed (float* pinned = values)
            {
                run.Input(place, pinned, values.Length);
            }

            _kept.Add(values);
        }
    }

    private unsafe (float[] Expected, float[] Actual)[] BindOutputs(GraphRun run, GraphContract contract, long? batch, long? candidates, int rankings)
    {
        var outputs = new (float[] Expected, float[] Actual)[contract.Outputs.Count];
        for (var place = 0; place < outputs.Length; place++)
        {
            var expected = Repeat(_file.ReadFloats(Entry(contract, contract.Outputs[place], batch, candidates)), rankings);
            var actual = GC.AllocateArray<float>(expected.Length, pinned: true);
            fixed (float* pinned = actual)
            {
                run.Output(place, pinned, actual.Length);
            }

            outputs[place] = (expected, actual);
        }

        return outputs;
    }

    private static float[] Repeat(float[] values, int times)
    {
        if (times == 1)
        {
            return values;
        }

        var repeated = GC.AllocateUninitializedArray<float>(values.Length * times, pinned: true);
        for (var time = 0; time < times; time++)
        {
            values.CopyTo(repeated, time * values.Length);
        }

        return repeated;
    }

    private static void Compare(string name, float[] expected, float[] actual)
    {
        for (var i = 0; i < expected.Length; i++)
        {
            // Written so that a NaN on either side is a mismatch.
            var isClose = Math.Abs((double)actual[i] - expected[i]) <= Tolerance + (Tolerance * Math.Abs((double)expected[i]));
            if (!isClose)
            {
                throw BundleRefusal.GoldenMismatch($"{name}[{i}] should be {expected[i]:G9}, but this host computes {actual[i]:G9}.");
            }
        }
    }
}
