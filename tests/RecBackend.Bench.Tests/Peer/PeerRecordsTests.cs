using RecBackend.Bench.Peer;

namespace RecBackend.Bench.Tests.Peer;

public class PeerRecordsTests
{
    [Fact]
    public void Record_has_lengths_before_key_and_value()
    {
        using var output = new MemoryStream();

        PeerRecords.Write(output, "i:ä", [1, 2, 3]);

        Assert.Equal([4, 0, (byte)'i', (byte)':', 0xc3, 0xa4, 3, 0, 0, 0, 1, 2, 3], output.ToArray());
    }
}
