using RecBackend.Cli.Data;
using RecBackend.Cli.Evaluation;
using RecBackend.Cli.Loading;
using RecBackend.Client;

namespace RecBackend.Cli.Tests.Evaluation;

public sealed class ReplayTests : IAsyncLifetime
{
    private RecordingServer _server = null!;
    private RecBackendClient _client = null!;

    public async Task InitializeAsync()
    {
        _server = await RecordingServer.StartAsync();
        _client = new RecBackendClient(_server.Address);
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Every_ranking_is_asked_for_before_its_row_is_told()
    {
        await ReplayAsync([Row("u", "a", 1, true), Row("v", "b", 2, false), Row("u", "c", 3, true)], """{"valid_from":0,"test_from":1}""", 1);

        Assert.Equal(
            ["rank u a @1", "impression u a @1", "click u a @1", "rank v b @2", "impression v b @2", "rank u c @3", "impression u c @3", "click u c @3"],
            _server.Calls);
    }

    [Fact]
    public async Task Rows_of_one_request_are_one_ranking()
    {
        await ReplayAsync(
            [Row("u", "a", 1, true, "r1"), Row("u", "b", 1, false, "r1"), Row("u", "c", 1, false, "r2"), Row("v", "d", 1, false, "r2")],
            """{"valid_from":0,"test_from":1}""",
            1);

        Assert.Equal(["rank u a,b @1", "rank u c @1", "rank v d @1"], _server.Calls.Where(call => call.StartsWith("rank", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Events_of_held_out_items_are_never_told()
    {
        await ReplayAsync(
            [Row("u", "old", 1, true), Row("u", "new", 2, true), Row("u", "old", 3, true), Row("u", "new", 4, false)],
            """{"test_items":["new"],"warm_rows":1}""",
            1);

        Assert.Equal(["rank u new @4"], _server.Calls);
    }

    [Fact]
    public async Task Rows_between_two_rankings_of_new_items_are_told_before_the_second()
    {
        await ReplayAsync(
            [Row("u", "new", 1, true), Row("u", "old", 2, true), Row("u", "new", 3, false)], """{"test_items":["new"]}""", 1);

        Assert.Equal(["rank u new @1", "impression u old @2", "click u old @2", "rank u new @3"], _server.Calls);
    }

    [Fact]
    public async Task Lanes_keep_the_order_of_each_user()
    {
        var random = new Random(11);
        var rows = Enumerable.Range(1, 300).Select(time => Row($"u{random.Next(20)}", $"i{random.Next(50)}", time, random.Next(2) == 0)).ToArray();

        await ReplayAsync(rows, """{"valid_from":0,"test_from":1}""", 8);

        var calls = _server.Calls.ToList();
        foreach (var user in rows.Select(row => row.User).Distinct())
        {
            var own = rows.Where(row => row.User == user).ToList();
            var expected = own.SelectMany(row => (string[])
                [$"rank {user} {row.Item} @{row.Timestamp}", $"impression {user} {row.Item} @{row.Timestamp}", .. row.Clicked ? [$"click {user} {row.Item} @{row.Timestamp}"] : (string[])[]]);
            Assert.Equal(expected, calls.Where(call => call.Split(' ')[1] == user));
        }
    }

    [Fact]
    public async Task Scores_of_the_server_become_the_metrics()
    {
        _server.Score = item => item == "good" ? 0.9 : 0.2;

        var result = await ReplayAsync(
            [Row("u", "good", 1, true), Row("u", "bad", 2, false), Row("v", "good", 3, false), Row("v", "bad", 4, false)],
            """{"valid_from":0,"test_from":1}""",
            1);

        Assert.Equal(4, result.Rows);
        Assert.Equal((1 + 1 + 0.5) / 3, result.Auc, 12);
        Assert.Equal(1, result.Gauc, 12);
        Assert.Equal("m1", Assert.Single(result.Models));
        Assert.Equal(0, result.Fallbacks);
    }

    [Fact]
    public async Task Fallbacks_and_unknown_items_are_counted_and_not_scored_as_if_by_the_model()
    {
        _server.Mode = "fallback";
        _server.Score = item => item == "unknown" ? null : 0.5;

        var result = await ReplayAsync([Row("u", "a", 1, true), Row("u", "unknown", 2, false)], """{"valid_from":0,"test_from":1}""", 1);

        Assert.Equal(1, result.Rows);
        Assert.Equal(2, result.Fallbacks);
    }

    private static EventRow Row(string user, string item, double timestamp, bool clicked, string request = "") => new(user, item, timestamp, clicked, request);

    private async Task<ReplayResult> ReplayAsync(EventRow[] rows, string split, int lanes)
    {
        using var folder = new TemporaryFolder();
        folder.Write("items.jsonl", "{\"id\":\"a\"}\n");
        folder.Write("events.csv", "user,item,timestamp,label\n");
        folder.Write("split.json", split);
        return await new Replay(_client, rows, Split.Read(DataFolder.Open(folder.Path), rows), new EventSource("f")).RunAsync(lanes, _ => { }, default);
    }
}
