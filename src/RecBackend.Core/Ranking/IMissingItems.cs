namespace RecBackend.Core.Ranking;

/// <summary>Port: reads items of which the catalogue of this host has no row, because what told of them was lost. An engine whose catalogue misses nothing has no such port.</summary>
public interface IMissingItems
{
    /// <summary>Looks whether these are items, and if so gives their rows to the catalogues. An ID that is none is not looked up again for a while.</summary>
    /// <param name="ids">Candidates without a row.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>Whether there were any. False too where it cannot be known in a small part of a ranking's time.</returns>
    ValueTask<bool> BringAsync(IReadOnlyList<string> ids, CancellationToken cancellation);
}
