using System.Globalization;
using System.Text.Json;
using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Rank;

/// <summary>What was measured at one number of candidates.</summary>
/// <param name="Candidates">How many.</param>
/// <param name="Lanes">Latencies by name of the way to rank; the first is what the others are compared with.</param>
/// <param name="Stages">Median microseconds of the pipeline's stages, by name.</param>
/// <param name="TookOverHttp">Median of the server's own <c>took_us</c>.</param>
/// <param name="Limit">The bare call by itself, before and after.</param>
internal sealed record RankFigures(
    int Candidates, IReadOnlyList<(string Name, LatencySample Sample)> Lanes, IReadOnlyList<(string Name, double Microseconds)> Stages, double TookOverHttp, BareLimit Limit)
{
    /// <summary>The table for people.</summary>
    public static void PrintTable(TextWriter output, IReadOnlyList<RankFigures> all)
    {
        output.WriteLine();
        output.WriteLine("| candidates | way | p50 µs | p99 µs | p50 ÷ bare |");
        output.WriteLine("|---:|---|---:|---:|---:|");
        foreach (var figures in all)
        {
            var bare = figures.Lanes[0].Sample.Percentile(0.5);
            foreach (var (name, sample) in figures.Lanes)
            {
                var p50 = sample.Percentile(0.5);
                output.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"| {figures.Candidates} | {Describe(name)} | {p50:F0} | {sample.Percentile(0.99):F0} | {(name == "socket" ? "" : (p50 / bare).ToString("F2", CultureInfo.InvariantCulture))} |"));
            }
        }

        output.WriteLine();
        foreach (var figures in all)
        {
            var stages = string.Join(", ", figures.Stages.Select(x => string.Create(CultureInfo.InvariantCulture, $"{x.Name} {x.Microseconds:F0}")));
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{figures.Candidates} candidates, medians in µs: in process {stages}; took_us of the server {figures.TookOverHttp:F0}"));
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{figures.Candidates} candidates, bare call by itself: {figures.Limit}"));
        }
    }

    /// <summary>One JSON object for one size, a list of them for several.</summary>
    public static string ToJson(IReadOnlyList<RankFigures> all)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            if (all.Count == 1)
            {
                all[0].Write(json);
            }
            else
            {
                json.WriteStartArray();
                foreach (var figures in all)
                {
                    figures.Write(json);
                }

                json.WriteEndArray();
            }
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private static string Describe(string lane) => lane switch
    {
        "bare" => "bare ONNX Runtime call",
        "inprocess" => "pipeline in process",
        "http" => "over HTTP",
        "gateway" => "through the gateway",
        "socket" => "(client and loopback alone)",
        _ => lane,
    };

    private void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteNumber("candidates", Candidates);
        foreach (var (name, sample) in Lanes)
        {
            json.WriteNumber(name + "_p50_us", Math.Round(sample.Percentile(0.5), 1));
            json.WriteNumber(name + "_p99_us", Math.Round(sample.Percentile(0.99), 1));
        }

        json.WriteNumber("limit_one_thread_per_s", Math.Round(Limit.OneThread, 1));
        json.WriteNumber("limit_all_cores_per_s", Math.Round(Limit.AllCores, 1));
        json.WriteNumber("limit_cpu_us", Math.Round(Limit.ProcessorMicroseconds, 1));

        json.WriteEndObject();
    }
}
