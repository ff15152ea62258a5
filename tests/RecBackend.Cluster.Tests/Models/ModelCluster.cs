using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Orleans.Configuration;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Tests;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Items;
using RecBackend.Grains.Models;

namespace RecBackend.Cluster.Tests.Models;

/// <summary>Silos of this process with models that a test holds up where it likes.</summary>
internal sealed class ModelCluster : IAsyncDisposable
{
    private static readonly ClusterEngineOptions Options = new() { ItemShards = 4 };
    private readonly List<Seams> _seams = [];
    private readonly bool _losesMessages;
    private TestCluster _silos = null!;

    private ModelCluster(bool losesMessages) => _losesMessages = losesMessages;

    /// <summary>Starts silos and activates <c>bundle-1</c>.</summary>
    /// <param name="backing">Redis and blobs.</param>
    /// <param name="silos">How many.</param>
    /// <param name="items">Items that are there.</param>
    /// <param name="losesMessages">Whether no change of an item arrives at any catalogue.</param>
    public static async Task<ModelCluster> StartAsync(Backing backing, int silos, int items = 5, bool losesMessages = false)
    {
        var cluster = new ModelCluster(losesMessages);
        cluster._silos = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", [.. Enumerable.Repeat(Options, silos)], new Engine.Contract.ManualClock(), cluster.Add);
        await cluster.Items(0).UpsertAsync([.. Enumerable.Range(0, items).Select(i => new ItemUpsert($"i{i}", new ItemContent { Title = $"{i}" }, null))], default);
        await Task.WhenAll(Enumerable.Range(0, silos).Select(cluster.ServeAsync));
        await cluster.ActivateAsync(0, 1);
        return cluster;
    }

    public Seams this[int silo] => _seams[silo];

    public int Count => _seams.Count;

    public IServiceProvider Services(int silo) => _silos.Silos[silo];

    public ModelDirectory Models(int silo) => Services(silo).GetRequiredService<ModelDirectory>();

    public ModelFollower Follower(int silo) => Services(silo).GetRequiredService<ModelFollower>();

    public IItemDirectory Items(int silo) => Services(silo).GetRequiredService<IItemDirectory>();

    public Task<ActiveBundle> RecordAsync(int silo) => Services(silo).GetRequiredService<IGrainFactory>().GetGrain<IActiveBundleGrain>(0).ReadAsync();

    public Task ActivateAsync(int leader, int bundle, CancellationToken cancellation = default) =>
        Task.Run(() => Services(leader).GetRequiredService<IModelSwitch>().ActivateAsync(Version(bundle), new JobProgress(), cancellation), CancellationToken.None);

    public Task RollBackAsync(int leader, int from) => Services(leader).GetRequiredService<IModelSwitch>().RollbackAsync(Version(from), new JobProgress(), default);

    /// <summary>One more silo, which does not start its models yet.</summary>
    public Task JoinAsync() => _silos.JoinAsync([Options], Add);

    /// <summary>Starts the models of a silo, as its host does.</summary>
    public async Task ServeAsync(int silo)
    {
        await LearnAsync(silo);
        await Follower(silo).JoinAsync(default);
    }

    /// <summary>The first part of that: the models are loaded, and nothing is ranked yet.</summary>
    public async Task LearnAsync(int silo)
    {
        await Follower(silo).LearnAsync(default);
        await Models(silo).StartAsync(new JobProgress(), default);
    }

    /// <summary>Ends a silo as it is.</summary>
    public async Task KillAsync(int silo)
    {
        await _silos.EndAsync(silo);
        _seams[silo].Open();
    }

    /// <summary>Waits for something that must come.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (var tries = 0; tries < 600 && !await condition(); tries++)
        {
            await Task.Delay(50);
        }

