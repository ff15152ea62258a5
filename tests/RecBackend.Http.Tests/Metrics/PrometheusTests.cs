using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text.RegularExpressions;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Metrics;

/// <summary>Alone in the process: other hosts' gauges would have the same names.</summary>
[CollectionDefinition("metrics", DisableParallelization = true)]
public sealed class AloneCollection;

[Collection("metrics")]
public sealed partial class PrometheusTests
{
    [Fact]
    public async Task Metrics_are_valid_text_and_count_what_happened()
    {
        await using var host = await RunningHost.StartAsync();
        using var meter = new Meter("RecBackend.Test");
        meter.CreateCounter<long>("recbackend.test.odd", null, "Back\\slash and\nline").Add(1, new KeyValuePair<string, object?>("odd.tag", "quote \" back \\ line \n end"));
        await host.PostAsync("/v1/rank", """{"user":"u","items":["i01","i02","nope"]}""");
        await host.PostAsync("/v1/rank", "nonsense");
        var samples = Parse((await host.GetAsync("/metrics")).Text);

        Assert.Contains(samples, sample => sample.Name == "recbackend_test_odd_total" && sample.Labels["odd_tag"] == "quote \" back \\ line \n end");
        Assert.True(Value("recbackend_requests_total", ("route", "/v1/rank"), ("method", "POST"), ("status", "200")) >= 1);
        Assert.True(Value("recbackend_requests_total", ("route", "/v1/rank"), ("method", "POST"), ("status", "400")) >= 1);
        Assert.True(Value("recbackend_rankings_total", ("mode", "model")) >= 1);
        foreach (var stage in new[] { "user_read", "gather", "run", "total" })
        {
            Assert.True(Value("recbackend_ranking_stage_duration_seconds_count", ("stage", stage)) >= 1, stage);
        }

        Assert.Contains(samples, sample => sample.Name == "recbackend_catalog_items" && sample.Value == 50);
        Assert.Contains(samples, sample => sample.Name == "recbackend_scorer_queue");
        Assert.Contains(samples, sample => sample.Name == "recbackend_model_active" && sample.Labels["version"].StartsWith("tiny-", StringComparison.Ordinal));
        Assert.Contains(samples, sample => sample.Name == "recbackend_jobs_running" && sample.Labels["kind"] == "warm");
        Assert.Contains(samples, sample => sample.Name == "dotnet_process_memory_working_set_bytes" && sample.Value > 1e6);

        double Value(string name, params (string Key, string Value)[] labels) => samples
            .Where(sample => sample.Name == name && labels.All(label => sample.Labels.GetValueOrDefault(label.Key) == label.Value))
            .Sum(sample => sample.Value);
    }

    /// <summary>Reads the text format by its rules: one header a name, before its samples, all of them together; buckets that only grow, up to the count.</summary>
    private static List<Sample> Parse(string text)
    {
        var (samples, types, current, closed) = (new List<Sample>(), new Dictionary<string, string>(), "", new HashSet<string>());
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        foreach (var line in text.TrimEnd('\n').Split('\n'))
        {
            if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                var parts = line.Split(' ');
                Assert.True(closed.Add(parts[2]), $"{parts[2]} has two headers");
                Assert.Contains(parts[3], (string[])["counter", "gauge", "histogram"]);
                (current, types[parts[2]]) = (parts[2], parts[3]);
                continue;
            }

            if (line.StartsWith("# HELP ", StringComparison.Ordinal))
            {
                continue;
            }

            var match = SampleLine().Match(line);
            Assert.True(match.Success, $"no sample: {line}");
            var labels = LabelPair().Matches(match.Groups["labels"].Value).ToDictionary(
                pair => pair.Groups[1].Value,
                pair => pair.Groups[2].Value.Replace("\\n", "\n", StringComparison.Ordinal).Replace("\\\"", "\"", StringComparison.Ordinal).Replace("\\\\", "\\", StringComparison.Ordinal));
            var name = match.Groups["name"].Value;
            Assert.True(name == current || (types[current] == "histogram" && name is var part && (part == current + "_bucket" || part == current + "_sum" || part == current + "_count")), $"{name} under {current}");
            var value = match.Groups["value"].Value;
            samples.Add(new Sample(name, labels, value switch { "+Inf" => double.PositiveInfinity, "-Inf" => double.NegativeInfinity, _ => double.Parse(value, CultureInfo.InvariantCulture) }));
        }

        foreach (var series in samples.Where(sample => sample.Name.EndsWith("_bucket", StringComparison.Ordinal)).GroupBy(sample => sample.Series()))
        {
            var counts = series.Select(bucket => bucket.Value).ToList();
            Assert.Equal(counts.Order(), counts);
            Assert.Equal("+Inf", series.Last().Labels["le"]);
            Assert.Contains(samples, sample => sample.Name == series.First().Name[..^7] + "_count" && sample.Series().EndsWith(series.Key[series.Key.IndexOf('{', StringComparison.Ordinal)..], StringComparison.Ordinal) && sample.Value == counts[^1]);
        }

        return samples;
    }

    [GeneratedRegex("""^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?<labels>([a-zA-Z_][a-zA-Z0-9_]*="(\\\\|\\"|\\n|[^"\\])*",?)*)\})? (?<value>\S+)$""")]
    private static partial Regex SampleLine();

    [GeneratedRegex("""([a-zA-Z_][a-zA-Z0-9_]*)="((?:\\\\|\\"|\\n|[^"\\])*)",?""")]
    private static partial Regex LabelPair();

    private sealed record Sample(string Name, Dictionary<string, string> Labels, double Value)
    {
        public string Series() => Name + "{" + string.Join(',', Labels.Where(label => label.Key != "le").OrderBy(label => label.Key, StringComparer.Ordinal).Select(label => $"{label.Key}={label.Value}"));
    }
}
