using System.Collections.Concurrent;
using RecBackend.Embedded.Items;
using RecBackend.Embedded.Users;

namespace RecBackend.Embedded.Storage;

/// <summary>A few connections for reads beside the writer, each with its prepared statements. A caller waits while all are in use.</summary>
internal sealed class ReadSessions : IDisposable
{
    private readonly string _file;
    private readonly SemaphoreSlim _free;
    private readonly ConcurrentBag<ReadSession> _idle = [];
    private volatile bool _closed;

    public ReadSessions(string file, int count)
    {
        _file = file;
        _free = new SemaphoreSlim(count, count);
    }

    /// <summary>Runs <paramref name="read"/> on one moment of the state: a single snapshot for all of its queries.</summary>
    public async ValueTask<T> ReadAsync<TArgument, T>(TArgument argument, Func<ReadSession, TArgument, T> read, CancellationToken cancellation)
    {
        await _free.WaitAsync(cancellation);
        try
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(EmbeddedEngine));
            if (!_idle.TryTake(out var session))
            {
                session = new ReadSession(_file);
            }

            T result;
            try
            {
                using (session.Database.BeginRead())
                {
                    result = read(session, argument);
                }
            }
            catch
            {
                // Its statements may stand in the middle of a result; a new one is cheap.
                session.Dispose();
                throw;
            }

            _idle.Add(session);
            if (_closed)
            {
                CloseIdle();
            }

            return result;
        }
        finally
        {
            _free.Release();
        }
    }

    /// <summary>Closes the connections; one that is in use closes after its read.</summary>
    public void Dispose()
    {
        _closed = true;
        CloseIdle();
    }

    private void CloseIdle()
    {
        while (_idle.TryTake(out var session))
        {
            session.Dispose();
        }
    }
}

/// <summary>One connection for reads.</summary>
internal sealed class ReadSession : IDisposable
{
    public ReadSession(string file)
    {
        Database = Database.OpenReader(file);
        Users = new UserRows(Database);
        Items = new ItemRows(Database);
    }

    public Database Database { get; }

    public UserRows Users { get; }

    public ItemRows Items { get; }

    public void Dispose() => Database.Dispose();
}
