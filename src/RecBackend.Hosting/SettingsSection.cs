using Microsoft.Extensions.Configuration;
using RecBackend.Http.Configuration;

namespace RecBackend.Hosting;

/// <summary>Reads settings so that a wrong one ends the start with its name.</summary>
public static class SettingsSection
{
    /// <summary>Refuses keys that nobody reads: most are mistyped.</summary>
    /// <exception cref="ConfigurationException">There is another key.</exception>
    public static void RefuseOthers(this IConfigurationSection section, IReadOnlyList<string> known)
    {
        foreach (var child in section.GetChildren())
        {
            if (!known.Contains(child.Key, StringComparer.OrdinalIgnoreCase))
            {
                throw new ConfigurationException(child.Path, $"is not a key of this host; known are {string.Join(", ", known)}.");
            }
        }
    }

    /// <summary>The value of a key, or <paramref name="absent"/> without one.</summary>
    /// <exception cref="ConfigurationException">It is not of the type.</exception>
    public static T Read<T>(this IConfigurationSection section, string key, T absent)
    {
        try
        {
            return section.GetValue(key, absent)!;
        }
        catch (InvalidOperationException)
        {
            throw new ConfigurationException($"{section.Path}:{key}", $"is '{section[key]}', which is no {Words(typeof(T))}.");
        }
    }

    /// <summary>The whole number of a key, or <paramref name="absent"/> without one.</summary>
    /// <exception cref="ConfigurationException">It is none, or out of range.</exception>
    public static int Read(this IConfigurationSection section, string key, int absent, int least, int most = int.MaxValue)
    {
        var value = section.Read(key, absent);
        return value >= least && value <= most
            ? value
            : throw new ConfigurationException($"{section.Path}:{key}", most == int.MaxValue ? $"must be at least {least}." : $"must be {least} to {most}.");
    }

    /// <summary>The text of a key.</summary>
    /// <exception cref="ConfigurationException">It is missing; <paramref name="meaning"/> says what it would be.</exception>
    public static string Require(this IConfigurationSection section, string key, string meaning) =>
        section[key] is { Length: > 0 } value ? value : throw new ConfigurationException($"{section.Path}:{key}", $"is missing: {meaning}.");

    /// <summary>The base URL of a key, or null without one.</summary>
    /// <exception cref="ConfigurationException">It is no URL of a host.</exception>
    public static Uri? ReadAddress(this IConfigurationSection section, string key)
    {
        if (section[key] is not { Length: > 0 } given)
        {
            return null;
        }

        return Uri.TryCreate(given, UriKind.Absolute, out var address) && address.Scheme is "http" or "https"
            ? address
            : throw new ConfigurationException($"{section.Path}:{key}", $"is '{given}', which is no URL of a host.");
    }

    private static string Words(Type type) =>
        type.IsEnum ? $"one of {string.Join(", ", Enum.GetNames(type)).ToLowerInvariant()}"
        : type == typeof(bool) ? "true or false"
        : "whole number";
}
