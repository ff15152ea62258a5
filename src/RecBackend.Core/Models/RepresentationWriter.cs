using RecBackend.Core.Items;
using RecBackend.Core.Jobs;

namespace RecBackend.Core.Models;

/// <summary>Computes representations of stored items and stores them. The change feed then carries them into the catalogues.</summary>
internal sealed class RepresentationWriter(IItemDirectory items)
{
    /// <summary>Encodes items with <paramref name="model"/>. An item whose content has changed since it was read is left to whoever changed it.</summary>
    /// <param name="model">The model.</param>
    /// <param name="records">The items.</param>
    /// <param name="progress">Told of items that the model cannot read; null = nobody asks.</param>
    /// <param name="cancellation">Stops before anything is stored.</param>
    public async Task EncodeAsync(IModel model, IReadOnlyList<ItemRecord> records, JobProgress? progress, CancellationToken cancellation)
    {
        var readable = new List<ItemRecord>(records.Count);
        foreach (var record in records)
        {
            if (await ReadableAsync(model, record, progress, cancellation) is { } one)
            {
                readable.Add(one);
            }
        }

        if (readable.Count == 0)
        {
            return;
        }

        var width = model.Layout.Representation;
        var vectors = new float[readable.Count * width];
        await model.EncodeItemsAsync([.. readable.Select(record => record.Content)], vectors, cancellation);
        await items.SetRepresentationsAsync([.. readable.Select((record, place) => Update(record, place))], cancellation);

        RepresentationUpdate Update(ItemRecord record, int place)
        {
            var values = vectors.AsSpan(place * width, width).ToArray();
            return new(record.Id, new(model.Layout.Version, values, RepresentationSource.Computed), IfVersion: record.Version);
        }
    }

    /// <summary>The item as the model can read it. One that was written for another bundle may have a picture that this one cannot read; its words still say what it is.</summary>
    private static async ValueTask<ItemRecord?> ReadableAsync(IModel model, ItemRecord record, JobProgress? progress, CancellationToken cancellation)
    {
        if (await model.CheckAsync(record.Content, cancellation) is not { } problem)
        {
            return record;
        }

        progress?.Report(new(record.Id, problem.Code, problem.Detail));
        var withoutImage = record with { Content = record.Content with { Image = null, ImageFeatures = null } };
        return await model.CheckAsync(withoutImage.Content, cancellation) is null ? withoutImage : null;
    }
}
