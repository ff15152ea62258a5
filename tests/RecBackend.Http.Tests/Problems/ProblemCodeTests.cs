using System.Text.RegularExpressions;
using RecBackend.Http.Problems;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Problems;

public sealed partial class ProblemCodeTests
{
    [Fact]
    public void Every_code_is_documented_with_its_status_and_no_other_is()
    {
        var documented = Row().Matches(File.ReadAllText(Path.Combine(Checkout.Root, "docs", "http-api.md")))
            .Select(row => (row.Groups[1].Value, int.Parse(row.Groups[2].Value, System.Globalization.CultureInfo.InvariantCulture)));
        Assert.Equal(ProblemCode.All.Select(code => (code.Code, code.Status)).Order(), documented.Order());
    }

    [Fact]
    public void Every_code_of_the_engine_and_the_bundles_has_a_status()
    {
        // What Core, the scorer and the engine throw or return under a code of their own, as their sources write it.
        var sources = new[] { "RecBackend.Core", "RecBackend.Scoring", "RecBackend.Embedded" }
            .SelectMany(project => Directory.EnumerateFiles(Path.Combine(Checkout.Root, "src", project), "*.cs", SearchOption.AllDirectories))
            .Where(file => !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal));
        var codes = sources.SelectMany(file => Thrown().Matches(File.ReadAllText(file)).Select(match => match.Groups[1].Value)).ToHashSet();
        Assert.Contains("bundle_unknown", codes);
        Assert.Contains("event_type_unknown", codes);
        Assert.DoesNotContain(codes, code => ProblemCode.Of(code) == ProblemCode.Internal && code != "internal_error");
    }

    [GeneratedRegex("""^\| `([a-z_]+)` \| (\d{3}) \|""", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex("""(?:RefusedException|RefusedException\(|new\(index, |ContentProblem\(|RejectedEntry\(\w+, )\(?"([a-z]+(?:_[a-z]+)+)",""")]
    private static partial Regex Thrown();
}
