using RecBackend.Core;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Grains.Catalog;

namespace RecBackend.Grains.Models;

/// <summary>This silo's part in changes of the model: gets ready, and switches or stays as the record says. At one change at a time.</summary>
internal sealed class SiloModels(ModelDirectory models, CatalogRepair repair, ILocalSiloDetails here)
{
    /// <summary>What was lost on the way is asked for so often before a switch; what is still missing then changes as fast as it is read.</summary>
    private const int MostRepairs = 3;

    private long _reports;
    private volatile bool _serves;
    private volatile SiloWork? _work;
    private volatile Refused? _refused;

    /// <summary>Completed, and replaced, when there is something new to report.</summary>
    private volatile TaskCompletionSource _news = New();

    /// <summary>What this silo works at, or null.</summary>
    public SiloWork? Work => _work;

    /// <summary>Ends when there is something new to report.</summary>
    public Task News => _news.Task;

    /// <summary>From now on the silo ranks, and takes part in changes.</summary>
    public void Serve() => _serves = true;

    /// <summary>How far this silo is.</summary>
    public ReplicaReport Report()
    {
        // The number first: what is read after it is at least as new as what a report of a lower number tells.
        var number = Interlocked.Increment(ref _reports);
        var (work, refused) = (_work, _refused);
        return new()
        {
            Silo = here.SiloAddress,
            Name = here.Name,
            Number = number,
            Serves = _serves,
            Active = models.Status.Active,
            Change = work?.Change ?? refused?.Change,
            IsReady = work?.IsReady ?? false,
            Refusal = work is null ? refused?.Why : null,
        };
    }

    /// <summary>Acts by the record that was the answer to a report.</summary>
    public void Hear(ReplicaReport report, ActiveBundle record)
    {
        if (_refused is { } refused && refused.Change != record.Change?.Id)
        {
            _refused = null;
        }

        // Work that began after the report is not what the record speaks of.
        if (_work is { Change: { } id } work && id == report.Change)
        {
            if (record.Change is not { } change || change.Id != id || change.Phase == ChangePhase.GivenUp)
            {
                work.GiveUp(record.Change?.Id == id ? record.Change.Refusal : null);
            }
            else if (change.IsDecided)
            {
                work.Decide();
            }
        }
    }

    /// <summary>Whether this silo has said that it cannot take part.</summary>
    public bool HasRefused(Guid change) => _refused?.Change == change;

    /// <summary>Takes this silo's turn, unless it works already.</summary>
    /// <param name="change">The change that is worked at; null = one that this silo has missed.</param>
    public SiloWork? TryBegin(Guid? change)
    {
        var work = new SiloWork(change, End);
        return Interlocked.CompareExchange(ref _work, work, null) is null ? work : null;
    }

    /// <summary>Gets ready, waits until the change is decided, and switches.</summary>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public async Task ApplyAsync(SiloWork work, string version, JobProgress progress)
    {
        await models.ActivateAsync(version, progress, AgreeAsync, work.Stop);
        Tell();

        async Task AgreeAsync(CancellationToken cancellation)
        {
            await CompleteAsync(cancellation);
            work.IsReady = true;
            Tell();
            await work.Decision.WaitAsync(cancellation);
        }
    }

    /// <summary>Compares the catalogues with the items: while they were filled some changed, and rows may be those of another silo. What told of that may be lost.</summary>
    public async Task CompleteAsync(CancellationToken cancellation)
    {
        for (var repairs = 0; repairs < MostRepairs && await repair.RunAsync(cancellation) > 0; repairs++)
        {
            await models.CatchUpAsync(bundle: null, cancellation);
        }
    }

    /// <summary>As <see cref="ApplyAsync"/>; if it fails the silo says why it cannot take part.</summary>
    public async Task TakePartAsync(SiloWork work, string version)
    {
        using (work)
        {
            try
            {
                await ApplyAsync(work, version, new JobProgress());
            }
            catch (OperationCanceledException) when (work.Stop.IsCancellationRequested)
            {
                // Given up: by others, or as this silo stops.
            }
            catch (Exception error)
            {
                _refused = new(work.Change!.Value, RefusalOf(error));
            }
        }
    }

    public static ModelRefusal RefusalOf(Exception error) => error switch
    {
        BundleRefusedException refusal => new(refusal.Code, refusal.Message, IsOfBundle: true),
        OperationRefusedException refusal => new(refusal.Code, refusal.Message, IsOfBundle: false),
        StorageException storage => new(storage.Code, storage.Message, IsOfBundle: false),
        _ => new(StorageException.Unavailable, error.Message, IsOfBundle: false),
    };

    private void End(SiloWork work)
    {
        Interlocked.CompareExchange(ref _work, null, work);
        Tell();
    }

    private void Tell() => Interlocked.Exchange(ref _news, New()).TrySetResult();

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed record Refused(Guid Change, ModelRefusal Why);
}

/// <summary>What a silo works at, from the beginning until it is disposed.</summary>
internal sealed class SiloWork(Guid? change, Action<SiloWork> end) : IDisposable
{
    private readonly TaskCompletionSource _decision = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private volatile bool _ready;

    /// <summary>The change that is worked at; null = one that was missed.</summary>
    public Guid? Change => change;

    /// <summary>Whether the silo could switch at once.</summary>
    public bool IsReady
    {
        get => _ready;
        set => _ready = value;
    }

    /// <summary>Ends when the change is decided.</summary>
    public Task Decision => _decision.Task;

    /// <summary>Cancelled when it is given up.</summary>
    public CancellationToken Stop => _stop.Token;

    /// <summary>Why it was given up, if a silo could not take part.</summary>
    public ModelRefusal? Refusal { get; private set; }

    /// <summary>The change is decided.</summary>
    public void Decide() => _decision.TrySetResult();

    /// <summary>The change is given up.</summary>
    public void GiveUp(ModelRefusal? refusal)
    {
        Refusal ??= refusal;
        _ = _stop.CancelAsync();
    }

    public void Dispose()
    {
        end(this);
    }
}
