using System.Text.Json;
using RecBackend.Cli;

namespace RecBackend.Bench.Peer;

/// <summary>Whether two servers answer one request alike: the same items with the same scores, best first.</summary>
internal static class Agreement
{
    /// <summary>Scores may differ by so much: versions of ONNX Runtime do.</summary>
    public const double Tolerance = 1e-4;

    /// <summary>Compares two replies of <c>POST /v1/rank</c>.</summary>
    /// <returns>The largest difference of two scores of an item.</returns>
    /// <exception cref="CommandException">They do not agree; the message says in what.</exception>
    public static double Check(ReadOnlySpan<byte> ours, ReadOnlySpan<byte> peers)
    {
        var (expected, other) = (Read(ours), Read(peers));
        if (expected.Count != other.Count)
        {
            throw new CommandException($"the peer ranked {other.Count} items and the server {expected.Count}");
        }

        var most = 0.0;
        foreach (var (id, score) in expected)
        {
            if (!other.TryGetValue(id, out var theirs) || !(Math.Abs(theirs - score) <= Tolerance))
            {
                throw new CommandException($"the peer scored item {id} with {(other.ContainsKey(id) ? theirs : "nothing")}, the server with {score}: they do not do the same work");
            }

            most = Math.Max(most, Math.Abs(theirs - score));
        }

        return most;
    }

    private static Dictionary<string, double> Read(ReadOnlySpan<byte> reply)
    {
        var reader = new Utf8JsonReader(reply);
        using var document = JsonDocument.ParseValue(ref reader);
        var scores = new Dictionary<string, double>();
        var last = double.PositiveInfinity;
        foreach (var item in document.RootElement.GetProperty("items").EnumerateArray())
        {
            var score = item.GetProperty("score").GetDouble();
            if (score > last)
            {
                throw new CommandException($"a reply is not in the order of its scores: {score} after {last}");
            }

            last = score;
            scores.Add(item.GetProperty("id").GetString()!, score);
        }

        return scores;
    }
}
