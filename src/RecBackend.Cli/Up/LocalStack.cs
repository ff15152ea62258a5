using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using RecBackend.Cli.Data;
using RecBackend.Cli.Loading;
using RecBackend.Cli.Models;
using RecBackend.Client;

namespace RecBackend.Cli.Up;

/// <summary>A server, or the silos of a cluster, and a gateway as child processes on loopback, filled with a data set and a bundle.</summary>
internal sealed class LocalStack(UpOptions options)
{
    private const int ProbeItems = 100;

    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan ProbeLimit = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>Starts everything and runs until <paramref name="cancellation"/>; then stops the children.</summary>
    /// <param name="ready">Called with the gateway's address once everything is loaded and a ranking was answered by the model.</param>
    /// <param name="cancellation">Ends the run.</param>
    /// <exception cref="CommandException">It cannot start, or a child has died.</exception>
    public async Task RunAsync(Action<Uri> ready, CancellationToken cancellation)
    {
        var data = DataFolder.Open(options.Data);
        var bundle = BundleFile.Open(options.Bundle);
        RequireFree(options.Port);
        Directory.CreateDirectory(options.State);
        using var stateLock = LockState();

        var gatewayAddress = new Uri($"http://127.0.0.1:{options.Port}/");
        await using var engine = options.Silos == 0 ? LocalEngine.StartServer(options.State) : await LocalEngine.StartClusterAsync(options.State, options.Silos, cancellation);
        await using var gateway = StartGateway(gatewayAddress, engine);

        using var running = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var work = ServeAsync(engine, gatewayAddress, data, bundle, ready, running.Token);
        ChildProcess[] children = [.. engine.Processes, gateway];
        var childEnded = Task.WhenAny(children.Select(child => child.Exited));
        await Task.WhenAny(work, childEnded);

        // Ctrl-C reaches the children too, perhaps before this process has taken note; and a call fails a moment before the end of its child is noticed.
        await Task.WhenAny(Task.Delay(Moment, CancellationToken.None), Task.Delay(Timeout.Infinite, cancellation));
        if (cancellation.IsCancellationRequested)
        {
            await Console.Error.WriteLineAsync("rec: stopping");
            await work.ContinueWith(_ => { }, TaskScheduler.Default);
            return;
        }

        if (childEnded.IsCompleted)
        {
            await running.CancelAsync();
            await work.ContinueWith(_ => { }, TaskScheduler.Default);
            throw children.First(child => child.Exited.IsCompleted).EndedTooEarly();
        }

        await work;
    }

