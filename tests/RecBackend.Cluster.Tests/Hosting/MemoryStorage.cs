using System.Collections.Concurrent;
using Orleans.Storage;
using RecBackend.Grains.Storage;

namespace RecBackend.Cluster.Tests.Hosting;

/// <summary>Grain storage with the promises of the blob one, etags and bytes included, that fails when it is told to.</summary>
internal sealed class MemoryStorage : IGrainStorage, ILifecycleParticipant<ISiloLifecycle>
{
    private static readonly MessagePackStateSerializer Serializer = new();
    private readonly ConcurrentDictionary<string, (string ETag, byte[] Bytes)> _states = new();
    private int _etag;

    /// <summary>Asked before each write: fail, fail after it was stored, or neither.</summary>
    public Func<string, WriteFault> Fault { get; set; } = _ => WriteFault.None;

    public int Writes { get; private set; }

    /// <summary>Asked before a state is deleted: whether to fail.</summary>
    public Func<string, bool> FailsToDelete { get; set; } = _ => false;

    /// <summary>What was read, with its bytes; 0 if there was nothing.</summary>
    public ConcurrentQueue<(string Name, int Bytes)> Reads { get; } = new();

    public ICollection<string> Names => _states.Keys;

    /// <summary>A storage that holds these bytes.</summary>
    public static MemoryStorage Of(IReadOnlyDictionary<string, byte[]> states)
    {
        var storage = new MemoryStorage();
        foreach (var (name, bytes) in states)
        {
            storage._states[name] = ($"{++storage._etag}", bytes);
        }

        return storage;
    }

    public int BytesOf(string name) => _states[name].Bytes.Length;

    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var name = Name(stateName, grainId);
        if (_states.TryGetValue(name, out var stored))
        {
            Reads.Enqueue((name, stored.Bytes.Length));
            (grainState.State, grainState.ETag, grainState.RecordExists) = (Serializer.Deserialize<T>(new(stored.Bytes))!, stored.ETag, true);
        }
        else
        {
            Reads.Enqueue((name, 0));
            (grainState.State, grainState.ETag, grainState.RecordExists) = (Activator.CreateInstance<T>(), null!, false);
        }

        return Task.CompletedTask;
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var name = Name(stateName, grainId);
        await Task.Yield();
        Writes++;
        var fault = Fault(name);
        if (fault == WriteFault.Before)
        {
            throw new IOException("the storage was told to fail");
        }

        if ((_states.TryGetValue(name, out var stored) ? stored.ETag : null) != grainState.ETag)
        {
            throw new InconsistentStateException($"{name} is not as it was read");
        }

        var etag = $"{Interlocked.Increment(ref _etag)}";
        _states[name] = (etag, Serializer.Serialize(grainState.State).ToArray());
        if (fault == WriteFault.After)
        {
            throw new IOException("the storage was told to lose its answer");
        }

        (grainState.ETag, grainState.RecordExists) = (etag, true);
    }

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var name = Name(stateName, grainId);
        if (FailsToDelete(name))
        {
            throw new IOException("the storage was told to fail");
        }

        _states.TryRemove(name, out _);
        (grainState.State, grainState.ETag, grainState.RecordExists) = (Activator.CreateInstance<T>(), null!, false);
        return Task.CompletedTask;
    }

    public void Participate(ISiloLifecycle lifecycle)
    {
        // There is nothing to start; a silo asks it of its storage.
    }

    private static string Name(string stateName, GrainId grainId) => $"{stateName}-{grainId}";
}

/// <summary>What becomes of a write.</summary>
public enum WriteFault
{
    /// <summary>It is stored.</summary>
    None,

    /// <summary>It is not stored.</summary>
    Before,

    /// <summary>It is stored, but nobody is told.</summary>
    After,
}
