using RecBackend.Cli.Data;

namespace RecBackend.Cli.Tests.Data;

public class SplitTests
{
    [Fact]
    public void Without_a_file_the_last_tenth_is_the_test_part()
    {
        var split = Read(null, Rows(25));

        Assert.Equal(23, split.FirstRanked);
        Assert.All(Enumerable.Range(0, 25), row => Assert.True(split.IsTold(row)));
    }

    [Fact]
    public void Split_by_time_includes_its_first_moment()
    {
        Assert.Equal(7, Read("""{"valid_from":3,"test_from":7}""", Rows(10)).FirstRanked);
    }

    [Theory]
    [InlineData("""{"test_from":7}""")]
    [InlineData("""{"valid_from":1,"test_from":7,"test_items":["1"]}""")]
    [InlineData("""{"test_form":7}""")]
    [InlineData("[]")]
    [InlineData("")]
    public void What_is_no_split_is_refused(string text) => Assert.Throws<DataException>(() => Read(text, Rows(10)));

    [Fact]
    public void Split_that_leaves_nothing_to_test_is_refused() =>
        Assert.Contains("test part", Assert.Throws<DataException>(() => Read("""{"valid_from":1,"test_from":100}""", Rows(10))).Message, StringComparison.Ordinal);

    private static EventRow[] Rows(int count) => [.. Enumerable.Range(0, count).Select(time => new EventRow("u", $"{time}", time, true, ""))];

    private static Split Read(string? text, EventRow[] rows)
    {
        using var folder = new TemporaryFolder();
        folder.Write("items.jsonl", "");
        folder.Write("events.csv", "");
        if (text is not null)
        {
            folder.Write("split.json", text);
        }

        return Split.Read(DataFolder.Open(folder.Path), rows);
    }
}
