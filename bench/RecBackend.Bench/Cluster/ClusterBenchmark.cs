using System.Globalization;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Cluster;

/// <summary>Starts what the parts need, runs them one after the other, and prints what they found.</summary>
internal sealed class ClusterBenchmark(ClusterOptions options)
{
    private const int Silos = 3;

    // Enough for the parts that need some items and do not measure how many.
    private const int FewItems = 10_000;

    public async Task<int> RunAsync(bool json, CancellationToken cancellation)
    {
        Installation.RequireSilo();
        using var folder = new ScratchFolder(options.State);
        await using var stores = await ClusterStores.StartAsync(folder.Path, cancellation);
        using var blobs = new BlobAccount(stores.BlobPort);
        using var calls = new HostCalls();
        var figures = new ClusterFigures();
        var run = new ClusterRun(options, stores, blobs, calls, figures, folder.Path);

        string? bundle = null;
        if (ClusterOptions.AllParts.Except([ScaleOut.Part]).Any(options.Has))
        {
            bundle = await MeasureSilosAsync(run, cancellation);
        }

        if (options.Has(ScaleOut.Part))
        {
            bundle = await new ScaleOut(run).MeasureAsync(cancellation);
        }

        RunFacts.Print(Console.Out, bundle);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"load     {Silos} silos, {options.Items:N0} items with {options.TextLength} characters, {options.Streams} streams, {options.Time.TotalSeconds:F0} s each, {options.Share} cores a host in the scale-out"));
        figures.PrintTables(Console.Out);
        if (json)
        {
            Console.WriteLine(figures.ToJson());
        }

        return 0;
    }

    private async Task<string> MeasureSilosAsync(ClusterRun run, CancellationToken cancellation)
    {
        await using var silos = new LocalSilos(run.Stores, run.Folder, "bench");
        await silos.StartAsync(Silos, cancellation);
        var bundle = await run.Calls.ActivateAsync(silos.Running[0].Address, options.Bundle, cancellation);
        foreach (var silo in silos.Running)
        {
            await silo.UntilReadyAsync(cancellation);
        }

        await using (var gateway = await Stack.StartFollowerAsync(silos.Running[0].Endpoint, cancellation))
        {
            var load = new BulkLoad(run, silos, gateway);
            await (options.Has(BulkLoad.Part) ? load.MeasureAsync(cancellation) : load.FillAsync(options.Has(Restart.Part) ? options.Items : Math.Min(options.Items, FewItems), cancellation));
            if (options.Has(EventRates.Part))
            {
                await new EventRates(run, silos, gateway).MeasureAsync(cancellation);
            }

            if (options.Has(Visibility.Part))
            {
                await new Visibility(run, silos, gateway).MeasureAsync(cancellation);
            }
        }

        if (options.Has(Restart.Part))
        {
            await new Restart(run, silos).MeasureAsync(cancellation);
        }

        return bundle;
    }
}

/// <summary>What the parts of one run share.</summary>
/// <param name="Options">What was asked for.</param>
/// <param name="Stores">Redis and Azurite.</param>
/// <param name="Blobs">The blobs in it.</param>
/// <param name="Calls">Calls beside the measured ones.</param>
/// <param name="Figures">Where figures go.</param>
/// <param name="Folder">For the state of hosts.</param>
internal sealed record ClusterRun(ClusterOptions Options, ClusterStores Stores, BlobAccount Blobs, HostCalls Calls, ClusterFigures Figures, string Folder)
{
    /// <summary>How many items the parts can name: those that are loaded at least.</summary>
    public int KnownItems => Math.Min(Options.Items, 10_000);
}
