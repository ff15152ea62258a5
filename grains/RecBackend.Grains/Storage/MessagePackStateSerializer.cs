using MessagePack;
using Orleans.Storage;

namespace RecBackend.Grains.Storage;

/// <summary>Grain state in MessagePack, compressed with LZ4: contents are mostly words, and a write is paid by the byte.</summary>
internal sealed class MessagePackStateSerializer : IGrainStorageSerializer
{
    // What is read was written by this program, but from outside the process: limits on depth and hash collisions stay on.
    private static readonly MessagePackSerializerOptions Options = MessagePackSerializerOptions.Standard
        .WithCompression(MessagePackCompression.Lz4BlockArray)
        .WithSecurity(MessagePackSecurity.UntrustedData);

    public BinaryData Serialize<T>(T? input) => new(MessagePackSerializer.Serialize(input, Options));

    public T? Deserialize<T>(BinaryData input) => MessagePackSerializer.Deserialize<T>(input.ToMemory(), Options);
}
