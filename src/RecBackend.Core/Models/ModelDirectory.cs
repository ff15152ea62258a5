using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Ranking;

namespace RecBackend.Core.Models;

/// <summary>Settings of a <see cref="ModelDirectory"/>.</summary>
public sealed record ModelDirectoryOptions
{
    /// <summary>Form of the catalogue's rows.</summary>
    public RowPrecision Precision { get; init; } = RowPrecision.Half;

    /// <summary>Items that are encoded in one call.</summary>
    public int EncodeBatch { get; init; } = 32;
}

/// <summary>Where the models of a host stand.</summary>
/// <param name="Ready">Whether start-up is over: the catalogue is filled.</param>
/// <param name="Active">Version of the bundle that answers, or null.</param>
/// <param name="Previous">Version that a rollback returns to, or null.</param>
/// <param name="Preparing">Version that is being made ready, or null.</param>
/// <param name="Items">Items in the catalogue that answers.</param>
/// <param name="CatalogVersion">The highest item version in it.</param>
/// <param name="Digest">Count and hash of its items and their versions.</param>
/// <param name="Memory">Memory of all catalogues, in bytes.</param>
/// <param name="Problem">Why a recorded bundle could not be loaded at start, or null.</param>
/// <param name="ActivatedAt">Since when the active bundle answers here, or null.</param>
public sealed record ModelStatus(
    bool Ready, string? Active, string? Previous, string? Preparing, int Items, long CatalogVersion, CatalogDigest Digest, long Memory, BundleRefusedException? Problem,
    DateTimeOffset? ActivatedAt);

/// <summary>
/// The models of this host: the active one, the previous one for rollback, and their catalogues, which it keeps fed with item changes.
/// Rankings take a <see cref="ModelLease"/>; a model is disposed when the last lease is given back.
/// </summary>
public sealed class ModelDirectory : IModelSwitch, IAsyncDisposable
{
    // About what a caller asks for: some pools and graphs grow with the request.
    private const int WarmUpCandidates = 500;

    private readonly IBundleStore _bundles;
    private readonly IItemDirectory _items;
    private readonly IItemChangeFeed _changes;
    private readonly ModelDirectoryOptions _options;
    private readonly RepresentationWriter _writer;
    private readonly EncodingBacklog _backlog;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;

    // One activation or rollback at a time; it alone writes what follows, in whole references.
    private readonly SemaphoreSlim _switching = new(1);
    private volatile Loaded _models = new(null, null, null, ItemCatalog.OfCounters(), null);
    private volatile CatalogFeed[] _feeds = [];
    private volatile BundleRefusedException? _problem;
    private volatile bool _ready;
    private int _closed;
    private IDisposable? _subscription;

    /// <summary>Makes a directory; <see cref="StartAsync"/> fills it.</summary>
    /// <param name="bundles">The stored bundles.</param>
    /// <param name="items">Where items are.</param>
    /// <param name="changes">Tells of their changes.</param>
    /// <param name="options">Settings.</param>
    /// <param name="log">Told what fails in the background, where no caller waits for it.</param>
    /// <param name="clock">The time of activations; null = the system's.</param>
    /// <param name="duty">Which items are this host's to encode where several keep the same models; null = it is alone.</param>
    public ModelDirectory(
        IBundleStore bundles, IItemDirectory items, IItemChangeFeed changes, ModelDirectoryOptions options, ILogger<ModelDirectory>? log = null, TimeProvider? clock = null,
        IEncodingDuty? duty = null)
    {
        _log = log ?? NullLogger<ModelDirectory>.Instance;
        _clock = clock ?? TimeProvider.System;
        _bundles = bundles;
        _items = items;
        _changes = changes;
        _options = options;
        _writer = new(items);
        _backlog = new(items, () => _models.Kept, options.EncodeBatch, _log, HasRow, duty, _clock);
    }

    /// <summary>Where things stand.</summary>
    public ModelStatus Status
    {
        get
        {
            var models = _models;
            var catalog = models.Active?.Catalog ?? models.Counters;
            return new(
                _ready, models.Active?.Version, models.Previous?.Version, models.Preparing?.Version, catalog.Count, catalog.Version, catalog.TotalDigest,
                _feeds.Sum(feed => feed.Catalog.MemoryUsage.Total), _problem, models.ActivatedAt);
        }
    }

