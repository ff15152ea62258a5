namespace RecBackend.Core.Models;

/// <summary>Port: which of the hosts that share the items encodes one of them, where each of them sees that it lacks a representation.</summary>
public interface IEncodingDuty
{
    /// <summary>Whether this host does. Of an item that no host takes for its own, or whose host is away, each finds out for itself a little later.</summary>
    bool IsMine(string item);
}
