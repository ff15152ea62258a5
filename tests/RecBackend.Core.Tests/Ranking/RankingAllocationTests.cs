using System.Text;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using Xunit.Abstractions;

namespace RecBackend.Core.Tests.Ranking;

[Collection(MeasuresTheProcess.Name)]
public class RankingAllocationTests(ITestOutputHelper output)
{
    private const int Candidates = 500;
    private const int Requests = 500;
    private const long Allowed = 2 * 1024;

    [Theory]
    [InlineData(false, RankingMode.Model)]
    [InlineData(true, RankingMode.Model)]
    [InlineData(false, RankingMode.Fallback)]
    public async Task Ranking_of_500_candidates_allocates_less_than_2_KiB(bool asynchronous, RankingMode mode)
    {
        var engine = new InMemoryEngine(TimeProvider.System);
        var model = new FakeModel(1) { Asynchronous = asynchronous };
        await using var models = new ModelDirectory(new FakeBundleStore().Add(model), engine, engine, new());
        await models.StartAsync(new(), CancellationToken.None);
        await models.ActivateAsync("bundle-1", new(), CancellationToken.None);
        var writer = new ItemWriter(engine, models, new());
        var request = new RankRequest { User = "u", Limit = 20, Deadline = mode == RankingMode.Model ? Deadline.None : new(1) };
        for (var i = 0; i < Candidates; i++)
        {
            await writer.UpsertAsync([new($"item {i}", new() { Title = $"{i}" })], CancellationToken.None);
            request.Candidates.Add(Encoding.UTF8.GetBytes($"item {i}"));
        }

        await engine.AppendAsync([new("1", "click", "u", "item 3", 1, null)], CancellationToken.None);
        var pipeline = new RankingPipeline(models, engine, TimeProvider.System);
        await RankAsync(pipeline, request, mode);

        var before = GC.GetTotalAllocatedBytes(precise: true);
        await RankAsync(pipeline, request, mode);
        var each = (GC.GetTotalAllocatedBytes(precise: true) - before) / Requests;

        output.WriteLine($"{each} bytes a request");
        Assert.InRange(each, 0, Allowed);
    }

    private static async Task RankAsync(RankingPipeline pipeline, RankRequest request, RankingMode mode)
    {
        for (var i = 0; i < Requests; i++)
        {
            using var ranking = await pipeline.RankAsync(request, CancellationToken.None);
            Assert.True(ranking.Mode == mode && ranking.Items.Length == request.Limit);
        }
    }
}
