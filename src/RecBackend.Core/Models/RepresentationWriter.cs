using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Storage;

namespace RecBackend.Core.Models;

/// <summary>Computes representations of stored items and stores them. The change feed then carries them into the catalogues.</summary>
internal sealed class RepresentationWriter(IItemDirectory items)
{
    /// <summary>As <see cref="EncodeAsync"/>, but an item that the encoder breaks on holds back no other: it is left without a representation.</summary>
    /// <returns>The items that were left; <paramref name="progress"/> is not told of them.</returns>
    /// <exception cref="StorageException">The representations could not be stored: that is no fault of the items.</exception>
    public async Task<IReadOnlyList<EncodingFailure>> EncodeEachAsync(IModel model, IReadOnlyList<ItemRecord> records, JobProgress? progress, CancellationToken cancellation)
    {
        try
        {
            await EncodeAsync(model, records, progress, cancellation);
            return [];
        }
        catch (Exception error) when (IsOfItems(error))
        {
            var failures = new List<EncodingFailure>();
            foreach (var record in records)
            {
                await EncodeAloneAsync(model, record, failures, cancellation);
            }

            return failures;
        }
    }

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
        await model.EncodeItemsAsync([.. readable.Select(record => record.Content)], vectors, EncodingUrgency.Warm, cancellation);
        await items.SetRepresentationsAsync([.. readable.Select((record, place) => Update(record, place))], cancellation);

        RepresentationUpdate Update(ItemRecord record, int place)
        {
            var values = vectors.AsSpan(place * width, width).ToArray();
            return new(record.Id, new(model.Layout.Version, values, RepresentationSource.Computed), IfVersion: record.Version);
        }
    }

    private static bool IsOfItems(Exception error) => error is not (StorageException or OperationCanceledException);

    private async Task EncodeAloneAsync(IModel model, ItemRecord record, List<EncodingFailure> failures, CancellationToken cancellation)
    {
        try
        {
            // What the model cannot read of it was reported when the batch was tried.
            await EncodeAsync(model, [record], progress: null, cancellation);
        }
        catch (Exception error) when (IsOfItems(error))
        {
            failures.Add(new(record.Id, error));
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

/// <summary>An item that an encoder broke on.</summary>
/// <param name="Item">Its ID.</param>
/// <param name="Reason">How.</param>
internal readonly record struct EncodingFailure(string Item, Exception Reason)
{
    /// <summary>The code under which a job tells of it.</summary>
    public const string Code = "encoding_failed";

    /// <summary>As a job tells of it.</summary>
    public JobError ToJobError() => new(Item, Code, $"The item encoder broke on it: {Reason.Message}");
}