        Assert.True(await condition());
    }

    /// <summary>Waits until a silo has the models of the record.</summary>
    public Task FollowsAsync(int silo, int active, int? previous) => UntilAsync(() => Task.FromResult(
        (Models(silo).Status.Active, Models(silo).Status.Previous, Follower(silo).IsBehind) == (Version(active), previous is { } number ? Version(number) : null, false)));

    /// <summary>Waits until the record knows that a silo could switch.</summary>
    public async Task ReadyAsync(int silo)
    {
        await UntilAsync(async () =>
            (await RecordAsync(0)).Change is { Phase: ChangePhase.Preparing } change
            && Services(silo).GetRequiredService<SiloModels>().Work is { IsReady: true } work && work.Change == change.Id);

        // One look may have begun before that.
        var calls = _seams[silo].Calls;
        await UntilAsync(() => Task.FromResult(_seams[silo].Calls >= calls + 2));
    }

    public Task PhaseAsync(int silo, ChangePhase phase) => UntilAsync(async () => (await RecordAsync(silo)).Change?.Phase == phase);

    public static string Version(int bundle) => $"bundle-{bundle}";

    public async ValueTask DisposeAsync()
    {
        _seams.ForEach(seams => seams.Open());
        await _silos.DisposeAsync();
    }

    private void Add(int place, ISiloBuilder silo)
    {
        var seams = new Seams();
        _seams.Add(seams);
        silo.AddClusterModels().AddOutgoingGrainCallFilter(seams.FilterAsync);

        // The silos of one process are told apart by name.
        silo.Configure<SiloOptions>(options => options.SiloName = $"silo-{place}");
        silo.Services
            .AddSingleton<ISharedBundles>(seams)
            .AddSingleton<IBundleStore>(seams)
            .AddSingleton(new JobBoard(TimeProvider.System))
            .AddSingleton(new ModelDirectoryOptions())
            .AddSingleton<ModelDirectory>()
            .AddHostedService(services => services.GetRequiredService<ModelFollower>());
        if (_losesMessages)
        {
            silo.Services.Replace(ServiceDescriptor.Singleton<IItemChangeSink, Nowhere>());
        }
    }

    /// <summary>Where a test holds up a silo: its bundles, and its calls of the record.</summary>
    internal sealed class Seams : ISharedBundles
    {
        private readonly ManualResetEventSlim _write = new(initialState: true);
        private volatile TaskCompletionSource _load = Done();
        private int _calls;
        private ActiveVersions _active = new(null, null);

        /// <summary>Whether the silo's calls of the record fail.</summary>
        public bool IsCutOff { get; set; }

        /// <summary>Calls of the record that were answered.</summary>
        public int Calls => Volatile.Read(ref _calls);

        /// <summary>A version that this silo cannot load.</summary>
        public string? Broken { get; set; }

        /// <summary>Whether a bundle is about to be loaded, or a switch about to be made.</summary>
        public bool IsHeld { get; private set; }

        public void HoldLoad() => _load = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void HoldSwitch() => _write.Reset();

        public void Open()
        {
            _load.TrySetResult();
            _write.Set();
            IsHeld = false;
        }

        public async Task FilterAsync(IOutgoingGrainCallContext context)
        {
            var isLook = context.TargetId.Type.ToString()!.Contains("activebundle", StringComparison.OrdinalIgnoreCase);
            if (isLook && IsCutOff)
            {
                throw new TimeoutException("The test has cut this silo off from the record.");
            }

            await context.Invoke();
            if (isLook)
            {
                Interlocked.Increment(ref _calls);
            }
        }

        public IReadOnlyList<BundleSummary> List() => [];

        public ValueTask<BundleSummary> AddAsync(Stream zip, CancellationToken cancellation) => throw new NotSupportedException();

        public async ValueTask<IModel> LoadAsync(string version, CancellationToken cancellation)
        {
            IsHeld = !_load.Task.IsCompleted;
            await _load.Task.WaitAsync(cancellation);
            return version == Broken ? throw new BundleRefusedException("bundle_hash_mismatch", "a disk has failed here") : new FakeModel(int.Parse(version.Split('-')[1], CultureInfo.InvariantCulture));
        }

        public ActiveVersions ReadActive() => _active;

        public void WriteActive(ActiveVersions versions)
        {
            IsHeld = !_write.IsSet;
            _write.Wait();
            _active = versions;
        }

        public Task FetchAsync(string version, CancellationToken cancellation) => Task.CompletedTask;

        public Task FetchAllAsync(CancellationToken cancellation) => Task.CompletedTask;

        private static TaskCompletionSource Done()
        {
            var done = new TaskCompletionSource();
            done.SetResult();
            return done;
        }
    }

    private sealed class Nowhere : IItemChangeSink
    {
        public Task TellAsync(IReadOnlyList<ItemChange> changes) => Task.CompletedTask;
    }
}
