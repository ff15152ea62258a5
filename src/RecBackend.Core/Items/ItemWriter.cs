using System.Runtime.CompilerServices;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Core.Items;

/// <summary>A content to store.</summary>
public sealed record ItemWrite(string Id, ItemContent Content);

/// <summary>A representation from outside.</summary>
/// <param name="Id">The item.</param>
/// <param name="Bundle">The bundle that it is made for; null = the active one.</param>
/// <param name="Values">The vector.</param>
public sealed record EmbeddingWrite(string Id, string? Bundle, float[] Values);

/// <summary>What became of a batch of writes.</summary>
/// <param name="Stored">How many were stored.</param>
/// <param name="Rejected">The others, by place in the batch.</param>
public sealed record WriteReceipt(int Stored, IReadOnlyList<RejectedEntry> Rejected);

/// <summary>The way of items into an engine: checks content, computes representations with the active bundle, stores both. One bad entry does not stop the others.</summary>
public sealed class ItemWriter(IItemDirectory items, ModelDirectory models, ItemLimits limits)
{
    // Small enough to give others a turn at the encoder.
    private const int Batch = 32;

    // Large enough for a store that spreads items over many places to write more than one at each.
    private const int StoreBatch = 1_024;

    private readonly RepresentationWriter _representations = new(items);

    /// <summary>
    /// Stores contents with their representations. Codes of rejected entries: <c>item_id_invalid</c>, <c>title_too_long</c>, <c>text_too_long</c>, <c>too_many_categories</c>, <c>too_many_tags</c>,
    /// <c>too_many_attributes</c>, <c>label_invalid</c>, <c>image_too_large</c>, <c>image_features_too_long</c>, and those of <see cref="ContentProblem"/>.
    /// </summary>
    /// <param name="writes">The contents. The same ID twice leaves the later one.</param>
    /// <param name="cancellation">Stops between batches; what was stored stays.</param>
    public async ValueTask<WriteReceipt> UpsertAsync(IReadOnlyList<ItemWrite> writes, CancellationToken cancellation)
    {
        var rejected = new List<RejectedEntry>();
        var upserts = new List<ItemUpsert>();
        using var lease = models.Lease();
        var model = lease.Serving?.Model;
        foreach (var batch in writes.Index().Chunk(Batch))
        {
            var accepted = new List<ItemWrite>(batch.Length);
            foreach (var (index, write) in batch)
            {
                if ((limits.Check(write) ?? await CheckAsync(write.Content)) is { } problem)
                {
                    rejected.Add(new(index, problem.Code, problem.Detail));
                }
                else
                {
                    accepted.Add(write);
                }
            }

            upserts.AddRange(await EncodeAsync(accepted, model, cancellation));
            if (upserts.Count >= StoreBatch)
            {
                await StoreAsync();
            }
        }

        await StoreAsync();
        await models.CatchUpAsync(model?.Layout.Version, cancellation);
        return new(writes.Count - rejected.Count, rejected);

        async Task StoreAsync()
        {
            if (upserts.Count > 0)
            {
                await items.UpsertAsync(upserts, cancellation);
                upserts.Clear();
            }
        }

        async ValueTask<ContentProblem?> CheckAsync(ItemContent content) => model is null ? null : await model.CheckAsync(content, cancellation);
    }

    /// <summary>
    /// Stores representations from outside. Codes of rejected entries: <c>embedding_bundle</c>, <c>embedding_length</c>, <c>embedding_not_finite</c>, <c>item_unknown</c>, <c>item_id_invalid</c>.
    /// </summary>
    /// <param name="writes">The representations.</param>
    /// <param name="cancellation">Gives up before anything is stored.</param>
    public async ValueTask<WriteReceipt> SetEmbeddingsAsync(IReadOnlyList<EmbeddingWrite> writes, CancellationToken cancellation)
    {
        var rejected = new List<RejectedEntry>();
        var accepted = new List<(int Index, RepresentationUpdate Update)>(writes.Count);
        var active = models.Status.Active;
        foreach (var (index, write) in writes.Index())
        {
            var bundle = write.Bundle ?? active;
            if (Check(write, bundle) is { } problem)
            {
                rejected.Add(new(index, problem.Code, problem.Detail));
            }
            else
            {
                accepted.Add((index, new(write.Id, new(bundle!, write.Values, RepresentationSource.External), IfVersion: null)));
            }
        }

        var applied = await items.SetRepresentationsAsync([.. accepted.Select(one => one.Update)], cancellation);
        foreach (var (one, wasApplied) in accepted.Zip(applied))
        {
            if (!wasApplied)
            {
                rejected.Add(new(one.Index, "item_unknown", "There is no item of this ID; put its content first."));
            }
        }

        rejected.Sort((a, b) => a.Index.CompareTo(b.Index));
        return new(writes.Count - rejected.Count, rejected);
    }