    /// <summary>The catalogues that hold all items: those of the models that are kept, or the one of counters. One that is being filled is not among them.</summary>
    internal IReadOnlyList<ItemCatalog> FilledCatalogs
    {
        get
        {
            var models = _models;
            var filled = models.Kept.Where(serving => serving.IsFilled).Select(serving => serving.Catalog);
            return !_ready ? [] : models.Active is null ? [models.Counters, .. filled] : [.. filled];
        }
    }

    /// <summary>The model of a version whose catalogue holds all items, or null.</summary>
    internal ServingModel? Filled(string version) => _ready ? _models.Kept.FirstOrDefault(serving => serving.IsFilled && serving.Version == version) : null;

    /// <summary>Ranks once with a model that is about to answer. Set by whoever ranks with these models; null = nobody does.</summary>
    internal Func<ServingModel, RankRequest, CancellationToken, Task>? WarmUp { get; set; }

    /// <summary>Loads the bundles that were active when the host last ran and fills their catalogues. Without one, rankings are answered by the fallback.</summary>
    /// <param name="progress">Told of items as they are read.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task StartAsync(JobProgress progress, CancellationToken cancellation)
    {
        var recorded = _bundles.ReadActive();
        var active = await TryLoadAsync(recorded.Active, cancellation);
        var previous = await TryLoadAsync(recorded.Previous, cancellation);

        // A host whose active bundle is broken serves the one before it rather than none, and says so in its status.
        (active, previous) = active is null ? (previous, null) : (active, previous);
        _models = _models with { Active = active, Previous = previous, ActivatedAt = active is null ? null : _clock.GetUtcNow() };
        FeedKept();
        _subscription = _changes.Subscribe(Observe);
        await FillAsync(_feeds, progress, cancellation);
        foreach (var serving in _models.Kept)
        {
            serving.IsFilled = true;
        }

        try
        {
            await WarmUpAsync(active, cancellation);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            // A host that cannot rank with its bundle must still take another one.
            _log.LogError(error, "The first ranking with {Version} failed", active?.Version);
        }

        _ready = true;
    }

    /// <summary>The model that answers now, held until the lease is disposed.</summary>
    public ModelLease Lease()
    {
        while (true)
        {
            var models = _models;
            if (models.Active is null)
            {
                return new(models.Counters);
            }

            if (models.Active.TryHold())
            {
                return new(models.Active);
            }
        }
    }

    /// <summary>The model of <paramref name="version"/>, active or previous.</summary>
    /// <exception cref="BundleRefusedException"><c>bundle_unknown</c>: it is not loaded.</exception>
    public ModelLease Lease(string version)
    {
        var models = _models;
        foreach (var serving in (ReadOnlySpan<ServingModel?>)[models.Active, models.Previous])
        {
            if (serving is not null && serving.Version == version && serving.TryHold())
            {
                return new(serving);
            }
        }

        throw new BundleRefusedException("bundle_unknown", $"The bundle '{version}' is not loaded here; the active one and the one before it are.");
    }

    /// <summary>Loads a stored bundle, encodes every item that lacks a representation for it, and makes it the active one. Rankings go on meanwhile.</summary>
    /// <param name="version">A version that <see cref="IBundleStore"/> has.</param>
    /// <param name="progress">Told of items as they are ready, of those that the bundle cannot read, and of those that its encoder breaks on: these are unknown to it until a later try succeeds.</param>
    /// <param name="cancellation">Gives up; the active model stays.</param>
    /// <exception cref="OperationRefusedException"><c>activation_in_progress</c>.</exception>
    /// <exception cref="BundleRefusedException">The bundle is not stored, or not valid; the active model stays.</exception>
    public async Task ActivateAsync(string version, JobProgress progress, CancellationToken cancellation)
    {
        using var turn = TakeTurn();
        if (await MakeActiveAsync(version, progress, AloneAsync, cancellation))
        {
            await TrimAsync();
        }
    }

