using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Http.Authentication;
using RecBackend.Http.Cluster;
using RecBackend.Http.Embeddings;
using RecBackend.Http.Events;
using RecBackend.Http.Health;
using RecBackend.Http.Hosting;
using RecBackend.Http.Items;
using RecBackend.Http.Jobs;
using RecBackend.Http.Metrics;
using RecBackend.Http.Models;
using RecBackend.Http.OpenApi;
using RecBackend.Http.Problems;
using RecBackend.Http.Ranking;
using RecBackend.Http.Users;
using RecBackend.Http.Warming;
using RecBackend.Http.Wire;

namespace RecBackend.Http;

/// <summary>The HTTP API, for any host that registers an engine: <c>IUserDirectory</c>, <c>IItemDirectory</c>, <c>IBundleStore</c>, <c>ModelDirectory</c>, <c>ItemWriter</c>, <c>JobBoard</c> and <c>IRanker</c>. Calls are let through when the host says that its <see cref="EngineStart"/> is complete.</summary>
public static class RecBackendHttp
{
    /// <summary>Registers what the endpoints need of their own.</summary>
    /// <exception cref="Configuration.ConfigurationException">Keys or limits are not usable.</exception>
    public static IServiceCollection AddRecBackendHttp(this IServiceCollection services, IConfiguration configuration, RecBackendHttpOptions options)
    {
        var limits = HttpLimits.Read(configuration);
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<IClusterView, SingleHost>();
        services.TryAddSingleton<RankingDemand>();
        services.TryAddSingleton(provider => new RankLanes(options.RankThreads, provider.GetRequiredService<RankingDemand>(), provider.GetRequiredService<TimeProvider>()));
        services.TryAddSingleton<IJobDirectory>(provider => provider.GetRequiredService<JobBoard>());
        services.TryAddSingleton<IModelSwitch>(provider => provider.GetRequiredService<ModelDirectory>());
        return services
            .AddSingleton(options)
            .AddDrain()
            .AddSingleton<EngineStart>()
            .AddSingleton(limits)
            .AddApiKeys(configuration, new ApiKeyPolicy(options.Development))
            .AddAdmission(limits)
            .AddApiDescription()
            .AddTelemetry(configuration, "recbackend-server")
            .AddSingleton<ModelMetrics>()
            .AddSingleton<RankEndpoint>()
            .AddSingleton<EventsEndpoint>()
            .AddSingleton<ItemsEndpoint>()
            .AddSingleton<UsersEndpoint>()
            .AddSingleton<EmbeddingsEndpoint>()
            .AddSingleton<WarmEndpoint>()
            .AddSingleton<JobsEndpoint>()
            .AddSingleton<ModelsEndpoint>()
            .AddSingleton<ClusterEndpoint>()
            .AddSingleton<HealthEndpoint>();
    }

    /// <summary>Adds the API with everything that stands before it: problem details, routing, keys, limits.</summary>
    public static WebApplication MapRecBackend(this WebApplication app)
    {
        app.UseProblems();
        app.UsePlainTargets();
        app.UseRouting();
        app.UsePoolThreads();
        app.UseApiKeys();
        app.UseMiddleware<EngineStartMiddleware>();
        app.UseRateLimiter();
        app.Services.GetRequiredService<ModelMetrics>();
        app.MapRank();
        app.MapIngest();
        app.MapAdmin();
        app.MapHealth();
        return app;
    }

    private static void MapRank(this WebApplication app)
    {
        var (rank, limits) = (app.Services.GetRequiredService<RankEndpoint>(), app.Services.GetRequiredService<HttpLimits>());
        app.MapPost("/v1/rank", rank.RankAsync).NeedsModel().StayOnSocketThread().AdmitRankings().Body(limits.RankBody)
            .Describe("Ranks candidates for a user").Takes<RankBody>().Gives<RankReply>();
    }

