using RecBackend.Core.Items;

namespace RecBackend.Scoring.Onnx;

/// <summary>The tensors of up to <see cref="Capacity"/> items, in pinned arrays that are reused from batch to batch.</summary>
internal sealed class ItemBatch(ItemReader reader, int representation, int capacity)
{
    private readonly long[] _text = GC.AllocateArray<long>(capacity * reader.TextLength, pinned: true);
    private readonly long[] _categories = GC.AllocateArray<long>(capacity * reader.CategoriesLength, pinned: true);
    private readonly long[] _attributes = GC.AllocateArray<long>(capacity * reader.AttributesLength, pinned: true);
    private readonly float[] _image = GC.AllocateArray<float>(capacity * reader.ImageLength, pinned: true);
    private readonly float[] _features = GC.AllocateArray<float>(capacity * reader.FeaturesLength, pinned: true);
    private readonly float[] _mask = GC.AllocateArray<float>(reader.HasMask ? capacity : 0, pinned: true);
    private readonly float[] _representations = GC.AllocateArray<float>(capacity * representation, pinned: true);

    /// <summary>Items that fit.</summary>
    public int Capacity => capacity;

    /// <summary>[B, dRep] after the run.</summary>
    public ReadOnlySpan<float> Representations => _representations;

    /// <summary>Writes the inputs of one item.</summary>
    public void Fill(int row, ItemContent content)
    {
        if (_text.Length != 0)
        {
            reader.ReadText(content, Row(_text, row, reader.TextLength));
        }

        if (_categories.Length != 0)
        {
            reader.ReadCategories(content, Row(_categories, row, reader.CategoriesLength));
        }

        reader.ReadAttributes(content, Row(_attributes, row, reader.AttributesLength));
        var hasPicture = _image.Length != 0 && reader.ReadImage(content, Row(_image, row, reader.ImageLength));
        var hasFeatures = _features.Length != 0 && ItemReader.ReadFeatures(content, Row(_features, row, reader.FeaturesLength));
        if (_mask.Length != 0)
        {
            _mask[row] = hasPicture || hasFeatures ? 1 : 0;
        }
    }

    /// <summary>Binds to a run of the item encoder, in the order of <see cref="GraphContract.ItemEncoder"/>.</summary>
    public unsafe void Bind(GraphRun run)
    {
        var place = 0;
        Bind(run, _text, ref place);
        Bind(run, _categories, ref place);
        Bind(run, _attributes, ref place);
        Bind(run, _image, ref place);
        Bind(run, _features, ref place);
        Bind(run, _mask, ref place);
        fixed (float* representations = _representations)
        {
            run.Output(0, representations, _representations.Length);
        }
    }

    // The arrays are pinned for good: leaving `fixed` moves nothing.
    private static unsafe void Bind(GraphRun run, long[] values, ref int place)
    {
        if (values.Length != 0)
        {
            fixed (long* pinned = values)
            {
                run.Input(place++, pinned, values.Length);
            }
        }
    }

    private static unsafe void Bind(GraphRun run, float[] values, ref int place)
    {
        if (values.Length != 0)
        {
            fixed (float* pinned = values)
            {
                run.Input(place++, pinned, values.Length);
            }
        }
    }

    private static Span<T> Row<T>(T[] values, int row, int width) => values.AsSpan(row * width, width);
}
