using MessagePack;
using RecBackend.Core.Models;

namespace RecBackend.Grains.Models;

/// <summary>Which bundle answers in this cluster: what silos that join, or that have missed a change, go by. There is one, of key 0.</summary>
[Alias("RecBackend.IActiveBundleGrain")]
public interface IActiveBundleGrain : IGrainWithIntegerKey
{
    /// <summary>The versions.</summary>
    [Alias("Read")]
    Task<ActiveBundle> ReadAsync();

    /// <summary>Records them durably. From then on the change is decided.</summary>
    [Alias("Write")]
    Task WriteAsync(ActiveBundle versions);
}

/// <summary>See <see cref="ActiveVersions"/>. Keys are never given anew.</summary>
[GenerateSerializer, Alias("RecBackend.ActiveBundle"), MessagePackObject]
public sealed class ActiveBundle
{
    /// <summary>The version that answers, or null.</summary>
    [Id(0), Key(0)]
    public string? Active { get; set; }

    /// <summary>The version that a rollback returns to, or null.</summary>
    [Id(1), Key(1)]
    public string? Previous { get; set; }
}
