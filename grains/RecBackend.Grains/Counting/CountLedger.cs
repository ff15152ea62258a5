using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using MessagePack;

namespace RecBackend.Grains.Counting;

/// <summary>
/// What an item shard has counted, so that every accepted event counts once whatever is sent twice, late, or by another silo after a crash. Stored with the counts themselves.
/// <para>
/// A batch counts if its number is above the last one of its incarnation. After a crash, users whose events were to travel in a batch that nobody will send bring them alone; the first that does
/// closes the incarnation here: a batch of it that comes after all is refused, and its sender brings its users' counts alone too.
/// </para>
/// <para>
/// After <see cref="Remembered"/> an incarnation is forgotten, and with it whatever still comes of it: nothing is counted twice because the shard has forgotten that it was counted.
/// </para>
/// </summary>
[MessagePackObject]
public sealed class CountLedger : IMessagePackSerializationCallbackReceiver
{
    /// <summary>
    /// How long an incarnation is remembered. What it leaves behind is counted within seconds, or, if two silos died together, when its users are next active: this is how long they may be away.
    /// </summary>
    internal static readonly TimeSpan Remembered = TimeSpan.FromDays(60);

    private CountLedger? _before;

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

    /// <summary>Incarnations that began before this are forgotten, Unix milliseconds.</summary>
    [Key(4)]
    public long ForgottenBefore { get; set; }

    /// <inheritdoc/>
    public void OnBeforeSerialize()
    {
    }

    /// <inheritdoc/>
    public void OnAfterDeserialize()
    {
        LeftOut = [.. LeftOut.Select(UserOfBatch.Hashed)];
        Alone = [.. Alone.Select(UserOfBatch.Hashed)];
    }

    /// <summary>What is to be done with a batch.</summary>
    public CountDecision Decide(CountBatch batch) =>
        IsForgotten(batch.Incarnation) || IsCounted(batch) ? CountDecision.Known
        : IsClosed(batch.Incarnation) ? CountDecision.Refuse
        : CountDecision.Count;

    /// <summary>What is to be done with one user's part of a batch that comes alone.</summary>
    public CountDecision DecideAlone(UserOfBatch part)
    {
        var travelled = IsCounted(part.Batch) && !WasLeftOut(UserOfBatch.UserKey(part.Batch, part.User));
        return IsForgotten(part.Batch.Incarnation) || travelled || CameAlone(part.Key) ? CountDecision.Known : CountDecision.Count;
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
        if (!IsCounted(part.Batch))
        {
            Closed.Add(part.Batch.Incarnation);
        }
    }

    /// <summary>An empty ledger that decides by this one and what is noted in it: a write stores what it adds, and not the whole.</summary>
    internal CountLedger Addition() => new() { _before = this };

    /// <summary>Takes what was noted in an addition.</summary>
    internal void Add(CountLedger addition)
    {
        foreach (var (incarnation, number) in addition.Counted)
        {
            Counted[incarnation] = Math.Max(number, Counted.GetValueOrDefault(incarnation));
        }

        Closed.UnionWith(addition.Closed);
        LeftOut.UnionWith(addition.LeftOut);
        Alone.UnionWith(addition.Alone);
    }

    /// <summary>Forgets the incarnations that began too long ago.</summary>
    internal void Forget(DateTimeOffset now)
    {
        var before = (now - Remembered).ToUnixTimeMilliseconds();
        if (before <= ForgottenBefore)
        {
            return;
        }

        ForgottenBefore = before;
        foreach (var incarnation in Counted.Keys.Where(IsForgotten))
        {
            Counted.Remove(incarnation);
        }

        Closed.RemoveWhere(IsForgotten);
        LeftOut.RemoveWhere(key => IsForgotten(UserOfBatch.IncarnationOf(key)));
        Alone.RemoveWhere(key => IsForgotten(UserOfBatch.IncarnationOf(key)));
    }

    internal CountLedger Copy() => new() { Counted = new(Counted), Closed = [.. Closed], LeftOut = [.. LeftOut], Alone = [.. Alone], ForgottenBefore = ForgottenBefore };

    private bool IsForgotten(Guid incarnation) => Incarnation.Began(incarnation) < ForgottenBefore || _before?.IsForgotten(incarnation) == true;

    private bool IsCounted(CountBatch batch) => batch.Number <= Counted.GetValueOrDefault(batch.Incarnation) || _before?.IsCounted(batch) == true;

    private bool IsClosed(Guid incarnation) => Closed.Contains(incarnation) || _before?.IsClosed(incarnation) == true;

    private bool WasLeftOut(string user) => LeftOut.Contains(user) || _before?.WasLeftOut(user) == true;

    private bool CameAlone(string write) => Alone.Contains(write) || _before?.CameAlone(write) == true;
}

/// <summary>What one write of a user has in a batch. A batch may take several writes of a user, of which another silo may know but the first.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.UserOfBatch")]
public readonly record struct UserOfBatch([property: Id(0)] CountBatch Batch, [property: Id(1)] string User, [property: Id(2)] long UserVersion)
{
    private const int HashBytes = 16;

    internal string Key => $"{UserKey(Batch, User)}/{UserVersion}";

    /// <summary>Names the user by a hash that only who has the ID can repeat: a ledger outlives the erasure of a user.</summary>
    internal static string UserKey(CountBatch batch, string user)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes($"{batch.Incarnation:n}/{user}"), hash);
        return $"{batch.Incarnation:n}/{batch.Number}/{Convert.ToBase64String(hash[..HashBytes]).Replace('/', '_')}";
    }

    /// <summary>A key as it is now; in those of earlier versions the user was named. No key of a user's grain ends as a hash does.</summary>
    internal static string Hashed(string key)
    {
        var parts = key.Split('/');
        var userKey = parts[2].EndsWith("==", StringComparison.Ordinal) ? string.Join('/', parts[..3]) : UserKey(new(Guid.ParseExact(parts[0], "n"), long.Parse(parts[1], CultureInfo.InvariantCulture)), parts[2]);
        return string.Join('/', [userKey, .. parts[3..]]);
    }

    internal static Guid IncarnationOf(string key) => Guid.ParseExact(key.AsSpan(0, 32), "n");
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
