namespace RecBackend.Http.Warming;

/// <summary>Body of <c>POST /v1/warm</c>; an empty body is one without members.</summary>
public sealed record WarmBody
{
    /// <summary>Items whose representations are computed again; absent or null = compute those of all items that lack one.</summary>
    public IReadOnlyList<string>? Items { get; init; }
}
