namespace RecBackend.Bench.Rank;

/// <summary>What one ranking gave to the ranker: the same numbers go into the bare call.</summary>
/// <param name="UserState">[S].</param>
/// <param name="HistoryState">[L, H].</param>
/// <param name="Rows">[N, dRow].</param>
/// <param name="Context">[C].</param>
/// <param name="Scores">[N], what the ranker answered.</param>
internal sealed record RankTensors(float[] UserState, float[] HistoryState, float[] Rows, float[] Context, float[] Scores)
{
    /// <summary>N.</summary>
    public int Candidates => Scores.Length;
}
