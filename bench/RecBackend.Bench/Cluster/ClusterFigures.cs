using System.Globalization;
using System.Text.Json;

namespace RecBackend.Bench.Cluster;

/// <summary>What a run measured, in the order in which it did.</summary>
internal sealed class ClusterFigures
{
    private readonly List<Figure> _figures = [];

    /// <summary>Adds a figure, and tells it at once.</summary>
    /// <param name="part">The part of the benchmark.</param>
    /// <param name="key">Its name in the JSON.</param>
    /// <param name="what">Its name for people.</param>
    /// <param name="value">The figure.</param>
    /// <param name="unit">Its unit; empty for a ratio.</param>
    public void Add(string part, string key, string what, double value, string unit)
    {
        var figure = new Figure(part, key, what, value, unit);
        _figures.Add(figure);
        Measuring.ProgressLines.Say($"{part}: {what} {figure.Text}");
    }

    /// <summary>A table for each part.</summary>
    public void PrintTables(TextWriter output)
    {
        foreach (var part in _figures.GroupBy(figure => figure.Part))
        {
            output.WriteLine();
            output.WriteLine($"| {part.Key} | |");
            output.WriteLine("|---|---:|");
            foreach (var figure in part)
            {
                output.WriteLine($"| {figure.What} | {figure.Text} |");
            }
        }
    }

    /// <summary>One JSON object with an object for each part.</summary>
    public string ToJson()
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            foreach (var part in _figures.GroupBy(figure => figure.Part))
            {
                json.WriteStartObject(part.Key);
                foreach (var figure in part)
                {
                    json.WriteNumber(figure.Key, Math.Round(figure.Value, 4));
                }

                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private sealed record Figure(string Part, string Key, string What, double Value, string Unit)
    {
        public string Text => Value.ToString(Math.Abs(Value) switch { >= 100 => "N0", >= 10 => "F1", _ => "F2" }, CultureInfo.InvariantCulture) + (Unit.Length > 0 ? " " + Unit : "");
    }
}
