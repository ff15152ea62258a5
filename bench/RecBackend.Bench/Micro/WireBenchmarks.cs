using System.Globalization;
using System.Text;
using BenchmarkDotNet.Attributes;
using RecBackend.Core.Ranking;
using RecBackend.Http;
using RecBackend.Http.Ranking;

namespace RecBackend.Bench.Micro;

/// <summary>What HTTP adds to a ranking inside the server: reading the request's JSON, choosing the best, writing the reply's JSON.</summary>
[MemoryDiagnoser]
public class WireBenchmarks
{
    private readonly RankExchange _exchange = new();
    private readonly HttpLimits _limits = new();
    private byte[] _body = [];
    private float[] _scores = [];
    private ulong[] _keys = [];
    private FixedRanking _ranking = new([]);

    [Params(500, 2000)]
    public int Candidates { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        var random = new Random(1);
        _body = Encoding.UTF8.GetBytes(
            $$"""{"user":"42","items":[{{string.Join(',', Enumerable.Range(0, Candidates).Select(_ => $"\"{random.Next(200_000).ToString(CultureInfo.InvariantCulture)}\""))}}]}""");
        _scores = [.. Enumerable.Range(0, Candidates).Select(_ => 0.02f + 0.9f * random.NextSingle())];
        _keys = new ulong[Candidates];
        _ranking = new FixedRanking([.. _scores.Select((score, i) => new RankedItem(i, score, Cold: false)).OrderByDescending(x => x.Score)]);
        _exchange.Clear();
        RankBodyReader.Read(_body, _exchange, _limits);
    }

    [Benchmark]
    public int Parse()
    {
        _exchange.Clear();
        RankBodyReader.Read(_body, _exchange, _limits);
        return _exchange.Request.Candidates.Count;
    }

    [Benchmark]
    public int TakeBest()
    {
        for (var row = 0; row < _keys.Length; row++)
        {
            _keys[row] = BestFirst.Key(_scores[row], row);
        }

        return BestFirst.Row(BestFirst.Take<ulong>(_keys, _keys.Length)[0]);
    }

    [Benchmark]
    public int Write()
    {
        _exchange.Reply.Clear();
        RankReplyWriter.Write(_exchange, _ranking, layout: null, TimeSpan.Zero);
        return _exchange.Reply.Written.Length;
    }

    private sealed class FixedRanking(RankedItem[] items) : Core.Ranking.Ranking
    {
        public override string? Model => "ppm-20261122-00000000";

        public override RankingMode Mode => RankingMode.Model;

        public override FallbackReason Reason => FallbackReason.None;

        public override ReadOnlySpan<RankedItem> Items => items;

        public override ReadOnlySpan<int> Unknown => [];

        public override StageTimes Times => default;

        public override ReadOnlySpan<float> Statistics(in RankedItem item) => [];

        public override void Dispose()
        {
        }
    }
}
