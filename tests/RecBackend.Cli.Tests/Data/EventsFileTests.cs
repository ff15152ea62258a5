using System.IO.Compression;
using System.Text;
using RecBackend.Cli.Data;

namespace RecBackend.Cli.Tests.Data;

public class EventsFileTests
{
    private const string Header = "user,item,timestamp,label\n";

    [Fact]
    public void Rows_are_read_in_file_order_whatever_the_order_of_the_columns()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("events.csv", "label,request_id,timestamp,item,user\r\n1,r1,5,i,u\r\n\r\n0,,6.5,\"a,\"\"b\"\"\",v\r\n");

        Assert.Equal([new EventRow("u", "i", 5, true, "r1"), new EventRow("v", "a,\"b\"", 6.5, false, "")], EventsFile.Read(path));
    }

    [Fact]
    public void Packed_events_read_as_unpacked_ones()
    {
        using var folder = new TemporaryFolder();
        var path = Path.Combine(folder.Path, "events.csv.gz");
        using (var gzip = new GZipStream(File.Create(path), CompressionLevel.Fastest))
        {
            gzip.Write(Encoding.UTF8.GetBytes(Header + "u,i,5,1\n"));
        }

        Assert.Equal([new EventRow("u", "i", 5, true, "")], EventsFile.Read(path));
    }

    [Theory]
    [InlineData("", 1, "header")]
    [InlineData("user,item,timestamp\n", 1, "'label'")]
    [InlineData(Header + "u,i,1,1\nu,i,1\n", 3, "3 columns")]
    [InlineData(Header + "u,i,1,1\n\nu,\"i,1,1\n", 4, "open quote")]
    [InlineData(Header + "u,i,1,2\n", 2, "label '2'")]
    [InlineData(Header + "u,i,yesterday,1\n", 2, "'yesterday'")]
    [InlineData(Header + "u,i,-1,1\n", 2, "'-1'")]
    [InlineData(Header + "u,i,NaN,1\n", 2, "'NaN'")]
    [InlineData(Header + "u,i,2,1\nu,i,1,1\n", 3, "before that of the row above")]
    public void Bad_row_is_named_with_file_and_line(string text, int line, string what)
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("events.csv", text);

        var error = Assert.Throws<DataException>(() => EventsFile.Read(path));

        Assert.StartsWith($"{path}:{line}: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(what, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Truncated_archive_is_an_error_and_not_fewer_rows()
    {
        using var folder = new TemporaryFolder();
        var path = Path.Combine(folder.Path, "events.csv.gz");
        using (var gzip = new GZipStream(File.Create(path), CompressionLevel.Fastest))
        {
            gzip.Write(Encoding.UTF8.GetBytes(Header + string.Concat(Enumerable.Range(0, 5000).Select(row => $"user{row % 97},item{row * 31 % 1009},{row},1\n"))));
        }

        var bytes = File.ReadAllBytes(path);
        File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]);

        Assert.Throws<DataException>(() => EventsFile.Read(path));
    }
}
