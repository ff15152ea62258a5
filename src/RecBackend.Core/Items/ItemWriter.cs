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

/// <summary>Largest content that is accepted.</summary>
public sealed record ItemLimits
{
    /// <summary>Characters of a title.</summary>
    public int Title { get; init; } = 1_000;

    /// <summary>Characters of a text.</summary>
    public int Text { get; init; } = 100_000;

    /// <summary>Categories of an item.</summary>
    public int Categories { get; init; } = 64;

    /// <summary>Tags of an item.</summary>
    public int Tags { get; init; } = 256;

    /// <summary>Attributes of an item.</summary>
    public int Attributes { get; init; } = 64;

    /// <summary>Characters of a category, a tag, an attribute's name or its value.</summary>
    public int Label { get; init; } = 256;

    /// <summary>Bytes of an image file.</summary>
    public int Image { get; init; } = 8 * 1024 * 1024;

    /// <summary>Floats of image features.</summary>
    public int ImageFeatures { get; init; } = 8_192;
}

/// <summary>The way of items into an engine: checks content, computes representations with the active bundle, stores both. One bad entry does not stop the others.</summary>
public sealed class ItemWriter
{
    /// <summary>Writes to <paramref name="items"/> with the active bundle of <paramref name="models"/>.</summary>
    public ItemWriter(IItemDirectory items, ModelDirectory models, ItemLimits limits) => throw new NotImplementedException();

    /// <summary>
    /// Stores contents with their representations. Codes of rejected entries: <c>item_id_invalid</c>, <c>title_too_long</c>, <c>text_too_long</c>, <c>too_many_categories</c>, <c>too_many_tags</c>,
    /// <c>too_many_attributes</c>, <c>label_invalid</c>, <c>image_too_large</c>, and those of <see cref="ContentProblem"/>.
    /// </summary>
    public ValueTask<WriteReceipt> UpsertAsync(IReadOnlyList<ItemWrite> writes, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Stores representations from outside. Codes: <c>embedding_length</c>, <c>embedding_not_finite</c>, <c>embedding_bundle</c>, <c>item_unknown</c>, <c>item_id_invalid</c>.</summary>
    public ValueTask<WriteReceipt> SetEmbeddingsAsync(IReadOnlyList<EmbeddingWrite> writes, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Recomputes the representations of the listed items, or computes them for all items that lack one; the work of a job.</summary>
    /// <param name="ids">The items, or null for all that lack one.</param>
    /// <param name="progress">Where progress and the items that failed are told.</param>
    /// <param name="cancellation">Stops between batches; what was stored stays.</param>
    /// <exception cref="OperationRefusedException"><c>no_active_bundle</c>.</exception>
    public Task WarmAsync(IReadOnlyList<string>? ids, JobProgress progress, CancellationToken cancellation) => throw new NotImplementedException();
}
