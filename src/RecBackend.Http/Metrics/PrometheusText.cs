using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using RecBackend.Http.Authentication;
using RecBackend.Http.OpenApi;

namespace RecBackend.Http.Metrics;

/// <summary>
/// Writes what OpenTelemetry has collected in Prometheus' text format, version 0.0.4: names with underscores, unit and <c>_total</c> behind them, cumulative buckets. OpenTelemetry's own
/// exporter for it has no stable release.
/// </summary>
[ExportModes(ExportModes.Pull)]
internal sealed class PrometheusText : BaseExporter<Metric>, IPullMetricExporter
{
    /// <summary>Content type of the format.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly Lock _collecting = new();
    private readonly StringBuilder _text = new();

    /// <inheritdoc/>
    public Func<int, bool>? Collect { get; set; }

    /// <summary>Everything, now.</summary>
    public string Read()
    {
        lock (_collecting)
        {
            _text.Clear();
            Collect?.Invoke(Timeout.Infinite);
            return _text.ToString();
        }
    }

    /// <inheritdoc/>
    public override ExportResult Export(in Batch<Metric> batch)
    {
        // Two meters may have an instrument of one name; the format wants all lines of a name together, under one header.
        var byName = new SortedDictionary<string, List<Metric>>(StringComparer.Ordinal);
        foreach (var metric in batch)
        {
            var name = NameOf(metric);
            (byName.TryGetValue(name, out var metrics) ? metrics : byName[name] = []).Add(metric);
        }

        foreach (var (name, metrics) in byName)
        {
            _text.Append("# HELP ").Append(name).Append(' ').Append(EscapeHelp(metrics[0].Description)).Append('\n');
            _text.Append("# TYPE ").Append(name).Append(' ').Append(TypeOf(metrics[0].MetricType)).Append('\n');
            foreach (var metric in metrics)
            {
                foreach (ref readonly var point in metric.GetMetricPoints())
                {
                    Append(name, metric.MetricType, point);
                }
            }
        }

        return ExportResult.Success;
    }

    private static string TypeOf(MetricType type) => type switch
    {
        MetricType.LongSum or MetricType.DoubleSum => "counter",
        MetricType.Histogram => "histogram",
        _ => "gauge",
    };

    private static string NameOf(Metric metric)
    {
        var name = new StringBuilder(metric.Name.Length + 16);
        foreach (var letter in metric.Name)
        {
            name.Append(char.IsAsciiLetterOrDigit(letter) || letter == ':' ? letter : '_');
        }

        var unit = metric.Unit switch
        {
            "s" => "_seconds",
            "By" => "_bytes",
            "ms" => "_milliseconds",
            _ => "",
        };
        name.Append(unit);
        return name.Append(TypeOf(metric.MetricType) == "counter" ? "_total" : "").ToString();
    }

    private void Append(string name, MetricType type, in MetricPoint point)
    {
        switch (type)
        {
            case MetricType.LongSum or MetricType.LongSumNonMonotonic:
                AppendLine(name, "", point, null, point.GetSumLong());
                break;
            case MetricType.DoubleSum or MetricType.DoubleSumNonMonotonic:
                AppendLine(name, "", point, null, point.GetSumDouble());
                break;
            case MetricType.LongGauge:
                AppendLine(name, "", point, null, point.GetGaugeLastValueLong());
                break;
            case MetricType.DoubleGauge:
                AppendLine(name, "", point, null, point.GetGaugeLastValueDouble());
                break;
            case MetricType.Histogram:
                AppendHistogram(name, point);
                break;
            default:
                // An exponential histogram has no form in this format; nothing here asks for one.
                break;
        }
    }

    private void AppendHistogram(string name, in MetricPoint point)
    {
        long below = 0;
        foreach (var bucket in point.GetHistogramBuckets())
        {
            below += bucket.BucketCount;
            AppendLine(name, "_bucket", point, Number(bucket.ExplicitBound), below);
        }

        AppendLine(name, "_sum", point, null, point.GetHistogramSum());
        AppendLine(name, "_count", point, null, point.GetHistogramCount());
    }

    private void AppendLine(string name, string suffix, in MetricPoint point, string? bound, double value)
    {
        _text.Append(name).Append(suffix);
        var opening = '{';
        foreach (var tag in point.Tags)
        {
            AppendLabel(opening, LabelName(tag.Key), Convert.ToString(tag.Value, CultureInfo.InvariantCulture) ?? "");
            opening = ',';
        }

        if (bound is not null)
        {
            AppendLabel(opening, "le", bound);
            opening = ',';
        }

        _text.Append(opening == ',' ? "} " : " ").Append(Number(value)).Append('\n');
    }

    private void AppendLabel(char opening, string name, string value) =>
        _text.Append(opening).Append(name).Append("=\"").Append(EscapeLabel(value)).Append('"');

    private static string LabelName(string key)
    {
        var name = new StringBuilder(key.Length + 1);
        foreach (var letter in key)
        {
            name.Append(char.IsAsciiLetterOrDigit(letter) ? letter : '_');
        }

        return name.Length > 0 && char.IsAsciiDigit(name[0]) ? name.Insert(0, '_').ToString() : name.ToString();
    }

    private static string EscapeHelp(string text) => text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);

    private static string EscapeLabel(string text) => EscapeHelp(text).Replace("\"", "\\\"", StringComparison.Ordinal);

    private static string Number(double value) => value switch
    {
        double.PositiveInfinity => "+Inf",
        double.NegativeInfinity => "-Inf",
        double.NaN => "NaN",
        _ => value.ToString("R", CultureInfo.InvariantCulture),
    };
}

/// <summary>Adds <c>/metrics</c> to a host.</summary>
public static class PrometheusExtensions
{
    /// <summary>Serves <c>/metrics</c> to any key.</summary>
    public static IEndpointConventionBuilder MapPrometheus(this IEndpointRouteBuilder endpoints)
    {
        var text = endpoints.ServiceProvider.GetRequiredService<PrometheusText>();
        return endpoints.MapGet("/metrics", context =>
        {
            context.Response.ContentType = PrometheusText.ContentType;
            return context.Response.WriteAsync(text.Read(), context.RequestAborted);
        }).RequireScope(ApiScopes.Any).Describe("What the host counts, in Prometheus' text format").GivesText("text/plain");
    }
}
