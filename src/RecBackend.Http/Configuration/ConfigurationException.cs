namespace RecBackend.Http.Configuration;

/// <summary>A host cannot start with its configuration. The message is one line that names the key.</summary>
public sealed class ConfigurationException(string key, string problem) : Exception($"{key} {problem}")
{
    /// <summary>The configuration key, such as <c>RecBackend:State</c>.</summary>
    public string Key { get; } = key;
}
