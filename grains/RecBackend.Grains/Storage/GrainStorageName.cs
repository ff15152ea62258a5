namespace RecBackend.Grains.Storage;

/// <summary>Name of the grain storage that holds users and items.</summary>
internal static class GrainStorageName
{
    public const string Value = "recbackend";
}
