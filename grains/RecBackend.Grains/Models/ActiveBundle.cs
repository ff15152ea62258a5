using MessagePack;

namespace RecBackend.Grains.Models;

/// <summary>The record of the active bundle. Keys are never given anew.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ActiveBundle"), MessagePackObject]
public sealed record ActiveBundle
{
    /// <summary>The version that answers, or null.</summary>
    [Id(0), Key(0)]
    public string? Active { get; init; }

    /// <summary>The version that a rollback returns to, or null.</summary>
    [Id(1), Key(1)]
    public string? Previous { get; init; }

    /// <summary>The change that is under way, or the last one that was; null before the first.</summary>
    [Id(2), Key(2)]
    public RecordedChange? Change { get; init; }
}

/// <summary>A change of the active bundle, as it stands.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.RecordedChange"), MessagePackObject]
public sealed record RecordedChange
{
    /// <summary>Names it.</summary>
    [Id(0), Key(0)]
    public Guid Id { get; init; }

    /// <summary>Address of the silo that leads it, as Orleans writes it.</summary>
    [Id(1), Key(1)]
    public string Leader { get; set; } = "";

    /// <summary>The version that is to answer.</summary>
    [Id(2), Key(2)]
    public string Version { get; set; } = "";

    /// <summary>How far it is.</summary>
    [Id(3), Key(3)]
    public ChangePhase Phase { get; init; }

    /// <summary>Why it was given up, if a silo could not take part.</summary>
    [Id(4), Key(4)]
    public ModelRefusal? Refusal { get; init; }

    /// <summary>Whether the next one has to wait for it.</summary>
    [IgnoreMember]
    public bool IsOpen => Phase is not (ChangePhase.Closed or ChangePhase.GivenUp);

    /// <summary>Whether its version answers.</summary>
    [IgnoreMember]
    public bool IsDecided => Phase is ChangePhase.Decided or ChangePhase.Switched or ChangePhase.Closed;
}

/// <summary>How far a change is. Numbers are never given anew.</summary>
public enum ChangePhase
{
    /// <summary>The silo that leads encodes what items lack.</summary>
    Encoding = 0,

    /// <summary>All others get ready.</summary>
    Preparing = 1,

    /// <summary>All were ready, and switch when they read this.</summary>
    Decided = 2,

    /// <summary>All have switched, but for one that cannot; the silo that leads drops representations that nobody needs any more.</summary>
    Switched = 3,

    /// <summary>Over.</summary>
    Closed = 4,

    /// <summary>Over without effect.</summary>
    GivenUp = 5,
}

/// <summary>A change of the active bundle that is asked for.</summary>
/// <param name="Id">Names it.</param>
/// <param name="Leader">The silo that leads it.</param>
/// <param name="Version">The version that is to answer.</param>
/// <param name="From">Of a rollback, the version that is left; else null.</param>
[GenerateSerializer, Immutable, Alias("RecBackend.ModelChange")]
public sealed record ModelChange([property: Id(0)] Guid Id, [property: Id(1)] SiloAddress Leader, [property: Id(2)] string Version, [property: Id(3)] string? From);

/// <summary>Why the model cannot be changed.</summary>
/// <param name="Code">Stable code.</param>
/// <param name="Detail">In words.</param>
/// <param name="IsOfBundle">Whether the bundle is at fault; else the present state is.</param>
[GenerateSerializer, Immutable, Alias("RecBackend.ModelRefusal"), MessagePackObject]
public sealed record ModelRefusal([property: Id(0), Key(0)] string Code, [property: Id(1), Key(1)] string Detail, [property: Id(2), Key(2)] bool IsOfBundle);

/// <summary>How far a scoring silo is.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ReplicaReport")]
public sealed record ReplicaReport
{
    /// <summary>The silo.</summary>
    [Id(0)]
    public required SiloAddress Silo { get; init; }

    /// <summary>Its name.</summary>
    [Id(1)]
    public required string Name { get; init; }

    /// <summary>Rises with each report of a silo: of two that arrive in the wrong order the later one counts.</summary>
    [Id(2)]
    public required long Number { get; init; }

    /// <summary>Whether it ranks. One that starts takes no part in changes; before it ranks it looks what is active.</summary>
    [Id(3)]
    public required bool Serves { get; init; }

    /// <summary>The version that answers there, or null.</summary>
    [Id(4)]
    public string? Active { get; init; }

    /// <summary>The change that it works at, or has refused; null = none.</summary>
    [Id(5)]
    public Guid? Change { get; init; }

    /// <summary>Whether it could switch at once.</summary>
    [Id(6)]
    public bool IsReady { get; init; }

    /// <summary>Why it cannot take part in the change, or null.</summary>
    [Id(7)]
    public ModelRefusal? Refusal { get; init; }
}