    /// <summary>As <see cref="ActivateAsync(string, JobProgress, CancellationToken)"/>, together with other hosts. Representations of other bundles stay: which are still needed is known to whoever leads.</summary>
    /// <param name="version">A version that <see cref="IBundleStore"/> has.</param>
    /// <param name="progress">Told of items.</param>
    /// <param name="agree">Called when this host could switch; ends when all can, or fails, and then the active model stays. Not called if the version is active already.</param>
    /// <param name="cancellation">Gives up; the active model stays.</param>
    public async Task ActivateAsync(string version, JobProgress progress, Func<CancellationToken, Task> agree, CancellationToken cancellation)
    {
        using var turn = TakeTurn();
        await MakeActiveAsync(version, progress, agree, cancellation);
    }

    /// <summary>Comes to the models that other hosts have, after changes that this one has missed: also the previous one, so that a rollback goes the same way everywhere.</summary>
    /// <param name="versions">What the others have.</param>
    /// <param name="agree">Called when this host could switch to the active one, which it then does.</param>
    /// <param name="cancellation">Gives up; what is active then stays.</param>
    /// <exception cref="OperationRefusedException"><c>activation_in_progress</c>.</exception>
    /// <exception cref="BundleRefusedException">One of them is not stored, or not valid.</exception>
    public async Task FollowAsync(ActiveVersions versions, Func<CancellationToken, Task> agree, CancellationToken cancellation)
    {
        using var turn = TakeTurn();
        if (versions.Active is { } active)
        {
            await MakeActiveAsync(active, new JobProgress(), agree, cancellation);
        }

        if (_models.Previous?.Version != versions.Previous)
        {
            await MakePreviousAsync(versions.Previous, cancellation);
        }
    }

    /// <summary>Swaps the active and the previous model, as soon as every item that was written since has a representation for the previous one too.</summary>
    /// <param name="from">The version that is to be left, so that a call that comes twice does not come back to it.</param>
    /// <param name="progress">Told of items that the previous model's encoder breaks on: they keep the row that they have there, or are unknown to it.</param>
    /// <param name="cancellation">Gives up; the active model stays.</param>
    /// <exception cref="OperationRefusedException"><c>rollback_unavailable</c> or <c>activation_in_progress</c>.</exception>
    public async Task RollbackAsync(string from, JobProgress progress, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        using var turn = TakeTurn();
        var models = _models;
        if (models.Active?.Version != from)
        {
            throw new OperationRefusedException("rollback_unavailable", $"The bundle '{from}' is not the active one, which is {models.Active?.Version ?? "none"}.");
        }

        if (models.Previous is null)
        {
            throw new OperationRefusedException("rollback_unavailable", "No bundle was active before this one.");
        }

        await SwapAsync(progress, AloneAsync, cancellation);
    }

    /// <summary>Stops feeding and lets the models go.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _closed, 1) == 1)
        {
            return;
        }

        await _switching.WaitAsync();
        _subscription?.Dispose();
        await _backlog.DisposeAsync();
        var models = _models;
        _models = new(null, null, null, models.Counters, null);
        foreach (var serving in models.Kept)
        {
            serving.Release();
            await serving.Disposed;
        }

