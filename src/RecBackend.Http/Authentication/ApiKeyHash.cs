using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace RecBackend.Http.Authentication;

/// <summary>
/// What a host stores of an API key: enough to recognize it, not enough to use it. A key reads <c>rb_KEYID_SECRET</c> with a secret of 256 random bits, so
/// one HMAC-SHA256 over it, keyed with a random salt, is as hard to reverse as the secret is to guess; a deliberately slow hash would only cost every request its time.
/// </summary>
/// <remarks>This file is also compiled into the command line and the gateway, so that all three agree and neither needs the host's dependencies.</remarks>
internal sealed class ApiKeyHash
{
    private const string Prefix = "rb_";
    private const int KeyIdLength = 16;
    private const int SecretBytes = 32;
    private const int SaltBytes = 16;

    private readonly byte[] _salt;
    private readonly byte[] _hash;

    private ApiKeyHash(string keyId, byte[] salt, byte[] hash)
    {
        KeyId = keyId;
        _salt = salt;
        _hash = hash;
    }

    /// <summary>The public part of the key: 16 hexadecimal digits, for logs and for finding the stored hash.</summary>
    public string KeyId { get; }

    /// <summary>Makes a new key. The key is shown to its owner once; the hash goes into configuration.</summary>
    public static (string Key, ApiKeyHash Hash) Create()
    {
        var keyId = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(KeyIdLength / 2));
        var key = $"{Prefix}{keyId}_{Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(SecretBytes))}";
        var salt = RandomNumberGenerator.GetBytes(SaltBytes);
        return (key, new ApiKeyHash(keyId, salt, Compute(salt, key)));
    }

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    /// <exception cref="FormatException"><paramref name="text"/> is something else.</exception>
    public static ApiKeyHash Parse(string text)
    {
        var parts = text.Split(':');
        if (parts.Length != 3 || parts[0].Length != KeyIdLength
            || !TryDecode(parts[1], SaltBytes, out var salt) || !TryDecode(parts[2], HMACSHA256.HashSizeInBytes, out var hash))
        {
            throw new FormatException("An API key's hash has the form KEYID:SALT:HASH, as `rec keys create` prints it.");
        }

        return new ApiKeyHash(parts[0], salt, hash);
    }

    /// <summary>The key ID in a presented key; false if it has not the form of a key. Says nothing about whether the key is valid.</summary>
    public static bool TryReadKeyId(ReadOnlySpan<char> key, out ReadOnlySpan<char> keyId)
    {
        keyId = default;
        if (!key.StartsWith(Prefix) || key.Length <= Prefix.Length + KeyIdLength + 1 || key[Prefix.Length + KeyIdLength] != '_')
        {
            return false;
        }

        keyId = key.Slice(Prefix.Length, KeyIdLength);
        return true;
    }

    /// <summary>Whether <paramref name="key"/> is the key. Takes the same time for every wrong key of one length.</summary>
    public bool Matches(string key) => CryptographicOperations.FixedTimeEquals(Compute(_salt, key), _hash);

    /// <summary>The form for configuration, <c>KEYID:SALT:HASH</c> with salt and hash in base64url.</summary>
    public override string ToString() => $"{KeyId}:{Base64Url.EncodeToString(_salt)}:{Base64Url.EncodeToString(_hash)}";

    private static byte[] Compute(byte[] salt, string key) => HMACSHA256.HashData(salt, Encoding.UTF8.GetBytes(key));

    private static bool TryDecode(string text, int length, [NotNullWhen(true)] out byte[]? bytes)
    {
        bytes = new byte[length];
        if (Base64Url.GetMaxDecodedLength(text.Length) == length && Base64Url.TryDecodeFromChars(text, bytes, out var written) && written == length)
        {
            return true;
        }

        bytes = null;
        return false;
    }
}
