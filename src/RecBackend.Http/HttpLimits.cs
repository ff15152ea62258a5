using Microsoft.Extensions.Configuration;
using RecBackend.Http.Configuration;

namespace RecBackend.Http;

/// <summary>How much one caller, and all callers together, may ask of a host: section <c>RecBackend:Limits</c>.</summary>
public sealed class HttpLimits
{
    /// <summary>Candidates of one ranking.</summary>
    public int Candidates { get; set; } = 5_000;

    /// <summary>Numbers in a ranking's context.</summary>
    public int ContextFields { get; set; } = 64;

    /// <summary>Bytes of the body of one ranking: 5,000 IDs of 128 bytes, each escaped at worst, and room for the rest.</summary>
    public int RankBody { get; set; } = 4 * 1024 * 1024;

    /// <summary>Bytes of a body that is read as one JSON value. An item with a picture of 8 MiB in base64 fits.</summary>
    public int Body { get; set; } = 16 * 1024 * 1024;

    /// <summary>Bytes of a body that is read line by line, or of a bundle.</summary>
    public long Stream { get; set; } = 4L * 1024 * 1024 * 1024;

    /// <summary>Bytes of one line.</summary>
    public int Line { get; set; } = 16 * 1024 * 1024;

    /// <summary>Entries that are handed to the engine in one piece; memory of a batch is bounded by it. Those that a cluster keeps in one place cost it one write.</summary>
    public int Chunk { get; set; } = 1_024;

    /// <summary>Bytes of lines after which a piece is handed to the engine even if it has fewer entries.</summary>
    public int ChunkBytes { get; set; } = 16 * 1024 * 1024;

    /// <summary>Rejected entries that a reply lists; all are counted.</summary>
    public int RejectedListed { get; set; } = 1_000;

    /// <summary>Milliseconds until a ranking without the header <c>Request-Timeout-Ms</c> is answered by the fallback.</summary>
    public int RankTimeoutMs { get; set; } = 1_000;

    /// <summary>Milliseconds that <c>Request-Timeout-Ms</c> may ask for at most.</summary>
    public int RankTimeoutMaxMs { get; set; } = 30_000;

    /// <summary>Rankings at once, those whose body is still on its way included; more get 429.</summary>
    public int ConcurrentRankings { get; set; } = 512;

    /// <summary>How many times its latency on a host at rest, and 20 ms in any case, a ranking may take. Above, fewer are let in at once, and the others get 429.</summary>
    public int RankLatencyTolerance { get; set; } = 4;

    /// <summary>Calls with scope ingest at once.</summary>
    public int ConcurrentIngests { get; set; } = 128;

    /// <summary>Calls with scope admin at once.</summary>
    public int ConcurrentAdmins { get; set; } = 32;

    /// <summary>Reads and checks the limits.</summary>
    /// <exception cref="ConfigurationException">Names the limit that is wrong.</exception>
    public static HttpLimits Read(IConfiguration configuration)
    {
        var section = configuration.GetSection("RecBackend:Limits");
        var limits = new HttpLimits();
        try
        {
            section.Bind(limits, binder => binder.ErrorOnUnknownConfiguration = true);
        }
        catch (InvalidOperationException e)
        {
            throw new ConfigurationException(section.Path, $"cannot be read. {e.Message}");
        }

        foreach (var property in typeof(HttpLimits).GetProperties())
        {
            if (Convert.ToInt64(property.GetValue(limits), System.Globalization.CultureInfo.InvariantCulture) < 1)
            {
                throw new ConfigurationException($"{section.Path}:{property.Name}", "must be at least 1.");
            }
        }

        return limits;
    }
}
