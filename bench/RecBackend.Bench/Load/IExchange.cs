namespace RecBackend.Bench.Load;

/// <summary>Sends a request and reads the whole answer.</summary>
internal interface IExchange : IDisposable
{
    /// <param name="arrival">Number of the arrival; which request it sends follows from it.</param>
    /// <param name="giveUp">Cancelled when the caller no longer waits.</param>
    /// <returns>What came of it; faults of the server and of the connection are outcomes and not exceptions.</returns>
    Task<Outcome> SendAsync(int arrival, CancellationToken giveUp);
}
