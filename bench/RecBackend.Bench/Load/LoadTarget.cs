using System.Globalization;
using RecBackend.Bench.Cluster;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Processes;
using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Load;

/// <summary>What a load is offered to: a server or the silos of a cluster, with a gateway before them if asked for, all of them processes of this run.</summary>
internal sealed class LoadTarget : IAsyncDisposable
{
    private readonly List<IAsyncDisposable> _owned = [];
    private readonly List<HostProcess> _hosts = [];

    private LoadTarget()
    {
    }

    /// <summary>Who is asked.</summary>
    public HostProcess Front { get; private set; } = null!;

    /// <summary>Who ranks: whose metrics tell what rankings cost.</summary>
    public IReadOnlyList<HostProcess> Hosts => _hosts;

    /// <summary>Starts it, with the items, users and events of <paramref name="data"/>.</summary>
    /// <param name="options">What was asked for.</param>
    /// <param name="data">The data.</param>
    /// <param name="prepared">The same as the state of a server.</param>
    /// <param name="folder">Takes the state.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="CommandException">A program is missing, or does not start.</exception>
    public static async Task<LoadTarget> StartAsync(LoadOptions options, DataSet data, PreparedState prepared, string folder, CancellationToken cancellation)
    {
        var target = new LoadTarget();
        try
        {
            if (options.Silos == 0)
            {
                target.Add(await OnItsShareAsync(options, () => Stack.StartServerAsync(prepared.CopyTo(Path.Combine(folder, "server")), cancellation, http2: true)));
            }
            else
            {
                await target.StartSilosAsync(options, data, Path.Combine(folder, "cluster"), cancellation);
            }

            target.Front = target._hosts[0];
            if (options.Gateway)
            {
                var gateway = await OnItsShareAsync(options, () => Stack.StartGatewayAsync(target.Hosts.Select(host => host.Endpoint), http2: options.Silos == 0, cancellation));
                target._owned.Add(gateway);
                target.Front = gateway;
            }

            return target;
        }
        catch
        {
            await target.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        for (var i = _owned.Count - 1; i >= 0; i--)
        {
            await _owned[i].DisposeAsync();
        }
    }

    private void Add(HostProcess host)
    {
        _owned.Add(host);
        _hosts.Add(host);
    }

    private async Task StartSilosAsync(LoadOptions options, DataSet data, string folder, CancellationToken cancellation)
    {
        var stores = await OnItsShareAsync(options, () => ClusterStores.StartAsync(Directory.CreateDirectory(folder).FullName, cancellation));
        _owned.Add(stores);
        var silos = new LocalSilos(stores, folder, "load");
        _owned.Add(silos);
        for (var silo = 1; silo <= options.Silos; silo++)
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"silo-{silo}");
            _hosts.Add(await OnItsShareAsync(options, () => silos.StartAsync(name, ["entity", "scoring"], cancellation)));
        }

        using var calls = new HostCalls();
        await calls.ActivateAsync(_hosts[0].Address, options.Bundle, cancellation);
        await data.LoadAsync(_hosts[0].Address, cancellation);
        foreach (var silo in _hosts)
        {
            await silo.UntilReadyAsync(cancellation);
        }
    }

    // What is started before the first wait is started on this thread, whose processors it gets.
    private static Task<T> OnItsShareAsync<T>(LoadOptions options, Func<Task<T>> start)
    {
        using var share = options.Apart ? ProcessorShare.AllButLast() : null;
        return start();
    }
}