        _switching.Dispose();
    }

    /// <summary>Layout of a bundle that is loaded or being prepared, or null; for checks of representations from outside.</summary>
    internal ModelLayout? LayoutOf(string version)
    {
        foreach (var serving in _models.Kept)
        {
            if (serving.Version == version)
            {
                return serving.Layout;
            }
        }

        return null;
    }

    /// <summary>
    /// Waits until items that were written with a representation for <paramref name="bundle"/> have one for the active model too, and for the one that is being prepared.
    /// Else an item written while the models change would be unknown for a moment after its 2xx.
    /// </summary>
    /// <exception cref="Exception">They cannot be encoded now, for a reason that is not theirs, and the bundle is not, or not for long, the one that answers.</exception>
    internal async Task CatchUpAsync(string? bundle, CancellationToken cancellation)
    {
        if (AnswersAlone())
        {
            return;
        }

        try
        {
            await _backlog.CatchUpAsync(cancellation);
        }
        catch (Exception error) when (error is not OperationCanceledException && AnswersAlone())
        {
            // The change of models was given up: what the items have is what answers.
        }

        bool AnswersAlone()
        {
            var models = _models;
            return models.Preparing is null && models.Active?.Version == bundle;
        }
    }

    private Turn TakeTurn() =>
        _switching.Wait(0) ? new(_switching) : throw new OperationRefusedException("activation_in_progress", "Another bundle is being activated; wait for it or cancel its job.");

    private static Task AloneAsync(CancellationToken cancellation) => Task.CompletedTask;

    /// <returns>Whether it is a model that was not loaded before, so that another one was dropped.</returns>
    private async Task<bool> MakeActiveAsync(string version, JobProgress progress, Func<CancellationToken, Task> agree, CancellationToken cancellation)
    {
        if (_models.Active?.Version == version)
        {
            return false;
        }

        if (_models.Previous?.Version == version)
        {
            await SwapAsync(progress, agree, cancellation);
            return false;
        }

        await LoadAsync(
            version,
            progress,
            async prepared =>
            {
                await WarmUpAsync(prepared, cancellation);
                await agree(cancellation);
                var before = _models;
                _bundles.WriteActive(new(version, before.Active?.Version));
                return before with { Active = prepared, Previous = before.Active, Counters = ItemCatalog.OfCounters(), ActivatedAt = _clock.GetUtcNow() };
            },
            cancellation);
        return true;
    }

    private async Task MakePreviousAsync(string? version, CancellationToken cancellation)
    {
        if (version is null)
        {
            Replace(Forget(null));
            return;
        }

        await LoadAsync(version, new JobProgress(), prepared => Task.FromResult(Forget(prepared)), cancellation);

        Loaded Forget(ServingModel? previous)
        {
            _bundles.WriteActive(new(_models.Active?.Version, version));
            return _models with { Previous = previous };
        }
    }

    /// <summary>Loads a bundle, makes it ready to answer, and takes what becomes of the models then.</summary>
    private async Task LoadAsync(string version, JobProgress progress, Func<ServingModel, Task<Loaded>> become, CancellationToken cancellation)
    {
        var prepared = Serving(await _bundles.LoadAsync(version, cancellation));
        Loaded next;
        try
        {
            await PrepareAsync(prepared, progress, cancellation);
            next = await become(prepared);
        }
        catch
        {
            _models = _models with { Preparing = null };
            FeedKept();
            prepared.Release();
            throw;
        }

        Replace(next with { Preparing = null });
    }

    /// <summary>Takes other models, and lets go those that are not among them.</summary>
    private void Replace(Loaded next)
    {
        var before = _models;
        _models = next;
        FeedKept();
        foreach (var dropped in before.Kept.Except(next.Kept))
        {
            dropped.Release();
        }
    }

    private async Task<ServingModel?> TryLoadAsync(string? version, CancellationToken cancellation)
    {
        try
        {
            return version is null ? null : Serving(await _bundles.LoadAsync(version, cancellation));
        }
        catch (BundleRefusedException refusal)
        {
            _problem ??= refusal;
            return null;
        }
    }

    private ServingModel Serving(IModel model) => new(model, new ItemCatalog(model.Layout, _options.Precision));

    /// <summary>Makes a model ready to answer: every item has a row, and every later change reaches it.</summary>
    private async Task PrepareAsync(ServingModel prepared, JobProgress progress, CancellationToken cancellation)
    {
        // Fed before the items are read: a change in between reaches the catalogue by the feed, and the older version that the read may bring does not undo it.
        _models = _models with { Preparing = prepared };
        FeedKept();
        await FillAsync([new CatalogFeed(prepared.Catalog, prepared.Model)], progress, cancellation);
        var failures = await _backlog.CatchUpAsync(cancellation);

        // An encoder that breaks on single items is useful; one that breaks on all of them would leave nothing to rank.
        if (failures.Count > 1 && prepared.Catalog.Count == 0)
        {
            throw failures[0].Reason;
        }

        prepared.IsFilled = true;
        Report(failures, progress);
    }

    private async Task WarmUpAsync(ServingModel? serving, CancellationToken cancellation)
    {
        if (serving is null || WarmUp is not { } rank)
        {
            return;
        }

        var request = new RankRequest { User = "warm-up" };
        await foreach (var record in _items.ReadAllAsync(cancellation))
        {
            request.Candidates.Add(Encoding.UTF8.GetBytes(record.Id));
            if (request.Candidates.Count == WarmUpCandidates)
            {
                break;
            }
        }

        await rank(serving, request, cancellation);
    }

    private static void Report(IReadOnlyList<EncodingFailure> failures, JobProgress progress)
    {
        foreach (var failure in failures)
        {
            progress.Report(failure.ToJobError());
        }
    }

    /// <summary>Drops the representations of bundles that are no longer kept. The new model answers already, so that nothing here can undo or fail its activation.</summary>
    private async Task TrimAsync()
    {
        try
        {
            await _items.TrimRepresentationsAsync([.. _models.Kept.Select(kept => kept.Version)], CancellationToken.None);
        }
        catch (Exception error)
        {
            _log.LogWarning(error, "Representations of bundles that are no longer kept could not be dropped; the next activation tries again");
        }
    }

    private async Task FillAsync(CatalogFeed[] feeds, JobProgress progress, CancellationToken cancellation)
    {
        progress.Total = await _items.CountAsync(cancellation);
        var lacking = feeds.ToDictionary(feed => feed, _ => new List<ItemRecord>(_options.EncodeBatch));
        await foreach (var record in _items.ReadRowsAsync([.. feeds.Select(feed => feed.Model?.Layout.Version).OfType<string>()], cancellation))
        {
            foreach (var feed in feeds)
            {
                if (!feed.Apply(record))
                {
                    lacking[feed].Add(record);
                    await EncodeAsync(feed, atLeast: _options.EncodeBatch);
                }
            }

            progress.Advance(1);
        }

        foreach (var feed in feeds)
        {
            await EncodeAsync(feed, atLeast: 1);
        }

        async Task EncodeAsync(CatalogFeed feed, int atLeast)
        {
            var records = lacking[feed];
            if (records.Count >= atLeast)
            {
                // What an encoder breaks on is tried again in the background, also when this is over.
                foreach (var failure in await _writer.EncodeEachAsync(feed.Model!, records, progress, cancellation))
                {
                    _backlog.Add(failure.Item);
                }

                records.Clear();
            }
        }
    }

    /// <summary>The active and the previous model change places. Both were fed all along, but for items whose encoding for the previous one still waits.</summary>
    private async Task SwapAsync(JobProgress progress, Func<CancellationToken, Task> agree, CancellationToken cancellation)
    {
        // First what has gathered, while writers go on; then the rest, for which they wait as in an activation.
        await _backlog.CatchUpAsync(cancellation);
        var models = _models;
        _models = models with { Preparing = models.Previous };
        try
        {
            Report(await _backlog.CatchUpAsync(cancellation), progress);
            await agree(cancellation);
            _bundles.WriteActive(new(models.Previous?.Version, models.Active?.Version));
        }
        catch
        {
            _models = models;
            throw;
        }

        _models = models with { Active = models.Previous, Previous = models.Active, ActivatedAt = _clock.GetUtcNow() };
    }

    private bool HasRow(string item, long version) => Array.TrueForAll(_feeds, feed => feed.HasRow(item, version));

    private void FeedKept()
    {
        var models = _models;
        CatalogFeed[] feeds = [.. models.Kept.Select(serving => new CatalogFeed(serving.Catalog, serving.Model))];
        _feeds = models.Active is null ? [.. feeds, new CatalogFeed(models.Counters, null)] : feeds;
    }

    private void Observe(ReadOnlySpan<ItemChange> changes)
    {
        var feeds = _feeds;
        foreach (ref readonly var change in changes)
        {
            var complete = true;
            foreach (var feed in feeds)
            {
                complete &= feed.Apply(change);
            }

            if (!complete)
            {
                _backlog.Add(change.Id, change.Version);
            }
        }
    }

    /// <summary>Everything that a ranking or a write must see together.</summary>
    private sealed record Loaded(ServingModel? Active, ServingModel? Previous, ServingModel? Preparing, ItemCatalog Counters, DateTimeOffset? ActivatedAt)
    {
        // In a rollback the previous one is also the one that is prepared.
        public IReadOnlyList<ServingModel> Kept => [.. new[] { Active, Previous, Preparing }.OfType<ServingModel>().Distinct()];
    }

    private readonly struct Turn(SemaphoreSlim switching) : IDisposable
    {
        public void Dispose() => switching.Release();
    }
}
