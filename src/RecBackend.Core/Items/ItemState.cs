namespace RecBackend.Core.Items;

/// <summary>An item with the version of its content: the transitions that every engine makes. Immutable.</summary>
/// <param name="Record">The item.</param>
/// <param name="ContentVersion">The item version of the last upsert; see <see cref="RepresentationUpdate.IfVersion"/>.</param>
public sealed record ItemState(ItemRecord Record, long ContentVersion)
{
    /// <summary>The item after an upsert: new content, the computed representations replaced, external ones and counters kept.</summary>
    /// <param name="before">The item before, or null if there is none.</param>
    /// <param name="write">The upsert.</param>
    /// <param name="version">The new item version, above every earlier one of this ID, deleted ones included.</param>
    public static ItemState Upsert(ItemState? before, ItemUpsert write, long version)
    {
        List<Representation> representations = [.. before?.Record.Representations.Where(one => one.Source == RepresentationSource.External) ?? []];
        if (write.Representation is { } computed && representations.TrueForAll(one => one.Bundle != computed.Bundle))
        {
            representations.Add(computed);
        }

        return new(new(write.Id, version, write.Content, before?.Record.Counters ?? ItemCounters.None, representations), version);
    }

    /// <summary>
    /// The item after a representation was set; itself if that is the one that it has; null if <see cref="RepresentationUpdate.IfVersion"/> forbids it, or if it is a computed one and the bundle has
    /// one from outside: whoever computed it may have read the item before that came.
    /// </summary>
    public ItemState? WithRepresentation(RepresentationUpdate update, long version)
    {
        if (update.IfVersion is { } readAt && readAt < ContentVersion)
        {
            return null;
        }

        var before = Record.RepresentationFor(update.Representation.Bundle);
        if (update.Representation.Source == RepresentationSource.Computed && before?.Source == RepresentationSource.External)
        {
            return null;
        }

        if (before?.Source == update.Representation.Source && before.Values.AsSpan().SequenceEqual(update.Representation.Values))
        {
            return this;
        }

        Representation[] representations = [.. Record.Representations.Where(one => one.Bundle != update.Representation.Bundle), update.Representation];
        return this with { Record = Record with { Version = version, RowVersion = version, Representations = representations } };
    }

    /// <summary>The item after an event.</summary>
    public ItemState WithEvent(string type, long timestamp, long version) =>
        this with { Record = Record with { Version = version, Counters = Record.Counters.After(type, timestamp) } };

    /// <summary>The item without the representations of bundles that are not in <paramref name="keep"/>; itself if there are none. The version stays: no catalogue is concerned.</summary>
    public ItemState Trim(IReadOnlyCollection<string> keep)
    {
        Representation[] kept = [.. Record.Representations.Where(one => keep.Contains(one.Bundle))];
        return kept.Length == Record.Representations.Count ? this : this with { Record = Record with { Representations = kept } };
    }
}
