using System.Globalization;
using System.Text;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Tests.Bundles;

public sealed class IdTableTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_id_finds_its_row_and_every_other_one_row_0()
    {
        var ids = Enumerable.Range(1, 5000).Select(i => i % 3 == 0 ? $"фильм-{i}" : i.ToString(CultureInfo.InvariantCulture)).ToList();
        var table = Load(ids, width: 2);
        Span<float> embedding = stackalloc float[2];

        Assert.Equal(ids.Count, table.Count);
        for (var row = 1; row <= ids.Count; row++)
        {
            Assert.True(table.TryGet(Encoding.UTF8.GetBytes(ids[row - 1]), embedding));
            Assert.Equal([row, row + 0.5f], embedding.ToArray());
            Assert.True(table.TryGet(ids[row - 1], embedding));
        }

        foreach (var unknown in new[] { "", "0", "5001", "фильм-", "фильм-4", new string('x', 129), new string('я', 100) })
        {
            Assert.False(table.TryGet(unknown, embedding));
            Assert.Equal([0, 0.5f], embedding.ToArray());
            Assert.False(table.TryGet(Encoding.UTF8.GetBytes(unknown), embedding));
        }
    }

    [Fact]
    public void Empty_table_knows_nobody()
    {
        var table = Load([], width: 3);
        Span<float> embedding = stackalloc float[3];

        Assert.False(table.TryGet("1", embedding));
        Assert.Equal([0, 0.5f, 1f], embedding.ToArray());
    }

    [Fact]
    public void Look_up_allocates_nothing()
    {
        var table = Load(["a", "b"], width: 2);
        Span<float> embedding = stackalloc float[2];
        table.TryGet("a"u8, embedding);
        table.TryGet("a", embedding);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
        {
            table.TryGet("a"u8, embedding);
            table.TryGet("unknown", embedding);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Theory]
    [InlineData("a\nb")] // the last is not ended
    [InlineData("a\nb\nc\n")]
    [InlineData("a\n\n")] // an empty ID
    [InlineData("a\na\n")]
    [InlineData("a\nb\u0007\n")]
    public void Ids_that_are_not_those_of_the_rows_are_refused(string ids) =>
        Assert.Throws<InvalidDataException>(() => Load(Encoding.UTF8.GetBytes(ids), rows: 3, width: 1));

    private IdTable Load(List<string> ids, int width) =>
        Load(Encoding.UTF8.GetBytes(string.Concat(ids.Select(id => id + "\n"))), ids.Count + 1, width);

    /// <summary>A table whose element (row, column) is row + column / 2.</summary>
    private IdTable Load(byte[] ids, int rows, int width)
    {
        var values = from row in Enumerable.Range(0, rows) from column in Enumerable.Range(0, width) select BitConverter.GetBytes(row + (column / 2f));
        var path = Path.Combine(_folder.Path, Guid.NewGuid().ToString("N"));
        File.WriteAllBytes(path, TestTensor.WriteAll(new()
        {
            ["embedding"] = new("F32", [rows, width], [.. values.SelectMany(bytes => bytes)]),
            ["ids"] = new("U8", [ids.Length], ids),
        }));
        return IdTable.Load(path, width);
    }
}
