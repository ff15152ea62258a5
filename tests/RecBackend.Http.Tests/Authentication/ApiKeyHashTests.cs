using RecBackend.Http.Authentication;

namespace RecBackend.Http.Tests.Authentication;

public class ApiKeyHashTests
{
    [Fact]
    public void Hash_recognizes_its_key_after_a_round_trip_through_configuration()
    {
        var key = ApiKeyHash.NewKey();
        var hash = ApiKeyHash.Of(key);

        Assert.True(ApiKeyHash.Parse(hash.Salt, hash.Hash).Matches(key));
    }

    [Fact]
    public void Any_changed_character_makes_another_key()
    {
        var key = ApiKeyHash.NewKey();
        var hash = ApiKeyHash.Of(key);
        for (var place = 0; place < key.Length; place++)
        {
            var other = key.ToCharArray();
            other[place] = other[place] == 'x' ? 'y' : 'x';
            Assert.False(hash.Matches(other), $"place {place}");
        }
    }

    [Fact]
    public void Two_hashes_of_one_key_differ() => Assert.NotEqual(ApiKeyHash.Of("rbk_a").Hash, ApiKeyHash.Of("rbk_a").Hash);

    [Theory]
    [InlineData("", "")]
    [InlineData("00", "00")]
    [InlineData("no hex", "no hex")]
    public void Malformed_hash_is_refused(string salt, string hash) => Assert.Throws<FormatException>(() => ApiKeyHash.Parse(salt, hash));
}
