using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Grains.Items;
using RecBackend.Grains.Users;

namespace RecBackend.Cluster.Tests.Items;

/// <summary>A call that is sent again because its answer was lost: the caller learns what the first one did.</summary>
public sealed class LostAnswerTests
{
    private readonly HashSet<string> _there = ["a", "user"];
    private int _lost;

    [Theory]
    [InlineData(0, true, false)]
    [InlineData(1, true, true)]
    [InlineData(3, true, true)]
    public async Task Deletion_whose_answer_was_lost_is_not_answered_by_unknown(int lost, bool known, bool unknown)
    {
        _lost = lost;
        var shard = Fake.Of<IItemShardGrain>((_, arguments) => Answer(((string[])arguments[0]!).Select(_there.Remove).ToArray()));
        var items = new GrainItemDirectory(new ItemShards(Fake.Grains((_, _) => shard), 1), null!);
        Assert.Equal([known], await items.DeleteAsync(["a"], default));

        // What was not there may be said to have been, once an answer was lost: nobody can tell.
        _lost = lost;
        Assert.Equal([unknown], await items.DeleteAsync(["never"], default));
    }

    [Fact]
    public async Task Erasure_whose_answer_was_lost_is_not_answered_by_unknown()
    {
        _lost = 1;
        using var copies = new UserCopies(1 << 20);
        var grain = Fake.Of<IUserGrain>((_, _) => Answer(_there.Remove("user")));
        var users = new GrainUserDirectory(Fake.Grains((_, _) => grain), null!, copies);
        Assert.True(await users.EraseAsync("user", default));
        Assert.False(await users.EraseAsync("user", default));
    }

    /// <summary>The call has its effect; its answer may be lost.</summary>
    private Task<T> Answer<T>(T answer) => _lost-- > 0 ? Task.FromException<T>(new TimeoutException()) : Task.FromResult(answer);
}
