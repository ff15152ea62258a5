using System.Text;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Tests.Processes;

public sealed class ReplyReaderTests
{
    private const string Sized = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\ncontent-length:  5\r\n\r\nhello";
    private const string Chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nhel\r\nb\r\nlo\r\n world!\r\n0\r\n\r\n";

    [Theory]
    [InlineData(Sized, 429, false, "hello")]
    [InlineData(Chunked, 200, true, "hello\r\n world!")]
    [InlineData("HTTP/1.1 204 No Content\r\nDate: today\r\n\r\n", 204, false, "")]
    [InlineData("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, false, "")]
    public void Response_is_complete_with_its_last_byte_however_it_is_cut(string response, int status, bool closes, string body)
    {
        var bytes = Encoding.ASCII.GetBytes(response);
        var reader = new ReplyReader();
        for (var cut = 1; cut < bytes.Length; cut++)
        {
            reader.Clear();
            Assert.True(reader.IsEmpty);

            Assert.False(Add(reader, bytes.AsSpan(0, cut)));
            Assert.True(Add(reader, bytes.AsSpan(cut)));

            Assert.Equal((status, closes, body), (reader.Status, reader.Closes, Encoding.ASCII.GetString(reader.Body)));
        }
    }

    [Fact]
    public void Response_longer_than_the_buffer_makes_it_larger_and_the_next_one_is_read_as_well()
    {
        var reader = new ReplyReader();
        var body = new string('x', 1_000_000);
        var first = Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        var complete = false;
        for (var rest = first.AsSpan(); !rest.IsEmpty;)
        {
            Assert.False(complete);
            var count = Math.Min(rest.Length, reader.Free.Length);
            complete = Add(reader, rest[..count]);
            rest = rest[count..];
        }

        Assert.True(complete);
        Assert.Equal(body, Encoding.ASCII.GetString(reader.Body));

        reader.Clear();
        Assert.True(Add(reader, Encoding.ASCII.GetBytes(Sized)));
        Assert.Equal("hello", Encoding.ASCII.GetString(reader.Body));
    }

    [Theory]
    [InlineData(Sized)]
    [InlineData(Chunked)]
    public void Response_may_come_byte_by_byte(string response)
    {
        var reader = new ReplyReader();
        var bytes = Encoding.ASCII.GetBytes(response);

        Assert.All(Enumerable.Range(0, bytes.Length), i => Assert.Equal(i == bytes.Length - 1, Add(reader, bytes.AsSpan(i, 1))));
    }

    [Fact]
    public void Connection_that_ends_early_is_no_response() => Assert.Throws<EndOfStreamException>(() => new ReplyReader().Add(0));

    [Theory]
    [InlineData("HTTP/1.0 200 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n\r\nneither\r\n")]
    public void What_is_no_response_of_a_known_form_is_refused(string response) =>
        Assert.Throws<InvalidDataException>(() => Add(new ReplyReader(), Encoding.ASCII.GetBytes(response)));

    private static bool Add(ReplyReader reader, ReadOnlySpan<byte> piece)
    {
        piece.CopyTo(reader.Free.Span);
        return reader.Add(piece.Length);
    }
}
