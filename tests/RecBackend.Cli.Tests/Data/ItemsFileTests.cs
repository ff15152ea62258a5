using RecBackend.Cli.Data;

namespace RecBackend.Cli.Tests.Data;

public class ItemsFileTests
{
    [Fact]
    public void Item_gets_the_bytes_of_its_image()
    {
        using var folder = new TemporaryFolder();
        folder.Write("poster.jpg", "bytes");
        var path = folder.Write("items.jsonl", """
            {"id":"1","title":"T","categories":["A"],"attributes":{"year":"1999"},"image":"poster.jpg"}

            {"id":"2","image_features":[0.5,1]}

            """);

        var items = ItemsFile.ReadItems(path).ToList();

        Assert.Equal([1, 3], items.Select(entry => entry.Line));
        Assert.Equal("bytes"u8.ToArray(), items[0].Item.Image);
        Assert.Equal("1999", items[0].Item.Attributes!["year"]);
        Assert.Equal([0.5f, 1f], items[1].Item.ImageFeatures!);
    }

    [Theory]
    [InlineData("""{"id":"1"}""", """{"title":"no id"}""", "id is missing")]
    [InlineData("""{"id":"1"}""", "{", "not a JSON object")]
    [InlineData("""{"id":"1"}""", """{"id":"2","titel":"x"}""", "titel")]
    [InlineData("""{"id":"1"}""", """{"id":2}""", "not a JSON object")]
    [InlineData("""{"id":"1"}""", """{"id":"2","image":"gone.jpg"}""", "gone.jpg is not there")]
    public void Bad_line_is_named_with_file_and_line(string good, string bad, string what)
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("items.jsonl", $"{good}\n{bad}\n");

        var error = Assert.Throws<DataException>(() => ItemsFile.ReadItems(path).Count());

        Assert.StartsWith($"{path}:2: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(what, error.Message, StringComparison.Ordinal);
    }
}