    /// <summary>Recomputes the representations of the listed items, or computes them for all items that lack one; the work of a job. Representations from outside stay.</summary>
    /// <param name="ids">The items, or null for all that lack one.</param>
    /// <param name="progress">Where progress and the items that failed are told.</param>
    /// <param name="cancellation">Stops between batches; what was stored stays.</param>
    /// <exception cref="OperationRefusedException"><c>no_active_bundle</c>.</exception>
    public async Task WarmAsync(IReadOnlyList<string>? ids, JobProgress progress, CancellationToken cancellation)
    {
        using var lease = models.Lease();
        var model = lease.Serving?.Model ?? throw new OperationRefusedException("no_active_bundle", "Representations are made by the active bundle; activate one first.");
        var wanted = ids is null ? LackingAsync(model.Layout.Version, progress, cancellation) : ListedAsync(ids, model.Layout.Version, progress, cancellation);
        var batch = new List<ItemRecord>(Batch);
        await foreach (var record in wanted)
        {
            batch.Add(record);
            if (batch.Count == Batch)
            {
                await EncodeAsync();
            }
        }

        await EncodeAsync();

        async Task EncodeAsync()
        {
            foreach (var failure in await _representations.EncodeEachAsync(model, batch, progress, cancellation))
            {
                progress.Report(failure.ToJobError());
            }

            progress.Advance(batch.Count);
            batch.Clear();
        }
    }

    private static async Task<IEnumerable<ItemUpsert>> EncodeAsync(List<ItemWrite> writes, IModel? model, CancellationToken cancellation)
    {
        if (model is null || writes.Count == 0)
        {
            return writes.Select(write => new ItemUpsert(write.Id, write.Content, null));
        }

        var width = model.Layout.Representation;
        var vectors = new float[writes.Count * width];
        await model.EncodeItemsAsync([.. writes.Select(write => write.Content)], vectors, EncodingUrgency.Ingest, cancellation);
        return writes.Select((write, place) => new ItemUpsert(
            write.Id, write.Content, new(model.Layout.Version, vectors.AsSpan(place * width, width).ToArray(), RepresentationSource.Computed)));
    }

    private ContentProblem? Check(EmbeddingWrite write, string? bundle)
    {
        if (!EntityId.IsValid(write.Id))
        {
            return new("item_id_invalid", ItemLimits.IdRule);
        }

        if (bundle is null || models.LayoutOf(bundle) is not { } layout)
        {
            return new("embedding_bundle", bundle is null ? "No bundle is active." : $"The bundle '{bundle}' is neither active nor the one before it nor being activated.");
        }

        if (write.Values.Length != layout.Representation)
        {
            return new("embedding_length", $"The representations of '{bundle}' have {layout.Representation} floats, not {write.Values.Length}.");
        }

        var place = Array.FindIndex(write.Values, value => !float.IsFinite(value));
        return place >= 0 ? new("embedding_not_finite", $"The float at place {place} is {write.Values[place]}.") : null;
    }

    private async IAsyncEnumerable<ItemRecord> LackingAsync(string bundle, JobProgress progress, [EnumeratorCancellation] CancellationToken cancellation)
    {
        progress.Total = await items.CountAsync(cancellation);
        await foreach (var record in items.ReadAllAsync(cancellation))
        {
            if (record.RepresentationFor(bundle) is null)
            {
                yield return record;
            }
            else
            {
                progress.Advance(1);
            }
        }
    }

    private async IAsyncEnumerable<ItemRecord> ListedAsync(
        IReadOnlyList<string> ids, string bundle, JobProgress progress, [EnumeratorCancellation] CancellationToken cancellation)
    {
        progress.Total = ids.Count;
        foreach (var id in ids)
        {
            var record = await items.GetAsync(id, cancellation);
            if (record is null)
            {
                progress.Report(new(id, "item_unknown", "There is no item of this ID."));
            }

            if (record is null || record.RepresentationFor(bundle)?.Source == RepresentationSource.External)
            {
                progress.Advance(1);
            }
            else
            {
                yield return record;
            }
        }
    }
}
