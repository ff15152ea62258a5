using System.Text.RegularExpressions;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Metrics;

[Collection("metrics")]
public sealed class SeriesTests
{
    [Fact]
    public async Task Ranking_counts_once_and_no_series_is_there_twice()
    {
        await using var host = await RunningHost.StartAsync();
        var before = Rankings(await SeriesAsync(host));
        await host.PostAsync("/v1/rank", """{"user":"u","items":["i01","i02"]}""");
        var series = await SeriesAsync(host);
        Assert.Equal(before + 1, Rankings(series));
        Assert.Equal([], series.GroupBy(sample => sample.Series).Where(same => same.Count() > 1).Select(same => same.Key));

        static double Rankings(List<(string Series, double Value)> series) =>
            series.Where(sample => sample.Series.StartsWith("recbackend_rankings_total", StringComparison.Ordinal)).Sum(sample => sample.Value);
    }

    [Fact]
    public async Task Methods_of_a_callers_own_making_are_one_series()
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Items = false });
        for (var i = 0; i < 5; i++)
        {
            await host.SendAsync(new HttpMethod($"MADEUP{i}"), "/v1/nothing");
        }

        var methods = (await SeriesAsync(host)).Where(sample => sample.Series.StartsWith("recbackend_requests_total", StringComparison.Ordinal))
            .Select(sample => Regex.Match(sample.Series, "method=\"([^\"]*)\"").Groups[1].Value).Distinct().ToList();
        Assert.Contains("other", methods);
        Assert.DoesNotContain(methods, method => method.StartsWith("MADEUP", StringComparison.Ordinal));
    }

    private static async Task<List<(string Series, double Value)>> SeriesAsync(RunningHost host) =>
        [.. (await host.GetAsync("/metrics")).Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => line[0] != '#').Select(line =>
        {
            var space = line.LastIndexOf(' ');
            var value = line[(space + 1)..];
            return (line[..space], value is "+Inf" or "-Inf" or "NaN" ? 0 : double.Parse(value, System.Globalization.CultureInfo.InvariantCulture));
        })];
}
