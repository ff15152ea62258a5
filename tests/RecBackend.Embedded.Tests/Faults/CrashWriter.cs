using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Core.Items;
using RecBackend.Core.Users;

namespace RecBackend.Embedded.Tests.Faults;

/// <summary>
/// The process that <see cref="CrashTests"/> kills: eight writers send 10,000 events and say on standard output which ones were acknowledged. They are never more than
/// <see cref="Ahead"/> events ahead of who reads that, who writes a byte on standard input for each: else a writer may be done before a slow reader kills it.
/// </summary>
internal static class CrashWriter
{
    public const int Events = 10_000;
    public const int UserCount = 100;
    public const int ItemCount = 20;
    public const int Ahead = 500;
    private const int Writers = 8;

    /// <summary>Event number n, the same in both processes.</summary>
    public static InteractionEvent Event(int n) => new($"e{n}", InteractionEvent.Click, $"u{n % UserCount}", $"i{n % ItemCount}", n, null);

    public static Process Start(string directory)
    {
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(typeof(CrashWriter).Assembly.Location);
        start.ArgumentList.Add(directory);
        return Process.Start(start)!;
    }

    public static async Task<int> Main(string[] arguments)
    {
        if (arguments.Length != 1)
        {
            await Console.Error.WriteLineAsync("This program is started by the tests; its argument is a state directory.");
            return 2;
        }

        await using var engine = await EmbeddedEngine.OpenAsync(new EmbeddedOptions { Directory = arguments[0] }, TimeProvider.System, NullLogger.Instance);
        await engine.Items.UpsertAsync([.. Enumerable.Range(0, ItemCount).Select(i => new ItemUpsert($"i{i}", new ItemContent { Title = "x" }, null))], default);

        await using var output = Console.OpenStandardOutput();
        var gate = new object();
        using var unread = new SemaphoreSlim(Ahead);
        new Thread(() => ReleaseAsRead(unread)) { IsBackground = true }.Start();
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(async () =>
        {
            // Batches of one to four: a crash must not tear a batch either.
            for (var n = writer; n < Events;)
            {
                var batch = new List<InteractionEvent>();
                for (var size = 1 + (n % 4); size > 0 && n < Events; size--, n += Writers)
                {
                    batch.Add(Event(n));
                    await unread.WaitAsync();
                }

                await engine.Users.AppendAsync(batch, default);
                var line = string.Concat(batch.Select(one => one.Timestamp.ToString(CultureInfo.InvariantCulture) + "\n"));
                lock (gate)
                {
                    output.Write(System.Text.Encoding.ASCII.GetBytes(line));
                    output.Flush();
                }
            }
        })));
        return 0;
    }

    private static void ReleaseAsRead(SemaphoreSlim unread)
    {
        using var input = Console.OpenStandardInput();
        while (input.ReadByte() >= 0)
        {
            unread.Release();
        }
    }
}
