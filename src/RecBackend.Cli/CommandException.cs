namespace RecBackend.Cli;

/// <summary>Ends the command with a sentence for the person who typed it.</summary>
internal sealed class CommandException(string message, Exception? inner = null) : Exception(message, inner);