    private static void MapIngest(this WebApplication app)
    {
        var services = app.Services;
        var limits = services.GetRequiredService<HttpLimits>();
        var (events, items, users, embeddings) = (
            services.GetRequiredService<EventsEndpoint>(), services.GetRequiredService<ItemsEndpoint>(),
            services.GetRequiredService<UsersEndpoint>(), services.GetRequiredService<EmbeddingsEndpoint>());
        var ingest = app.MapGroup("").Admit(ApiScope.Ingest, ApiScope.Ingest);

        ingest.MapPost("/v1/events", events.AppendAsync).NeedsModel().Body(limits.Stream)
            .Describe("Stores one event, an array of events, or NDJSON").TakesBatch<EventBody>().Gives<BatchReply>();
        ingest.MapPut("/v1/items/{id}", items.PutAsync).NeedsModel().Body(limits.Body)
            .Describe("Stores an item and computes its representation").Takes<ItemBody>().Gives<BatchReply>();
        ingest.MapPost("/v1/items/batch", items.PutBatchAsync).NeedsModel().Body(limits.Stream)
            .Describe("Stores items, one a line").TakesBatch<ItemBody>().Gives<BatchReply>();
        app.MapGet("/v1/items/{id}", items.GetAsync).Admit(ApiScope.Rank | ApiScope.Ingest, ApiScope.Ingest)
            .Describe("Tells what is stored of an item").Gives<ItemReply>();
        ingest.MapDelete("/v1/items/{id}", items.DeleteAsync).Describe("Deletes an item").GivesNothing();
        ingest.MapPut("/v1/items/{id}/embedding", embeddings.PutAsync).NeedsModel().Body(limits.Body)
            .Describe("Sets an item's representation").Takes<EmbeddingBody>().Gives<BatchReply>();
        ingest.MapPost("/v1/embeddings", embeddings.PutBatchAsync).NeedsModel().Body(limits.Stream)
            .Describe("Sets representations, as NDJSON or as a safetensors table").TakesBatch<EmbeddingBody>("application/octet-stream").Gives<BatchReply>();
        ingest.MapPut("/v1/users/{id}", users.PutAsync).Body(limits.Body)
            .Describe("Replaces a user's attributes").Takes<UserBody>().Gives<BatchReply>();
        ingest.MapPost("/v1/users/batch", users.PutBatchAsync).Body(limits.Stream)
            .Describe("Replaces the attributes of users, one a line").TakesBatch<UserBody>().Gives<BatchReply>();
        ingest.MapGet("/v1/users/{id}", users.GetAsync).Describe("Tells what is stored of a user").Gives<UserReply>();
    }

    private static void MapAdmin(this WebApplication app)
    {
        var services = app.Services;
        var limits = services.GetRequiredService<HttpLimits>();
        var (warm, jobs, models, cluster) = (
            services.GetRequiredService<WarmEndpoint>(), services.GetRequiredService<JobsEndpoint>(),
            services.GetRequiredService<ModelsEndpoint>(), services.GetRequiredService<ClusterEndpoint>());
        var admin = app.MapGroup("").Admit(ApiScope.Admin, ApiScope.Admin);

        admin.MapDelete("/v1/users/{id}", services.GetRequiredService<UsersEndpoint>().EraseAsync).Describe("Forgets a user").GivesNothing();
        admin.MapPost("/v1/warm", warm.WarmAsync).NeedsModel().Body(limits.Body)
            .Describe("Computes representations again, or those that are missing").Takes<WarmBody>(optional: true).Gives<JobReply>(StatusCodes.Status202Accepted);
        admin.MapGet("/v1/jobs", jobs.ListAsync).Describe("Lists the jobs").Gives<JobListReply>();
        admin.MapGet("/v1/jobs/{id}", jobs.GetAsync).Describe("Tells how far a job is").Gives<JobReply>();
        admin.MapDelete("/v1/jobs/{id}", jobs.CancelAsync).Describe("Asks a job to stop").Gives<JobReply>();
        admin.MapGet("/v1/models", models.ListAsync).NeedsModel().Describe("Lists the bundles").Gives<ModelListReply>();
        admin.MapPost("/v1/models", models.AddAsync).NeedsModel().Body(limits.Stream)
            .Describe("Stores a bundle").TakesBytes("application/zip").Gives<ModelReply>(StatusCodes.Status201Created);
        admin.MapPost("/v1/models/{version}/activate", models.ActivateAsync).NeedsModel().Body(limits.Body)
            .Describe("Activates a bundle; with ?wait=true the reply comes when it is done").Gives<JobReply>(StatusCodes.Status202Accepted);
        admin.MapPost("/v1/models/{version}/rollback", models.RollbackAsync).NeedsModel().Body(limits.Body)
            .Describe("Returns to the bundle before the active one; with ?wait=true the reply comes when it is done").Gives<JobReply>(StatusCodes.Status202Accepted);
        admin.MapGet("/v1/cluster", cluster.GetAsync).Describe("Lists the silos").Gives<ClusterReply>();
    }

    private static void MapHealth(this WebApplication app)
    {
        var health = app.Services.GetRequiredService<HealthEndpoint>();
        app.MapGet("/healthz/live", HealthEndpoint.LiveAsync).AllowEverybody().Describe("Whether the process runs").Gives<HealthReply>();
        app.MapGet("/healthz/ready", health.ReadyAsync).AllowEverybody().Describe("Whether rankings are answered by a model").Gives<HealthReply>();
        app.MapPrometheus();
        app.MapOpenApi("/openapi/{documentName}.json").RequireScope(ApiScopes.Any);
    }

    private static TBuilder Body<TBuilder>(this TBuilder endpoint, long limit)
        where TBuilder : IEndpointConventionBuilder =>
        endpoint.WithMetadata(new RequestSizeLimitAttribute(limit));
}
