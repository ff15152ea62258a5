using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Server.Tests;

public sealed class DurabilityTests
{
    private const int Writers = 8;
    private const int EventsEach = 1_250;

    [Fact]
    public async Task Acknowledged_event_survives_kill_exactly_once()
    {
        using var state = new StateFolder();
        await using var server = await ChildProcess.Server(state.Path).ReadyAsync();
        await server.LoadItemsAsync();
        var (acknowledged, sent) = (new ConcurrentDictionary<int, int>(), new ConcurrentDictionary<int, int>());
        var writing = Enumerable.Range(0, Writers).Select(writer => WriteAsync(server, writer, acknowledged, sent)).ToList();

        // In the middle of it: some thousands are acknowledged, and every writer has one under way.
        for (var i = 0; i < 6000 && acknowledged.Values.Sum() < Writers * EventsEach / 3; i++)
        {
            await Task.Delay(10);
        }

        await server.KillAsync();
        await Task.WhenAll(writing);
        Assert.InRange(acknowledged.Values.Sum(), 1, (Writers * EventsEach) - 1);

        await using var again = await ChildProcess.Server(server.Address, state.Path).ReadyAsync();
        for (var writer = 0; writer < Writers; writer++)
        {
            var user = JsonNode.Parse(await again.Client.GetStringAsync($"/v1/users/w{writer}"))!;

            // All that were acknowledged, in order; the one under way may or may not have been stored.
            Assert.InRange((int)user["impressions"]!, acknowledged[writer], sent[writer]);
        }

        // Sent again from the first to the last, each counts once.
        var retried = Enumerable.Range(0, Writers).Select(writer => WriteAsync(again, writer, new(), new())).ToList();
        await Task.WhenAll(retried);
        for (var writer = 0; writer < Writers; writer++)
        {
            var user = JsonNode.Parse(await again.Client.GetStringAsync($"/v1/users/w{writer}"))!;
            Assert.Equal(EventsEach, (int)user["impressions"]!);
        }

        var counted = 0;
        for (var item = 1; item <= 50; item++)
        {
            counted += (int)JsonNode.Parse(await again.Client.GetStringAsync(string.Create(CultureInfo.InvariantCulture, $"/v1/items/i{item:00}")))!["impressions"]!;
        }

        Assert.Equal(Writers * EventsEach, counted);
    }

    [Fact]
    public async Task Stop_answers_what_is_under_way_and_keeps_what_was_acknowledged()
    {
        using var state = new StateFolder();
        await using var server = await ChildProcess.Server(state.Path).ReadyAsync();
        await server.LoadItemsAsync();
        var (acknowledged, sent) = (new ConcurrentDictionary<int, int>(), new ConcurrentDictionary<int, int>());
        var writing = Enumerable.Range(0, Writers).Select(writer => WriteAsync(server, writer, acknowledged, sent)).ToList();
        for (var i = 0; i < 6000 && acknowledged.Values.Sum() < 500; i++)
        {
            await Task.Delay(10);
        }

        Assert.Equal(0, await server.StopAsync());
        await Task.WhenAll(writing);
        await using var again = await ChildProcess.Server(server.Address, state.Path).ReadyAsync();
        for (var writer = 0; writer < Writers; writer++)
        {
            var user = JsonNode.Parse(await again.Client.GetStringAsync($"/v1/users/w{writer}"))!;
            Assert.InRange((int)user["impressions"]!, acknowledged[writer], sent[writer]);
        }
    }

    /// <summary>Sends a writer's events one after the other until all are stored or the server is gone.</summary>
    private static async Task WriteAsync(ChildProcess server, int writer, ConcurrentDictionary<int, int> acknowledged, ConcurrentDictionary<int, int> sent)
    {
        (acknowledged[writer], sent[writer]) = (0, 0);
        for (var i = 0; i < EventsEach; i++)
        {
            sent[writer] = i + 1;
            try
            {
                var body = string.Create(
                    CultureInfo.InvariantCulture,
                    $$"""{"event_id":"w{{writer}}-{{i}}","type":"impression","user":"w{{writer}}","item":"i{{(i % 50) + 1:00}}","timestamp":1700000000}""");
                using var content = new StringContent(body, Encoding.UTF8, "application/json");
                using var response = await server.Client.PostAsync("/v1/events", content);
                if (!response.IsSuccessStatusCode)
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                return;
            }

            acknowledged[writer] = i + 1;
        }
    }
}
