using System.Diagnostics;
using RecBackend.Cli.Data;
using RecBackend.Cli.Loading;
using RecBackend.Client;

namespace RecBackend.Cli.Evaluation;

/// <summary>
/// Replays the test part of a data set against a live server in the order of time: each ranking is asked for before its rows are told. Consecutive rows of one user
/// with one request ID are one ranking.
/// </summary>
internal sealed class Replay(RecBackendClient client, IReadOnlyList<EventRow> rows, Split split, EventSource source)
{
    private const int UntoldRows = 200;

    // The model is what is measured: a slow moment of the machine must not bring the fallback in.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly double?[] _scores = new double?[rows.Count];
    private readonly Lock _lock = new();
    private readonly List<double> _latencies = [];
    private readonly HashSet<string> _models = [];
    private readonly Rejections _rejections = new("events");
    private long _done;
    private int _fallbacks;

    /// <summary>Runs the replay.</summary>
    /// <param name="lanes">How many users are replayed at a time. 1 keeps the order of all rows, so that item statistics are exactly those of training; each user's order is kept in any case.</param>
    /// <param name="report">Called with the number of rows that are done.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<ReplayResult> RunAsync(int lanes, Action<long> report, CancellationToken cancellation)
    {
        var perLane = new List<Range>[lanes];
        foreach (ref var lane in perLane.AsSpan())
        {
            lane = [];
        }

        foreach (var group in Groups())
        {
            var lane = (uint)StringComparer.Ordinal.GetHashCode(rows[group.Start.Value].User) % (uint)lanes;
            perLane[lane].Add(group);
        }

        await Task.WhenAll(perLane.Select(lane => RunLaneAsync(lane, report, cancellation)));
        _rejections.Report();
        return new ReplayResult(rows, _scores, [.. _latencies], _models, _fallbacks, _rejections.Count);
    }

    /// <summary>Rows of the replay in file order, rows of one ranking together.</summary>
    private IEnumerable<Range> Groups()
    {
        for (var start = split.FirstRanked; start < rows.Count;)
        {
            var end = start + 1;
            while (end < rows.Count && rows[start].RequestId.Length > 0
                && rows[end].RequestId == rows[start].RequestId && rows[end].User == rows[start].User)
            {
                end++;
            }

            yield return start..end;
            start = end;
        }
    }

    private async Task RunLaneAsync(List<Range> groups, Action<long> report, CancellationToken cancellation)
    {
        var untold = new List<InteractionEvent>();
        foreach (var group in groups)
        {
            var ranked = Enumerable.Range(group.Start.Value, group.End.Value - group.Start.Value).Where(split.IsRanked).ToList();
            if (ranked.Count > 0)
            {
                await TellAsync(untold, cancellation);
                await RankAsync(ranked, cancellation);
            }

            for (var row = group.Start.Value; row < group.End.Value; row++)
            {
                if (split.IsTold(row))
                {
                    source.Add(untold, row, rows[row]);
                }
            }

            // A row that is ranked is told at once; rows between, of a split by items, may wait for the next ranking.
            if (ranked.Count > 0 || untold.Count >= UntoldRows)
            {
                await TellAsync(untold, cancellation);
            }

            lock (_lock)
            {
                report(_done += group.End.Value - group.Start.Value);
            }
        }

        await TellAsync(untold, cancellation);
    }

    private async Task RankAsync(List<int> ranked, CancellationToken cancellation)
    {
        var first = rows[ranked[0]];
        var request = new RankRequest
        {
            User = first.User,
            Items = [.. ranked.Select(row => rows[row].Item)],
            Context = new Dictionary<string, double> { ["timestamp"] = first.Timestamp },
            RequestId = first.RequestId.Length == 0 ? null : first.RequestId,
            Timeout = Patience,
        };
        var start = Stopwatch.GetTimestamp();
        var ranking = await client.RankAsync(request, cancellation);
        var took = Stopwatch.GetElapsedTime(start);

        var scores = ranking.Items.ToDictionary(item => item.Id, item => item.Score, StringComparer.Ordinal);
        lock (_lock)
        {
            _latencies.Add(took.TotalMilliseconds);
            if (ranking.Model is not null)
            {
                _models.Add(ranking.Model);
            }

            _fallbacks += ranking.ByModel ? 0 : ranked.Count;
        }

        foreach (var row in ranked)
        {
            _scores[row] = scores.TryGetValue(rows[row].Item, out var score) ? score : null;
        }
    }

    private async Task TellAsync(List<InteractionEvent> untold, CancellationToken cancellation)
    {
        if (untold.Count == 0)
        {
            return;
        }

        var receipt = await client.SendEventsAsync(untold, cancellation);
        lock (_lock)
        {
            _rejections.Add(receipt, index => untold[(int)index].EventId);
        }

        untold.Clear();
    }
}
