using System.Diagnostics.Metrics;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;

namespace RecBackend.Http.Metrics;

/// <summary>What is read when somebody asks: catalogue, active bundle, jobs.</summary>
internal sealed class ModelMetrics
{
    private readonly ModelDirectory _models;
    private readonly JobBoard _jobs;

    public ModelMetrics(IMeterFactory meters, ModelDirectory models, JobBoard jobs)
    {
        (_models, _jobs) = (models, jobs);
        var meter = meters.Create(Core.Telemetry.Name);
        meter.CreateObservableGauge("recbackend.catalog.items", () => _models.Status.Items, "{item}", "Items in the catalogue that answers.");
        meter.CreateObservableGauge("recbackend.catalog.version", () => _models.Status.CatalogVersion, null, "The highest item version in the catalogue.");
        meter.CreateObservableGauge("recbackend.catalog.memory", () => _models.Status.Memory, "By", "Memory of all catalogues.");
        meter.CreateObservableGauge("recbackend.ready", () => _models.Status is { Ready: true, Active: not null } ? 1 : 0, null, "1 if rankings are answered by a model.");
        meter.CreateObservableGauge("recbackend.model.active", ActiveModel, null, "1, with the version of the active bundle.");
        meter.CreateObservableGauge("recbackend.jobs.running", RunningJobs, "{job}", "Jobs at work, by kind.");
    }

    private IEnumerable<Measurement<int>> ActiveModel() =>
        _models.Status.Active is { } version ? [new Measurement<int>(1, new KeyValuePair<string, object?>("version", version))] : [];

    private IEnumerable<Measurement<int>> RunningJobs()
    {
        var running = _jobs.List().Where(job => job.State == JobState.Running).ToLookup(job => job.Kind);
        foreach (var kind in new[] { "warm", "activate", "rollback" })
        {
            yield return new Measurement<int>(running[kind].Count(), new KeyValuePair<string, object?>("kind", kind));
        }
    }
}
