using RecBackend.Core.Catalog;

namespace RecBackend.Core.Models;

/// <summary>The outputs of a bundle's user encoder for one user, computed when the history or a row of it changes and read by every ranking until then.</summary>
public sealed class UserEncoding
{
    private long _rowsEpoch = ItemCatalog.NoEpoch;

    /// <summary>Makes an encoding. The arrays must be pinned (<see cref="GC.AllocateArray{T}(int, bool)"/>), so that a scorer reads them in place, and are not to be changed.</summary>
    public UserEncoding(string bundle, long userVersion, float[] userState, float[] historyState)
    {
        Bundle = bundle;
        UserVersion = userVersion;
        UserState = userState;
        HistoryState = historyState;
    }

    /// <summary>Version of the bundle that computed it.</summary>
    public string Bundle { get; }

    /// <summary><see cref="Users.UserSnapshot.Version"/> that it was computed from.</summary>
    public long UserVersion { get; }

    /// <summary>[S] floats.</summary>
    public float[] UserState { get; }

    /// <summary>[L, H] floats, row-major.</summary>
    public float[] HistoryState { get; }

    /// <summary><see cref="ItemCatalog.RowsEpoch"/> at which the history's rows were last known to be those that it was computed from; none until a catalogue of this process has been asked.</summary>
    internal long RowsEpoch
    {
        get => Volatile.Read(ref _rowsEpoch);
        set => Volatile.Write(ref _rowsEpoch, value);
    }

    /// <summary><see cref="Features.UserFeatureWriter.HistoryRows"/> when it was computed.</summary>
    internal ulong HistoryRows { get; set; }

    /// <summary>Whether it is what <paramref name="bundle"/> would compute for a user at <paramref name="userVersion"/>, as long as the items of the history are as they were.</summary>
    public bool IsFor(string bundle, long userVersion) => Bundle == bundle && UserVersion == userVersion;
}
