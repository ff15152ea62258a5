using System.Text.Json;

namespace RecBackend.Http.Problems;

/// <summary>Where in a body the JSON reader gave up, in words for people.</summary>
internal static class JsonPlace
{
    /// <summary>A path such as <c>items[3].id</c> if there is one, and else line and byte, both from 1.</summary>
    public static string? Of(JsonException e)
    {
        var path = e.Path?.TrimStart('$').TrimStart('.');
        return !string.IsNullOrEmpty(path) ? path
            : e.LineNumber is { } line ? $"line {line + 1}, byte {e.BytePositionInLine + 1}"
            : null;
    }

    /// <summary>The reader's message without its own idea of the place.</summary>
    public static string Words(JsonException e)
    {
        var end = e.Message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        var path = e.Message.IndexOf(" Path:", StringComparison.Ordinal);
        var cut = (end, path) switch
        {
            ( < 0, < 0) => e.Message.Length,
            ( < 0, _) => path,
            (_, < 0) => end,
            _ => Math.Min(end, path),
        };
        return e.Message[..cut];
    }
}
