using System.CommandLine;
using RecBackend.Http.Authentication;

namespace RecBackend.Cli.Keys;

/// <summary><c>rec keys create</c>: makes a key here; no server is asked, and nothing is stored.</summary>
internal static class KeysCommand
{
    public static Command Create() => new("keys", "API keys.") { CreateCreate() };

    private static Command CreateCreate()
    {
        var scopes = new Option<string[]>("--scope") { Description = "What the key may do; may be given several times.", Required = true };
        scopes.AcceptOnlyFromAmong("rank", "ingest", "admin");
        var command = new Command("create", "Make a key. It is shown once; configuration gets its salted hash.") { scopes };
        command.SetAction(parsed =>
        {
            var (key, hash) = ApiKeyHash.Create();
            Console.WriteLine($"key    {key}");
            Console.WriteLine("       Shown only now: give it to its owner, who sends it as `Authorization: Bearer <key>`.");
            Console.WriteLine("config for every server and gateway (appsettings.json; several keys are several entries):");
            Console.WriteLine($$"""       "RecBackend": { "Keys": [ { "Hash": "{{hash}}", "Scopes": [ {{string.Join(", ", parsed.GetValue(scopes)!.Distinct().Select(scope => $"\"{scope}\""))}} ] } ] }""");
            return 0;
        });
        return command;
    }
}
