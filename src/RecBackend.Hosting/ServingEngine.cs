using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Core.Users;
using RecBackend.Http.Configuration;
using RecBackend.Scoring;

namespace RecBackend.Hosting;

/// <summary>What ranks over an engine's users and items, whichever engine it is.</summary>
/// <param name="Bundles">The stored bundles.</param>
/// <param name="Models">The loaded models.</param>
/// <param name="Ranker">The ranking pipeline; named here so that it is there before the first model, which it warms up.</param>
/// <param name="Jobs">Long work of callers.</param>
public sealed record ServingEngine(IBundleStore Bundles, ModelDirectory Models, IRanker Ranker, JobBoard Jobs)
{
    /// <summary>Ends all work, callers first: whoever writes ends before what it writes to.</summary>
    public async ValueTask CloseAsync()
    {
        await Jobs.DisposeAsync();
        await Models.DisposeAsync();
    }
}

/// <summary>Composes a <see cref="ServingEngine"/>.</summary>
public static class ServingEngineServices
{
    /// <summary>Starts what models run on. First of all, because it costs nothing to fail: a missing GPU is told before any state is touched.</summary>
    /// <exception cref="ConfigurationException">The provider that was asked for does not work here.</exception>
    public static ScoringRuntime StartScoring(ScoringOptions options, TimeProvider clock, ILoggerFactory loggers)
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

    /// <summary>Registers what the endpoints call, over <see cref="IUserDirectory"/>, <see cref="IItemDirectory"/>, <see cref="IItemChangeFeed"/> and <see cref="IBundleStore"/>, which the host registers.</summary>
    public static IServiceCollection AddServingEngine(this IServiceCollection services, ServingOptions options) => services
        .AddSingleton(options)
        .AddSingleton(new ModelDirectoryOptions { Precision = options.Precision, EncodeBatch = options.Scoring.EncodingBatch })
        .AddSingleton(new ItemLimits())
        .AddSingleton<ModelDirectory>()
        .AddSingleton<JobBoard>()
        .AddSingleton<ItemWriter>()
        .AddSingleton<IRanker, RankingPipeline>()
        .AddSingleton<ServingEngine>();
}