    private static void RequireFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
        }
        catch (SocketException e)
        {
            throw new CommandException($"port {port} cannot be used ({e.Message}): stop what listens there, or name another with --port", e);
        }
    }

    private async Task ServeAsync(
        LocalEngine engine, Uri gatewayAddress, DataFolder data, BundleFile bundle, Action<Uri> ready, CancellationToken cancellation)
    {
        await FillAsync(engine, data, bundle, cancellation);
        await ProbeAsync(gatewayAddress, data, cancellation);
        ready(gatewayAddress);
        await Task.Delay(Timeout.Infinite, cancellation);
    }

    private FileStream LockState()
    {
        var path = Path.Combine(options.State, "up.lock");
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new CommandException($"another `rec up` uses {options.State}: stop it, or name another folder with --state", e);
        }
    }

    private ChildProcess StartGateway(Uri address, LocalEngine engine) => ChildProcess.Start(
        "gateway",
        Installation.Gateway,
        [
            "--urls", address.GetLeftPart(UriPartial.Authority),
            "--RecBackend:Development", "true",
            .. engine.GatewayArguments,
        ],
        Path.Combine(options.State, "gateway.log"));

    private async Task FillAsync(LocalEngine engine, DataFolder data, BundleFile bundle, CancellationToken cancellation)
    {
        // All of them: a model is activated on the silos that are there.
        foreach (var address in engine.Addresses)
        {
            using var host = new RecBackendClient(address);
            await UntilAsync(StartLimit, $"the host at {address} did not start", () => IsStartedAsync(host, cancellation), cancellation);
        }

        using var client = new RecBackendClient(engine.Addresses[0]);

        // The bundle first: items are then encoded as they come in, where progress is visible.
        await ActivateAsync(client, bundle, cancellation);
        await LoadAsync(client, data, cancellation);
    }

    /// <summary>Whether the server answers calls: it listens before it has read its state, and says so.</summary>
    private static async Task<bool> IsStartedAsync(RecBackendClient client, CancellationToken cancellation)
    {
        try
        {
            await client.ListModelsAsync(cancellation);
            return true;
        }
        catch (Exception e) when (e is HttpRequestException or ProblemException { Code: "not_ready" })
        {
            return false;
        }
    }

    /// <summary>Activates the bundle if it is another one than at the last start: what was activated or rolled back by a call since then stays.</summary>
    private async Task ActivateAsync(RecBackendClient client, BundleFile bundle, CancellationToken cancellation)
    {
        var last = Path.Combine(options.State, "bundle");
        var models = await client.ListModelsAsync(cancellation);
        if (models.Active is { } active && File.Exists(last) && await File.ReadAllTextAsync(last, cancellation) == bundle.Version)
        {
            if (active != bundle.Version)
            {
                await Console.Error.WriteLineAsync($"rec: {active} was activated since the last start and stays; `rec models activate {bundle.Version}` returns to this bundle");
            }

            return;
        }

        if (models.Models.All(model => model.Version != bundle.Version))
        {
            await using var zip = bundle.OpenZip();
            await client.PushModelAsync(zip, cancellation);
        }

        await Activation.WaitAsync(client, await client.ActivateModelAsync(bundle.Version, cancellation), $"activating {bundle.Version}", cancellation);
        await File.WriteAllTextAsync(last, bundle.Version, CancellationToken.None);
    }

    private async Task LoadAsync(RecBackendClient client, DataFolder data, CancellationToken cancellation)
    {
        var fingerprint = data.ComputeFingerprint();
        var loaded = LoadedData.Read(options.State, fingerprint);
        if (!loaded.HasItems)
        {
            var (stored, rejected) = await CatalogLoader.LoadItemsAsync(client, data.Items, cancellation);
            if (stored == 0)
            {
                throw new CommandException($"{data.Items}: no item could be stored ({rejected} rejected)");
            }

            if (data.Users is not null)
            {
                await CatalogLoader.LoadUsersAsync(client, data.Users, cancellation);
            }

            loaded.Record(0);
        }

        var rows = EventsFile.Read(data.Events);
        var split = Split.Read(data, rows);
        await HistoryLoader.LoadAsync(client, data.Events, rows, split, new EventSource(fingerprint), loaded.Rows, loaded.Record, cancellation);
    }

    /// <summary>Waits until a ranking through the gateway is answered by the model.</summary>
    private static async Task ProbeAsync(Uri gatewayAddress, DataFolder data, CancellationToken cancellation)
    {
        var request = new RankRequest
        {
            User = "rec-up-probe",
            Items = [.. ItemsFile.ReadItems(data.Items).Take(ProbeItems).Select(entry => entry.Item.Id)],
        };
        using var client = new RecBackendClient(gatewayAddress);
        var last = "no answer";
        await UntilAsync(ProbeLimit, "no ranking was answered by the model", async () =>
        {
            try
            {
                var ranking = await client.RankAsync(request, cancellation);
                last = $"mode {ranking.Mode} {ranking.Reason}, {ranking.Items.Count} ranked";
                return ranking.ByModel && ranking.Items.Count > 0;
            }
            catch (Exception e) when (e is HttpRequestException or ProblemException)
            {
                last = e.Message;
                return false;
            }
        }, cancellation, () => last);
    }

    private static async Task UntilAsync(
        TimeSpan limit, string otherwise, Func<Task<bool>> condition, CancellationToken cancellation, Func<string>? last = null)
    {
        var clock = Stopwatch.StartNew();
        while (!await condition())
        {
            if (clock.Elapsed > limit)
            {
                throw new CommandException($"{otherwise} within {limit.TotalSeconds} s{(last is null ? "" : $" (last: {last()})")}");
            }

            await Task.Delay(PollInterval, cancellation);
        }
    }
}
