using Microsoft.Extensions.Configuration;
using RecBackend.Http.Configuration;

namespace RecBackend.Http.Authentication;

/// <summary>
/// The keys that a host accepts at one time, as <c>RecBackend:Keys</c> names them: each entry has a <c>Hash</c>, as <c>rec keys create</c> prints it, and <c>Scopes</c>, a list or one text with commas.
/// </summary>
internal sealed class ApiKeyRing
{
    private readonly Dictionary<string, Entry> _entries;
    private readonly Dictionary<string, Entry>.AlternateLookup<ReadOnlySpan<char>> _byKeyId;

    private ApiKeyRing(Dictionary<string, Entry> entries)
    {
        _entries = entries;
        _byKeyId = entries.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>Whether no key is configured.</summary>
    public bool IsEmpty => _entries.Count == 0;

    /// <summary>Reads and checks the section <c>RecBackend:Keys</c>.</summary>
    /// <exception cref="ConfigurationException">Names the configuration key that is wrong.</exception>
    public static ApiKeyRing Read(IConfigurationSection keys)
    {
        var entries = new Dictionary<string, Entry>(StringComparer.Ordinal);
        foreach (var section in keys.GetChildren())
        {
            var entry = new Entry(ReadHash(section), ReadScopes(section.GetSection("Scopes")));
            if (!entries.TryAdd(entry.Hash.KeyId, entry))
            {
                throw new ConfigurationException($"{section.Path}:Hash", $"is of key {entry.Hash.KeyId}, which another entry has already.");
            }
        }

        return new ApiKeyRing(entries);
    }

    /// <summary>The scopes of <paramref name="key"/>; false if it is not one of the keys.</summary>
    public bool TryFind(string key, out ApiScope scopes)
    {
        // A key's ID is public: that finding it takes another time than not finding it tells nothing of the secret.
        if (ApiKeyHash.TryReadKeyId(key, out var keyId) && _byKeyId.TryGetValue(keyId, out var entry) && entry.Hash.Matches(key))
        {
            scopes = entry.Scopes;
            return true;
        }

        scopes = ApiScope.None;
        return false;
    }

    private static ApiKeyHash ReadHash(IConfigurationSection section)
    {
        try
        {
            return ApiKeyHash.Parse(section["Hash"] ?? "");
        }
        catch (FormatException e)
        {
            throw new ConfigurationException($"{section.Path}:Hash", $"is not usable. {e.Message}");
        }
    }

    private static ApiScope ReadScopes(IConfigurationSection section)
    {
        var names = section.Value?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            ?? [.. section.GetChildren().Select(child => child.Value ?? "")];
        var scopes = ApiScope.None;
        foreach (var name in names)
        {
            if (!ApiScopes.TryParse(name, out var scope))
            {
                throw new ConfigurationException(section.Path, $"holds '{name}'; known are {ApiScopes.Known}.");
            }

            scopes |= scope;
        }

        return scopes != ApiScope.None ? scopes : throw new ConfigurationException(section.Path, $"is empty; name at least one of {ApiScopes.Known}.");
    }

    private readonly record struct Entry(ApiKeyHash Hash, ApiScope Scopes);
}
