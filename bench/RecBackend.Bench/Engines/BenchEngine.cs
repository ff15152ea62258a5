using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Rank;
using RecBackend.Core.Catalog;
using RecBackend.Core.Features;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Core.Users;
using RecBackend.Embedded;
using RecBackend.Scoring;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Bench.Engines;

/// <summary>The embedded engine with its models in this process, put together as the server does it, on the server's state folder.</summary>
internal sealed class BenchEngine : IAsyncDisposable
{
    private const int ItemBatch = 256;
    private const int EventBatch = 1_000;

    private readonly EmbeddedEngine _engine;
    private readonly ScoringRuntime _runtime;
    private readonly FileBundleStore _bundles;
    private readonly RecordingBundleStore _recorder;
    private readonly ModelDirectory _models;

    private BenchEngine(EmbeddedEngine engine, ScoringRuntime runtime, FileBundleStore bundles, RowPrecision precision)
    {
        _engine = engine;
        _runtime = runtime;
        _bundles = bundles;
        _recorder = new RecordingBundleStore(bundles);
        _models = new ModelDirectory(_recorder, engine.Items, engine.Changes, new ModelDirectoryOptions { Precision = precision });
        Ranker = new RankingPipeline(_models, engine.Users, TimeProvider.System);
    }

    /// <summary>The ranking pipeline.</summary>
    public IRanker Ranker { get; }

    /// <summary>The users.</summary>
    public IUserDirectory Users => _engine.Users;

    /// <summary>Sizes of the active bundle.</summary>
    public ModelLayout Layout
    {
        get
        {
            using var lease = _models.Lease();
            return lease.Serving?.Layout ?? throw new InvalidOperationException("No bundle is active.");
        }
    }

    /// <summary>The rows of the active bundle.</summary>
    public ItemCatalog Catalog
    {
        get
        {
            using var lease = _models.Lease();
            return lease.Catalog;
        }
    }

    /// <summary>The newest event of a user's history, as the context of a ranking has it: Unix milliseconds, or null for none.</summary>
    public async ValueTask<long?> NewestEventAsync(string user, CancellationToken cancellation)
    {
        using var lease = _models.Lease();
        var serving = lease.Serving ?? throw new InvalidOperationException("No bundle is active.");
        return UserFeatureWriter.NewestEvent(await _engine.Users.GetAsync(user, cancellation), serving);
    }

    /// <summary>Takes the tensors of every ranking while it is set.</summary>
    public List<RankTensors>? Recording
    {
        set => _recorder.Recorded = value;
    }

    /// <summary>The items of a user's history that the user encoder reads.</summary>
    public IReadOnlyList<string> HistoryOf(string user)
    {
        var snapshot = _engine.Users.GetAsync(user, CancellationToken.None);
        return [.. (snapshot.IsCompleted ? snapshot.Result : snapshot.AsTask().GetAwaiter().GetResult()).History.Select(x => x.Item).Take(Layout.History)];
    }

    /// <summary>Runs the item encoder and the user encoder as if nothing were cached. What they answer is thrown away.</summary>
    public async Task EncodeAsync(string user, IReadOnlyList<ItemContent> items, CancellationToken cancellation)
    {
        using var lease = _models.Lease();
        var serving = lease.Serving ?? throw new InvalidOperationException("No bundle is active.");
        await serving.Model.EncodeItemsAsync(items, new float[items.Count * serving.Layout.Representation], EncodingUrgency.Ingest, cancellation);
        var snapshot = await _engine.Users.GetAsync(user, cancellation);
        var features = serving.RentFeatures();
        UserFeatureWriter.Write(snapshot, serving, features);
        await serving.Model.EncodeUserAsync(features, snapshot.Version, cancellation);
        serving.Return(features);
    }

    /// <summary>What the pipeline gives to the ranker for the first <paramref name="count"/> requests of a workload: the bare call runs on just that.</summary>
    public async Task<IReadOnlyList<RankTensors>> RecordAsync(RankWorkload workload, int count)
    {
        var recorded = new List<RankTensors>();
        var request = new RankRequest();
        Recording = recorded;
        for (var i = 0; i < Math.Min(count, workload.Count); i++)
        {
            workload.Fill(request, i);
            using var ranking = await Ranker.RankAsync(request, CancellationToken.None);
        }

        Recording = null;
        return recorded;
    }

