namespace RecBackend.Core;

/// <summary>An operation does not fit the present state; nothing changed. Codes: <c>activation_in_progress</c>, <c>rollback_unavailable</c>, <c>no_active_bundle</c>, <c>overloaded</c>.</summary>
public sealed class OperationRefusedException(string code, string detail) : Exception(detail)
{
    /// <summary>Stable code.</summary>
    public string Code { get; } = code;
}
