using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;
using RecBackend.Http.Configuration;

namespace RecBackend.Http.Authentication;

/// <summary>
/// The keys of <c>RecBackend:Keys</c>, read again when the configuration changes, so that a key can be added or withdrawn without a restart. A change that makes no sense is logged and leaves
/// the keys before it in force; so does one that takes all keys away, which would open a host that may be open.
/// </summary>
internal sealed class ApiKeys : IDisposable
{
    private readonly IConfiguration _configuration;
    private readonly ILogger<ApiKeys> _log;
    private readonly IDisposable _changes;
    private volatile ApiKeyRing _current;

    /// <summary>Takes <paramref name="first"/>, and follows <paramref name="configuration"/> from then on.</summary>
    public ApiKeys(ApiKeyRing first, IConfiguration configuration, ILogger<ApiKeys> log)
    {
        (_current, _configuration, _log) = (first, configuration, log);
        _changes = ChangeToken.OnChange(configuration.GetReloadToken, Reload);
    }

    /// <summary>The keys that hold now.</summary>
    public ApiKeyRing Current => _current;

    /// <summary>Reads and checks the keys.</summary>
    /// <exception cref="ConfigurationException">Names the configuration key that is wrong.</exception>
    public static ApiKeyRing Read(IConfiguration configuration) => ApiKeyRing.Read(configuration.GetSection("RecBackend:Keys"));

    /// <inheritdoc/>
    public void Dispose() => _changes.Dispose();

    private void Reload()
    {
        try
        {
            var changed = Read(_configuration);
            if (changed.IsEmpty && !_current.IsEmpty)
            {
                _log.LogError("The configuration holds no key any more, those before it hold on: a file that is being replaced may be gone for a moment. To go without keys, restart.");
                return;
            }

            _current = changed;
        }
        catch (ConfigurationException e)
        {
            _log.LogError("The change of keys is not taken, those before it hold on. {Reason}", e.Message);
        }
    }
}
