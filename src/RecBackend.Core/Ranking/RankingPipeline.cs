using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Core.Ranking;

/// <summary>The one way in which a request becomes a ranking: read the user once, gather rows, run the model, take the best.</summary>
public sealed class RankingPipeline : IRanker
{
    /// <summary>Ranks with the models of <paramref name="models"/> for the users of <paramref name="users"/>.</summary>
    public RankingPipeline(ModelDirectory models, IUserDirectory users, TimeProvider clock) => throw new NotImplementedException();

    /// <inheritdoc/>
    public ValueTask<Ranking> RankAsync(RankRequest request, CancellationToken cancellation) => throw new NotImplementedException();
}