    /// <summary>Opens a state folder, empty or not.</summary>
    public static async Task<BenchEngine> OpenAsync(string state, CancellationToken cancellation, RowPrecision precision = RowPrecision.Half)
    {
        Directory.CreateDirectory(state);
        var runtime = new ScoringRuntime(new ScoringOptions(), TimeProvider.System, NullLogger<ScoringRuntime>.Instance);
        var embedded = await EmbeddedEngine.OpenAsync(
            new EmbeddedOptions { Directory = ServerState.Engine(state) }, TimeProvider.System, NullLogger.Instance, cancellation: cancellation);
        var engine = new BenchEngine(embedded, runtime, new FileBundleStore(ServerState.Bundles(state), runtime, NullLogger<FileBundleStore>.Instance), precision);
        await engine._models.StartAsync(new JobProgress(), cancellation);
        return engine;
    }

    /// <summary>Makes the bundle in <paramref name="folder"/> the active one.</summary>
    public async Task ActivateAsync(string folder, CancellationToken cancellation)
    {
        var bundle = await _bundles.AddFolderAsync(folder, cancellation);
        await _models.ActivateAsync(bundle.Version, new JobProgress(), cancellation);
    }

    /// <summary>Stores items, users and events.</summary>
    public async Task LoadAsync(DataSet data, CancellationToken cancellation)
    {
        var writer = new ItemWriter(_engine.Items, _models, new ItemLimits());
        var items = new ProgressLines("loading items", data.Items.Count);
        for (var i = 0; i < data.Items.Count; i += ItemBatch)
        {
            var batch = data.Items.Skip(i).Take(ItemBatch).ToList();
            var receipt = await writer.UpsertAsync(batch, cancellation);
            Require(receipt.Rejected.Count == 0, receipt.Rejected);
            items.At(i + batch.Count);
        }

        items.Done();
        await _engine.Users.SetAttributesAsync(data.Users, cancellation);
        var events = new ProgressLines("telling events", data.Impressions.Count);
        for (var row = 0; row < data.Impressions.Count; row += EventBatch)
        {
            var batch = data.Impressions.Skip(row).Take(EventBatch).SelectMany((impression, i) => impression.Events(row + i)).ToList();
            var receipt = await _engine.Users.AppendAsync(batch, cancellation);
            Require(receipt.Rejected.Count == 0, receipt.Rejected);
            events.At(row + EventBatch);
        }

        events.Done();
    }

    /// <summary>Stores items of the numbers 0 to <paramref name="count"/> with a title and a representation that nobody computed: what a start reads, without the hours that encoding would take.</summary>
    public async Task FillAsync(int count, CancellationToken cancellation)
    {
        var layout = Layout;
        var random = new Random(1);
        var progress = new ProgressLines("storing items", count);
        for (var begin = 0; begin < count; begin += EventBatch)
        {
            var batch = Enumerable.Range(begin, Math.Min(EventBatch, count - begin)).Select(number =>
            {
                var values = new float[layout.Representation];
                for (var place = 0; place < values.Length; place++)
                {
                    values[place] = random.NextSingle() - 0.5f;
                }

                var content = new ItemContent { Title = $"Title of item {number}", Categories = ["Drama"] };
                return new ItemUpsert($"item-{number:D8}", content, new Representation(layout.Version, values, RepresentationSource.Computed));
            }).ToList();
            await _engine.Items.UpsertAsync(batch, cancellation);
            progress.At(begin + batch.Count);
        }

        progress.Done();
    }

    public async ValueTask DisposeAsync()
    {
        await _models.DisposeAsync();
        await _engine.DisposeAsync();
        _runtime.Dispose();
    }

    private static void Require(bool condition, IReadOnlyList<RejectedEntry> rejected)
    {
        if (!condition)
        {
            throw new InvalidDataException($"The data does not load: {rejected[0]}");
        }
    }
}
