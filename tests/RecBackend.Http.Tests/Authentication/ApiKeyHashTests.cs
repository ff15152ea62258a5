using RecBackend.Http.Authentication;

namespace RecBackend.Http.Tests.Authentication;

public class ApiKeyHashTests
{
    [Fact]
    public void Hash_recognizes_its_key_after_a_round_trip_through_configuration()
    {
        var (key, hash) = ApiKeyHash.Create();

        Assert.True(ApiKeyHash.Parse(hash.ToString()).Matches(key));
        Assert.DoesNotContain(key[20..], hash.ToString());
    }

    [Fact]
    public void Any_changed_character_makes_another_key()
    {
        var (key, hash) = ApiKeyHash.Create();
        for (var place = 0; place < key.Length; place++)
        {
            var other = key.ToCharArray();
            other[place] = other[place] == 'x' ? 'y' : 'x';
            Assert.False(hash.Matches(new string(other)), $"place {place}");
        }
    }

    [Fact]
    public void Key_id_is_read_from_the_key()
    {
        var (key, hash) = ApiKeyHash.Create();

        Assert.True(ApiKeyHash.TryReadKeyId(key, out var keyId));
        Assert.Equal(hash.KeyId, keyId.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("rb_")]
    [InlineData("rb_0123456789abcdef")]
    [InlineData("rb_0123456789abcdef_")]
    [InlineData("xx_0123456789abcdef_secret")]
    public void What_is_not_a_key_has_no_key_id(string text) => Assert.False(ApiKeyHash.TryReadKeyId(text, out _));

    [Theory]
    [InlineData("")]
    [InlineData("a:b:c")]
    [InlineData("0123456789abcdef:AAAAAAAAAAAAAAAAAAAAAA:AAAA")]
    [InlineData("0123456789abcdef:AAAAAAAAAAAAAAAAAAAAAA:!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!")]
    public void Malformed_hash_is_refused(string text) => Assert.Throws<FormatException>(() => ApiKeyHash.Parse(text));
}
