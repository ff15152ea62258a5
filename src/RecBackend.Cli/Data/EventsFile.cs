using System.Globalization;
using System.Text;

namespace RecBackend.Cli.Data;

/// <summary>One impression of the data, clicked or not.</summary>
/// <param name="User">The user.</param>
/// <param name="Item">The item that was shown.</param>
/// <param name="Timestamp">When, Unix seconds.</param>
/// <param name="Clicked">Whether the user clicked.</param>
/// <param name="RequestId">The ranking that it was shown in; empty if unknown.</param>
internal readonly record struct EventRow(string User, string Item, double Timestamp, bool Clicked, string RequestId);

/// <summary>Reads <c>events.csv[.gz]</c>: a header, then rows in the order of time.</summary>
internal static class EventsFile
{
    private static readonly string[] Required = ["user", "item", "timestamp", "label"];

    /// <summary>All rows, in file order. Equal IDs share one string.</summary>
    /// <exception cref="DataException">A row is not one, with its line number.</exception>
    public static List<EventRow> Read(string path)
    {
        using var reader = new StreamReader(DataFolder.OpenFile(path), new UTF8Encoding(false, throwOnInvalidBytes: true));
        var line = 0;
        try
        {
            return Read(path, reader, ref line);
        }
        catch (Exception e) when (e is InvalidDataException or DecoderFallbackException)
        {
            throw new DataException(path, line + 1, $"cannot be read: {e.Message}", e);
        }
    }

    private static List<EventRow> Read(string path, StreamReader reader, ref int line)
    {
        var ids = new Dictionary<string, string>(StringComparer.Ordinal);
        var rows = new List<EventRow>();
        var fields = new List<string>();
        line = 1;
        var columns = ReadHeader(path, reader.ReadLine());
        var previous = double.NegativeInfinity;
        while (reader.ReadLine() is { } text)
        {
            line++;
            if (text.Length == 0)
            {
                continue;
            }

            if (!TrySplit(text, fields) || fields.Count != columns.Count)
            {
                throw new DataException(path, line, $"has {fields.Count} columns or an open quote; the header has {columns.Count} columns");
            }

            var timestamp = ReadTimestamp(path, line, fields[columns.Timestamp]);
            if (timestamp < previous)
            {
                throw new DataException(path, line, $"timestamp {fields[columns.Timestamp]} is before that of the row above; sort the rows by time");
            }

            previous = timestamp;
            rows.Add(new EventRow(
                Share(ids, fields[columns.User]),
                Share(ids, fields[columns.Item]),
                timestamp,
                ReadLabel(path, line, fields[columns.Label]),
                columns.RequestId < 0 ? "" : fields[columns.RequestId]));
        }

        return rows.Count > 0 ? rows : throw new DataException(path, "holds no event");
    }

    private static Columns ReadHeader(string path, string? header)
    {
        var names = new List<string>();
        if (header is null || !TrySplit(header.TrimStart('\ufeff'), names))
        {
            throw new DataException(path, 1, $"the header {string.Join(',', Required)} is missing");
        }

        foreach (var name in Required)
        {
            if (!names.Contains(name))
            {
                throw new DataException(path, 1, $"column '{name}' is missing; the header is '{header}'");
            }
        }

        return new Columns(
            names.IndexOf("user"), names.IndexOf("item"), names.IndexOf("timestamp"), names.IndexOf("label"), names.IndexOf("request_id"), names.Count);
    }

    private static double ReadTimestamp(string path, int line, string text) =>
        // Beyond 2^53 a 64-bit float no longer tells one second from the next.
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var timestamp) && timestamp is >= 0 and < 1L << 53
            ? timestamp
            : throw new DataException(path, line, $"timestamp '{text}' is not a number of Unix seconds");

    private static bool ReadLabel(string path, int line, string text) => text switch
    {
        "0" => false,
        "1" => true,
        _ => throw new DataException(path, line, $"label '{text}' is neither 0 nor 1"),
    };

    private static string Share(Dictionary<string, string> ids, string id)
    {
        if (!ids.TryGetValue(id, out var shared))
        {
            ids[id] = shared = id;
        }

        return shared;
    }

    /// <summary>Splits a line at its commas; a field in double quotes may hold commas, and doubled quotes (RFC 4180). IDs hold no line breaks.</summary>
    private static bool TrySplit(string line, List<string> fields)
    {
        fields.Clear();
        var start = 0;
        while (start <= line.Length)
        {
            if (start < line.Length && line[start] == '"')
            {
                var field = new StringBuilder();
                var at = start + 1;
                for (; at < line.Length; at++)
                {
                    if (line[at] != '"')
                    {
                        field.Append(line[at]);
                    }
                    else if (at + 1 < line.Length && line[at + 1] == '"')
                    {
                        field.Append(line[at++]);
                    }
                    else
                    {
                        break;
                    }
                }

                if (at >= line.Length || (at + 1 < line.Length && line[at + 1] != ','))
                {
                    return false;
                }

                fields.Add(field.ToString());
                start = at + 2;
            }
            else
            {
                var end = line.IndexOf(',', start);
                end = end < 0 ? line.Length : end;
                fields.Add(line[start..end]);
                start = end + 1;
            }
        }

        return true;
    }

    private readonly record struct Columns(int User, int Item, int Timestamp, int Label, int RequestId, int Count);
}
