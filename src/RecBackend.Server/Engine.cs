using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Embedded;
using RecBackend.Http.Configuration;
using RecBackend.Scoring;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Server;

/// <summary>The embedded engine with all that ranks over it, from open to close.</summary>
internal sealed class Engine : IAsyncDisposable
{
    private readonly ScoringRuntime _scoring;
    private readonly EmbeddedEngine _storage;
    private readonly JobBoard _jobs;

    private Engine(EmbeddedEngine storage, ScoringRuntime scoring, IBundleStore bundles, ServerOptions options, TimeProvider clock, ILoggerFactory loggers)
    {
        (_storage, _scoring, Bundles) = (storage, scoring, bundles);
        var settings = new ModelDirectoryOptions { Precision = options.Precision, EncodeBatch = options.Scoring.EncodingBatch };
        Models = new ModelDirectory(bundles, storage.Items, storage.Changes, settings, loggers.CreateLogger<ModelDirectory>());
        _jobs = new JobBoard(clock, loggers.CreateLogger<JobBoard>());
        Writer = new ItemWriter(storage.Items, Models, new ItemLimits());
        Ranker = new RankingPipeline(Models, storage.Users, clock);
    }

    /// <summary>The stored bundles.</summary>
    public IBundleStore Bundles { get; }

    /// <summary>The loaded models.</summary>
    public ModelDirectory Models { get; }

    /// <summary>The way of items into the store.</summary>
    public ItemWriter Writer { get; }

    /// <summary>The ranking pipeline.</summary>
    public IRanker Ranker { get; }

    /// <summary>Opens the state folder.</summary>
    /// <exception cref="Core.Storage.StorageException">It cannot be used; the message says why.</exception>
    /// <exception cref="ConfigurationException">The scoring provider that was asked for does not work here.</exception>
    public static async Task<Engine> OpenAsync(ServerOptions options, TimeProvider clock, ILoggerFactory loggers, CancellationToken cancellation)
    {
        // First what costs nothing to fail: a missing GPU is told before the state is touched.
        var scoring = StartScoring(options.Scoring, clock, loggers);
        EmbeddedEngine? storage = null;
        try
        {
            var settings = new EmbeddedOptions { Directory = options.State, UserCacheBytes = (long)options.UserCacheMiB << 20 };
            storage = await EmbeddedEngine.OpenAsync(settings, clock, loggers.CreateLogger<EmbeddedEngine>(), progress: null, cancellation);
            var bundles = new FileBundleStore(options.State, scoring, loggers.CreateLogger<FileBundleStore>());
            return new Engine(storage, scoring, bundles, options, clock, loggers);
        }
        catch
        {
            if (storage is not null)
            {
                await storage.DisposeAsync();
            }

            scoring.Dispose();
            throw;
        }
    }

    /// <summary>Registers what the endpoints call.</summary>
    public void AddTo(IServiceCollection services) => services
        .AddSingleton(_storage.Users)
        .AddSingleton(_storage.Items)
        .AddSingleton(Bundles)
        .AddSingleton(Models)
        .AddSingleton(_jobs)
        .AddSingleton(Writer)
        .AddSingleton(Ranker);

    /// <summary>Closes everything, callers first: whoever writes ends before what it writes to.</summary>
    public async ValueTask DisposeAsync()
    {
        await _jobs.DisposeAsync();
        await Models.DisposeAsync();
        await _storage.DisposeAsync();
        _scoring.Dispose();
    }

    private static ScoringRuntime StartScoring(ScoringOptions options, TimeProvider clock, ILoggerFactory loggers)
    {
        try
        {
            return new ScoringRuntime(options, clock, loggers.CreateLogger<ScoringRuntime>());
        }
        catch (InvalidOperationException e)
        {
            throw new ConfigurationException("RecBackend:Scoring:Provider", $"is {options.Provider}, and that does not work here. {e.Message}");
        }
    }
}
