using RecBackend.Core.Models;

namespace RecBackend.Scoring.Onnx;

/// <summary>The tensors of several rankings that run as one, in memory that the collector does not move. Both axes are filled up, so that few shapes are run: candidates with zeros, rankings with the first of them.</summary>
internal sealed class RankBatch(ModelLayout layout)
{
    private float[] _users = [];
    private float[] _histories = [];
    private float[] _rows = [];
    private float[] _contexts = [];
    private float[] _scores = [];

    /// <summary>Copies rankings in, runs them, and copies their scores out.</summary>
    /// <param name="ranker">The graph, of batches.</param>
    /// <param name="rankings">At least one.</param>
    /// <param name="candidates">N of the run, at least that of each.</param>
    public unsafe void Run(Graph ranker, IReadOnlyList<QueuedRanking> rankings, int candidates)
    {
        var batch = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)rankings.Count);
        for (var place = 0; place < batch; place++)
        {
            var ranking = rankings[place < rankings.Count ? place : 0];
            Copy(ranking.User.UserState, layout.UserState, place, batch, ref _users);
            Copy(ranking.User.HistoryState, layout.History * layout.HistoryState, place, batch, ref _histories);
            Copy(ranking.Context, layout.Context.Count, place, batch, ref _contexts);
            Copy(ranking.Rows.AsSpan(0, ranking.Count * layout.Row), candidates * layout.Row, place, batch, ref _rows);
        }

        Grow(ref _scores, checked(batch * candidates));
        fixed (float* users = _users, histories = _histories, rows = _rows, contexts = _contexts, scores = _scores)
        {
            var run = ranker.Rent(batch, candidates);
            try
            {
                run.Input(0, users, _users.Length);
                run.Input(1, histories, _histories.Length);
                run.Input(2, rows, _rows.Length);
                if (layout.Context.Count > 0)
                {
                    run.Input(3, contexts, _contexts.Length);
                }

                run.Output(0, scores, _scores.Length);
                ranker.Run(run);
            }
            finally
            {
                ranker.Return(run);
            }
        }

        for (var place = 0; place < rankings.Count; place++)
        {
            _scores.AsSpan(place * candidates, rankings[place].Count).CopyTo(rankings[place].Scores);
        }
    }

    private static void Copy(ReadOnlySpan<float> source, int width, int place, int batch, ref float[] target)
    {
        Grow(ref target, checked(batch * width));
        var part = target.AsSpan(place * width, width);
        source.CopyTo(part);
        part[source.Length..].Clear();
    }

    /// <summary>Its contents are lost when it grows; that happens at a batch's first ranking, before anything is in it.</summary>
    private static void Grow(ref float[] array, int length)
    {
        if (array.Length < length)
        {
            array = GC.AllocateUninitializedArray<float>(length, pinned: true);
        }
    }
}
