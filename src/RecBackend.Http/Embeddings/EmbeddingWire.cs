namespace RecBackend.Http.Embeddings;

/// <summary>A representation from outside.</summary>
public sealed record EmbeddingBody
{
    /// <summary>The item's ID; of <c>PUT</c> it may be left out.</summary>
    public string? Id { get; init; }

    /// <summary>Version of the bundle that it is made for; absent or null = the active one. Another one is refused.</summary>
    public string? Bundle { get; init; }

    /// <summary>The vector, of the bundle's length, all numbers finite.</summary>
    public required float[] Representation { get; init; }
}
