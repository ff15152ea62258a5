using MessagePack;

namespace RecBackend.Grains.Counting;

/// <summary>
/// What an item shard has counted, so that every accepted event counts once whatever is sent twice, late, or by another silo after a crash. Stored with the counts themselves.
/// <para>
/// A batch counts if its number is above the last one of its incarnation. After a crash, users whose events were to travel in a batch that nobody will send bring them alone; the first that does
/// closes the incarnation here: a batch of it that comes after all is refused, and its sender brings its users' counts alone too.
/// </para>
/// </summary>
[MessagePackObject]
public sealed class CountLedger
{
    /// <summary>The last batch that was counted, by incarnation.</summary>
    [Key(0)]
    public Dictionary<Guid, long> Counted { get; set; } = [];

    /// <summary>Incarnations of which no batch is taken any more.</summary>
    [Key(1)]
    public HashSet<Guid> Closed { get; set; } = [];

    /// <summary>Users who were left out of a batch, because nobody knew whether their events were stored; by <see cref="UserOfBatch.UserKey"/>.</summary>
    [Key(2)]
    public HashSet<string> LeftOut { get; set; } = [];

    /// <summary>Writes of users whose part of a batch was counted alone; by <see cref="UserOfBatch.Key"/>.</summary>
    [Key(3)]
    public HashSet<string> Alone { get; set; } = [];

    /// <summary>What is to be done with a batch.</summary>
    public CountDecision Decide(CountBatch batch)
    {
        if (batch.Number <= Counted.GetValueOrDefault(batch.Incarnation))
        {
            return CountDecision.Known;
        }

        return Closed.Contains(batch.Incarnation) ? CountDecision.Refuse : CountDecision.Count;
    }

    /// <summary>What is to be done with one user's part of a batch that comes alone.</summary>
    public CountDecision DecideAlone(UserOfBatch part)
    {
        var travelled = part.Batch.Number <= Counted.GetValueOrDefault(part.Batch.Incarnation) && !LeftOut.Contains(UserOfBatch.UserKey(part.Batch, part.User));
        return travelled || Alone.Contains(part.Key) ? CountDecision.Known : CountDecision.Count;
    }

    /// <summary>Notes that a batch was counted.</summary>
    public void Note(CountBatch batch, IEnumerable<string> leftOut)
    {
        Counted[batch.Incarnation] = batch.Number;
        LeftOut.UnionWith(leftOut.Select(user => UserOfBatch.UserKey(batch, user)));
    }

    /// <summary>Notes that a user's part of a batch was counted alone.</summary>
    public void NoteAlone(UserOfBatch part)
    {
        Alone.Add(part.Key);
        if (part.Batch.Number > Counted.GetValueOrDefault(part.Batch.Incarnation))
        {
            Closed.Add(part.Batch.Incarnation);
        }
    }
}

/// <summary>What one write of a user has in a batch. A batch may take several writes of a user, of which another silo may know but the first.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.UserOfBatch")]
public readonly record struct UserOfBatch([property: Id(0)] CountBatch Batch, [property: Id(1)] string User, [property: Id(2)] long UserVersion)
{
    internal string Key => $"{UserKey(Batch, User)}/{UserVersion}";

    internal static string UserKey(CountBatch batch, string user) => $"{batch.Incarnation:n}/{batch.Number}/{user}";
}

/// <summary>What a shard does with counts.</summary>
public enum CountDecision
{
    /// <summary>They are new.</summary>
    Count,

    /// <summary>They were counted before.</summary>
    Known,

    /// <summary>They must come alone, user by user.</summary>
    Refuse,
}
