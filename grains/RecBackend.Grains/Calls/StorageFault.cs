using RecBackend.Core.Storage;

namespace RecBackend.Grains.Calls;

/// <summary>A <see cref="StorageException"/> on its way between silos: its code decides what the caller of the service sees.</summary>
[GenerateSerializer, Alias("RecBackend.StorageFault")]
public struct StorageFault
{
    /// <summary>See <see cref="StorageException.Code"/>.</summary>
    [Id(0)]
    public string Code { get; set; }

    /// <summary>The message.</summary>
    [Id(1)]
    public string Detail { get; set; }
}

/// <summary>Lets Orleans send a type of <c>Core</c>, which knows nothing of Orleans.</summary>
[RegisterConverter]
public sealed class StorageFaultConverter : IConverter<StorageException, StorageFault>
{
    /// <inheritdoc/>
    public StorageException ConvertFromSurrogate(in StorageFault surrogate) => new(surrogate.Code, surrogate.Detail);

    /// <inheritdoc/>
    public StorageFault ConvertToSurrogate(in StorageException value) => new() { Code = value.Code, Detail = value.Message };
}
