using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;

namespace RecBackend.Embedded.Tests.Faults;

public sealed class CrashTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    [Theory]
    [InlineData(1)]
    [InlineData(2_500)]
    [InlineData(7_000)]
    public async Task Acknowledged_event_survives_kill_exactly_once(int killAfter)
    {
        var acknowledged = await KillWriterAfterAsync(killAfter);

        await using var engine = await EmbeddedEngine.OpenAsync(new EmbeddedOptions { Directory = _directory.Path }, TimeProvider.System, NullLogger.Instance);
        var stored = new HashSet<long>();
        for (var u = 0; u < CrashWriter.UserCount; u++)
        {
            var user = await engine.Users.GetAsync($"u{u}", default);

            // Under 200 clicks a user: the history holds all of them, and each event's number is its time.
            Assert.Equal(user.Clicks, user.History.Length);
            Assert.All(user.History, entry => Assert.True(stored.Add(entry.Timestamp), $"event {entry.Timestamp} is there twice"));
        }

        Assert.Superset(acknowledged, stored);
        Assert.Equal(stored.Count, await ClicksOfItemsAsync(engine));

        // Who sends everything again, not knowing what got through, ends up with everything once.
        var receipt = await engine.Users.AppendAsync([.. Enumerable.Range(0, CrashWriter.Events).Select(CrashWriter.Event)], default);
        Assert.Equal((stored.Count, CrashWriter.Events - stored.Count), (receipt.Duplicates, receipt.Accepted));
        Assert.Equal(CrashWriter.Events, await ClicksOfItemsAsync(engine));
    }

    public void Dispose() => _directory.Dispose();

    /// <summary>SIGKILLs the writer in the middle of its work; returns the events that it had been told are stored.</summary>
    private async Task<HashSet<long>> KillWriterAfterAsync(int events)
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        using var writer = CrashWriter.Start(_directory.Path);
        var errors = writer.StandardError.ReadToEndAsync(timeout.Token);
        var acknowledged = new HashSet<long>();
        try
        {
            while (await writer.StandardOutput.ReadLineAsync(timeout.Token) is { } line)
            {
                // The last line may be torn by the kill; it is then not an acknowledgement.
                acknowledged.Add(long.Parse(line, CultureInfo.InvariantCulture));
                if (acknowledged.Count == events)
                {
                    writer.Kill();
                }
                else if (acknowledged.Count < events)
                {
                    writer.StandardInput.BaseStream.WriteByte(0);
                    writer.StandardInput.BaseStream.Flush();
                }
            }
        }
        finally
        {
            writer.Kill();
            await writer.WaitForExitAsync(timeout.Token);
        }

        Assert.Equal("", await errors);
        Assert.Equal(128 + 9, writer.ExitCode);
        return acknowledged;
    }

    private static async Task<long> ClicksOfItemsAsync(EmbeddedEngine engine)
    {
        var clicks = 0L;
        await foreach (var item in engine.Items.ReadAllAsync(default))
        {
            clicks += item.Counters.Clicks;
        }

        return clicks;
    }
}
