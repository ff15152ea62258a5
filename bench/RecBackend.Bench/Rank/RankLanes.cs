using System.Buffers.Text;
using System.Net;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;
using RecBackend.Core.Items;
using RecBackend.Core.Ranking;

namespace RecBackend.Bench.Rank;

/// <summary>One way to get a ranking.</summary>
internal abstract class RankLane : IDisposable
{
    /// <summary>Its name in the table and in the JSON.</summary>
    public abstract string Name { get; }

    /// <summary>Makes ready for the request at <paramref name="index"/>; not measured.</summary>
    public virtual void Prepare(int index)
    {
    }

    /// <summary>Ranks; measured.</summary>
    public abstract ValueTask RankAsync(int index);

    /// <summary>Throws unless the last ranking is what was asked for; not measured.</summary>
    public abstract void Check(int index);

    public abstract void Dispose();

    /// <summary>Its first <paramref name="requests"/> requests over and over; the answer of one is checked before the next.</summary>
    public Turn ToTurn(int requests)
    {
        var request = -1;
        return new Turn(
            i =>
            {
                if (request >= 0)
                {
                    Check(request);
                }

                request = i % requests;
                Prepare(request);
            },
            () => RankAsync(request));
    }
}

/// <summary>The ranker graph alone.</summary>
internal sealed class BareLane(BareRanker ranker, IReadOnlyList<RankTensors> tensors) : RankLane
{
    public override string Name => "bare";

    // Only every now and then: copying rows in before each call would push other things out of the caches.
    public override void Prepare(int index)
    {
        if (index % RankBenchmark.RoundLength == 0)
        {
            ranker.Fill(tensors[index / RankBenchmark.RoundLength % tensors.Count]);
        }
    }

    public override ValueTask RankAsync(int index)
    {
        ranker.Run();
        return ValueTask.CompletedTask;
    }

    public override void Check(int index) => ranker.Check(tensors[index / RankBenchmark.RoundLength % tensors.Count]);

    public override void Dispose() => ranker.Dispose();
}

/// <summary>The ranking pipeline, called in this process.</summary>
internal sealed class InProcessLane(IRanker ranker, RankWorkload workload, int expected, Action<StageTimes> stages) : RankLane
{
    private readonly RankRequest _request = new();
    private Ranking? _ranking;

    public override string Name => "inprocess";

    public override void Prepare(int index) => workload.Fill(_request, index);

    public override async ValueTask RankAsync(int index) => _ranking = await ranker.RankAsync(_request, CancellationToken.None);

    public override void Check(int index)
    {
        using var ranking = _ranking!;
        if (ranking.Mode != RankingMode.Model || ranking.Items.Length != expected)
        {
            throw new InvalidOperationException($"Request {index}: {ranking.Items.Length} items by {ranking.Mode} ({ranking.Reason}), not {expected} by the model.");
        }

        stages(ranking.Times);
    }

    public override void Dispose()
    {
    }
}

/// <summary>A ranking by a model that caches nothing: each request encodes its candidates, the items of the user's history and the user, and then ranks.</summary>
internal sealed class UncachedLane(BenchEngine engine, RankWorkload workload, DataSet data) : RankLane
{
    private readonly Dictionary<string, ItemContent> _contents = data.Items.ToDictionary(x => x.Id, x => x.Content);
    private readonly RankRequest _request = new();
    private IReadOnlyList<ItemContent> _items = [];
    private Ranking? _ranking;

    public override string Name => "uncached";

    public override void Prepare(int index)
    {
        workload.Fill(_request, index);
        var history = engine.HistoryOf(_request.User);
        _items = [.. Enumerable.Range(0, _request.Candidates.Count).Select(i => _contents[System.Text.Encoding.UTF8.GetString(_request.Candidates[i])]), .. history.Select(id => _contents[id])];
    }

    public override async ValueTask RankAsync(int index)
    {
        await engine.EncodeAsync(_request.User, _items, CancellationToken.None);
        _ranking = await engine.Ranker.RankAsync(_request, CancellationToken.None);
    }

    public override void Check(int index)
    {
        using var ranking = _ranking!;
        if (ranking.Mode != RankingMode.Model)
        {
            throw new InvalidOperationException($"Request {index} was answered by {ranking.Mode} ({ranking.Reason}), not by the model.");
        }
    }

    public override void Dispose()
    {
    }
}

/// <summary>A process that listens on <paramref name="endpoint"/>, asked over one keep-alive connection.</summary>
internal sealed class SocketLane(string name, IPEndPoint endpoint, RankWorkload workload, Action<double>? took) : RankLane
{
    private readonly KeepAliveConnection _connection = new(endpoint);
    private byte[] _request = [];
    private int _status;

    public override string Name => name;

    public override void Prepare(int index) => _request = KeepAliveConnection.Post(endpoint, "/v1/rank", workload.Json(index));

    public override ValueTask RankAsync(int index)
    {
        _status = _connection.Exchange(_request);
        return ValueTask.CompletedTask;
    }

    public override void Check(int index)
    {
        var body = _connection.Body;
        if (_status != 200 || body.IndexOf("\"mode\":\"model\""u8) < 0)
        {
            throw new InvalidOperationException($"Request {index} over {name}: status {_status}, {System.Text.Encoding.UTF8.GetString(body[..Math.Min(body.Length, 500)])}");
        }

        var place = body.LastIndexOf("\"took_us\":"u8);
        if (took is not null && place >= 0 && Utf8Parser.TryParse(body[(place + "\"took_us\":".Length)..], out double microseconds, out _))
        {
            took(microseconds);
        }
    }

    public override void Dispose() => _connection.Dispose();
}

/// <summary>The same client on a socket behind which nothing is computed: its own cost and that of the loopback device.</summary>
internal sealed class EmptySocketLane : RankLane
{
    private readonly byte[] _request;
    private readonly CannedResponder _responder;
    private readonly KeepAliveConnection _connection;

    /// <param name="server">Gives the answer that is repeated from then on.</param>
    /// <param name="body">A request as the other lanes send it.</param>
    public EmptySocketLane(IPEndPoint server, ReadOnlySpan<byte> body)
    {
        _request = KeepAliveConnection.Post(server, "/v1/rank", body);
        using (var connection = new KeepAliveConnection(server))
        {
            connection.Exchange(_request);
            _responder = new CannedResponder(_request.Length, connection.Body);
        }

        _connection = new KeepAliveConnection(_responder.Endpoint);
    }

    public override string Name => "socket";

    public override ValueTask RankAsync(int index)
    {
        _connection.Exchange(_request);
        return ValueTask.CompletedTask;
    }

    public override void Check(int index)
    {
        if (_connection.Body.IsEmpty)
        {
            throw new InvalidOperationException("The empty socket answered without a body.");
        }
    }

    public override void Dispose()
    {
        _connection.Dispose();
        _responder.Dispose();
    }
}
