using System.Diagnostics;
using RecBackend.Cli.Up;

namespace RecBackend.Cli.Tests;

public class CommandLineTests
{
    [Theory]
    [InlineData("rank --items a,b", "--user")]
    [InlineData("rank --user u", "--items")]
    [InlineData("rank --user u --items a --url nowhere", "nowhere")]
    [InlineData("rank --user u --items a --url ftp://there", "ftp")]
    [InlineData("eval --data d --concurrency 0", "--concurrency")]
    [InlineData("up --port 70000", "--port")]
    [InlineData("up --port x", "x")]
    [InlineData("keys create --scope everything", "everything")]
    [InlineData("keys create", "--scope")]
    [InlineData("items load /no/such/file", "/no/such/file")]
    [InlineData("models activate", "activate")]
    [InlineData("models delete", "delete")]
    public void Bad_argument_is_named(string arguments, string what)
    {
        var errors = RecCommand.Create().Parse(arguments.Split(' ')).Errors;

        Assert.Contains(errors, error => error.Message.Contains(what, StringComparison.Ordinal));
    }

    [Fact]
    public void Candidates_are_told_apart_by_commas()
    {
        var parsed = RecCommand.Create().Parse(["rank", "--user", "u", "--items", "a,b", "c"]);

        Assert.Empty(parsed.Errors);
        Assert.Equal(["a", "b", "c"], parsed.GetValue<string[]>("--items")!);
    }

    [Fact]
    public async Task Unknown_verb_lists_the_known_ones()
    {
        var (code, _, error) = await RunRecAsync("recommend");

        Assert.Equal(2, code);
        Assert.Contains("'recommend'", error, StringComparison.Ordinal);
        Assert.All(Verbs, verb => Assert.Contains(verb, error, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Help_names_every_verb()
    {
        var (code, output, _) = await RunRecAsync("--help");

        Assert.Equal(0, code);
        Assert.All(Verbs, verb => Assert.Contains($"  {verb}", output, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("setup", "ONNX Runtime from npm")]
    [InlineData("test", "N passed, N failed, N skipped")]
    [InlineData("train", "--data DIR")]
    public async Task Verb_of_the_script_prints_its_help(string verb, string what)
    {
        var (code, output, _) = await RunRecAsync(verb, "--help");

        Assert.Equal(0, code);
        Assert.Contains(what, output, StringComparison.Ordinal);
    }

    private static readonly string[] Verbs = ["setup", "up", "test", "train", "eval", "bench", "rank", "items", "models", "keys"];

    private static async Task<(int Code, string Output, string Error)> RunRecAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo(Path.Combine(Installation.Root, "rec"), arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output, await error);
    }
}
