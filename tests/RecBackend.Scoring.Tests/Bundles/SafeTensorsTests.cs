using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Tests.Bundles;

public sealed class SafeTensorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Tensors_of_every_type_are_read()
    {
        var file = Write(TestTensor.WriteAll(new()
        {
            ["i"] = new("I64", [2], [.. BitConverter.GetBytes(-5L), .. BitConverter.GetBytes(long.MaxValue)]),
            ["f"] = new("F32", [1, 2], [.. BitConverter.GetBytes(1.5f), .. BitConverter.GetBytes(float.NegativeInfinity)]),
            ["h"] = new("F16", [3], [.. BitConverter.GetBytes((Half)0.25f), .. BitConverter.GetBytes(Half.MaxValue), .. BitConverter.GetBytes(Half.Epsilon)]),
            ["b"] = new("U8", [3], [1, 2, 255]),
            ["nothing"] = new("F32", [0, 4], []),
        }));

        using var tensors = SafeTensors.Open(file);

        Assert.Equal([-5L, long.MaxValue], tensors.ReadIntegers(tensors.Tensors["i"]));
        Assert.Equal([1.5f, float.NegativeInfinity], tensors.ReadFloats(tensors.Tensors["f"]));
        Assert.Equal([0.25f, 65504f, (float)Half.Epsilon], tensors.ReadFloats(tensors.Tensors["h"]));
        Assert.Equal(new byte[] { 1, 2, 255 }, tensors.ReadBytes(tensors.Tensors["b"]));
        Assert.Empty(tensors.ReadFloats(tensors.Tensors["nothing"]));
        Assert.Equal([1L, 2L], tensors.Tensors["f"].Shape);
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12)] // overlap
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""", 12)] // gap
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 7)] // truncated
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 9)] // more than there should be
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4)] // shape and bytes differ
    [InlineData("""{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}""", 0)] // overflow
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775800,9223372036854775804]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}""", 4)]
    [InlineData("""{"a":5}""", 0)]
    [InlineData("""{"a":{"shape":[1]}}""", 0)]
    [InlineData("[]", 0)]
    [InlineData("{", 0)]
    public void Header_that_cannot_be_true_is_refused(string header, int bytes)
    {
        var file = Write(TestTensor.WithHeader(header, new byte[bytes]));

        Assert.Throws<InvalidDataException>(() => SafeTensors.Open(file).Dispose());
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(100UL)]
    [InlineData(ulong.MaxValue)]
    [InlineData((ulong)long.MaxValue)]
    public void Header_length_beyond_the_file_is_refused(ulong length)
    {
        Assert.Throws<InvalidDataException>(() => SafeTensors.Open(Write([.. BitConverter.GetBytes(length), (byte)'x'])).Dispose());
        Assert.Throws<InvalidDataException>(() => SafeTensors.Open(Write([1, 2, 3])).Dispose());
    }

    private string Write(byte[] content)
    {
        var path = Path.Combine(_folder.Path, Guid.NewGuid().ToString("N"));
        File.WriteAllBytes(path, content);
        return path;
    }
}
