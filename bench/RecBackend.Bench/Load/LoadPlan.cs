using System.Text.Json;
using System.Text.Json.Serialization;

namespace RecBackend.Bench.Load;

/// <summary>What a generator process is told to do.</summary>
internal sealed record LoadPlan
{
    /// <summary>Whom to ask for rankings.</summary>
    public required Uri Target { get; init; }

    /// <summary>Whose <c>/metrics</c> to read, and to add up.</summary>
    public required Uri[] Servers { get; init; }

    /// <summary>1.1 or 2.0.</summary>
    public required Version Http { get; init; }

    /// <summary>Arrivals a second.</summary>
    public required double Rate { get; init; }

    /// <summary>Arrivals before the measured ones, at the same rate and without a break.</summary>
    public required TimeSpan WarmUp { get; init; }

    /// <summary>How long measured arrivals come.</summary>
    public required TimeSpan Measured { get; init; }

    /// <summary>What follows on the measured arrivals, without a break; null for nothing.</summary>
    public LoadStorm? Storm { get; init; }

    /// <summary>Requests on the wire at once.</summary>
    public required int InFlight { get; init; }

    /// <summary>How long after its scheduled arrival a request is given up.</summary>
    public required TimeSpan Patience { get; init; }

    /// <summary>Sent as <c>Request-Timeout-Ms</c>, if not null.</summary>
    public required TimeSpan? Deadline { get; init; }

    /// <summary>Candidates of a request.</summary>
    public required int Candidates { get; init; }

    /// <summary>How many of the best it asks for; 0 = all.</summary>
    public required int Limit { get; init; }

    /// <summary>Seed of arrivals, users and candidates.</summary>
    public required int Seed { get; init; }

    /// <summary>Folder of the data set that users and items are taken from.</summary>
    public required string Data { get; init; }
}

/// <summary>What was measured at one offered rate.</summary>
/// <param name="Rate">The rate that was asked for.</param>
/// <param name="Callers">What the callers saw.</param>
/// <param name="Server">What the server used; null if it did not answer for it.</param>
/// <param name="Generator">What the generator used.</param>
/// <param name="Storm">What the callers saw in a storm and after it; null if there was none.</param>
internal sealed record LoadPoint(double Rate, LoadFigures Callers, ServerUse? Server, GeneratorUse Generator, StormFigures? Storm = null);

/// <summary>More than a server can do, and then again what it can.</summary>
/// <param name="Rate">Arrivals a second in it.</param>
/// <param name="Length">How long they come.</param>
/// <param name="After">How long arrivals then come at the rate from before.</param>
internal sealed record LoadStorm(double Rate, TimeSpan Length, TimeSpan After);

/// <summary>What the callers saw of a storm.</summary>
/// <param name="During">In it.</param>
/// <param name="After">After it.</param>
/// <param name="TroubleSeconds">How long after its end the model did not yet answer all, or half of the answers took longer than the p99 from before; null if that was still so at the end.</param>
internal sealed record StormFigures(LoadFigures During, LoadFigures After, double? TroubleSeconds);

/// <summary>What the generator process used while the measured arrivals came.</summary>
/// <param name="Cores">Processors it kept busy, on average.</param>
/// <param name="PauseMilliseconds">Time that its own collections held all its threads: these pauses are in the latencies.</param>
/// <param name="GoesFirst">Whether its threads got the processor before all others; if not, some of the latency is its own wait.</param>
internal sealed record GeneratorUse(double Cores, double PauseMilliseconds, bool GoesFirst);

/// <summary>How plans and points are written.</summary>
internal static class LoadJson
{
    public static JsonSerializerOptions Options { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DictionaryKeyPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower), new ThreePlaces() },
    };

    // Nothing here is measured finer than a nanosecond.
    private sealed class ThreePlaces : JsonConverter<double>
    {
        public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDouble();

        public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options) => writer.WriteNumberValue(Math.Round(value, 3));
    }
}
