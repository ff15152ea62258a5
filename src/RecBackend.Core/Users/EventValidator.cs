namespace RecBackend.Core.Users;

/// <summary>Checks what a caller claims to have happened, before an engine sees it.</summary>
public sealed class EventValidator
{
    /// <summary>Accepts <c>impression</c> and <paramref name="actions"/>.</summary>
    public EventValidator(IEnumerable<string> actions, TimeProvider clock) => throw new NotImplementedException();

    /// <summary>Null, or why the event cannot be stored; <paramref name="index"/> is its place in its batch.</summary>
    public RejectedEntry? Check(InteractionEvent interaction, int index) => throw new NotImplementedException();
}
