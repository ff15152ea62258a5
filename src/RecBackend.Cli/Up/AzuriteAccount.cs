namespace RecBackend.Cli.Up;

/// <summary>The account that every Azurite has; its key is public. The bench and the tests of the cluster have this file too.</summary>
internal static class AzuriteAccount
{
    /// <summary>Its name.</summary>
    public const string Name = "devstoreaccount1";

    /// <summary>Its key in base64.</summary>
    public const string Key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// <summary>
    /// How it is started. Connections are kept for minutes in place of five seconds: its event loop takes one new connection a turn, and where it has work each of many that come at once waits for seconds.
    /// </summary>
    /// <param name="port">The port of loopback.</param>
    /// <param name="folder">Where it keeps the blobs.</param>
    public static string[] Arguments(string port, string folder) =>
        ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobKeepAliveTimeout", "300", "--blobHost", "127.0.0.1", "--blobPort", port, "--location", folder];

    /// <summary>Where its blobs are, of an Azurite on a port of loopback.</summary>
    public static Uri Address(int port) => new($"http://127.0.0.1:{port}/{Name}");

    /// <summary>The same as what clients of Azure storage take.</summary>
    public static string ConnectionString(int port) => $"DefaultEndpointsProtocol=http;AccountName={Name};AccountKey={Key};BlobEndpoint={Address(port)};";
}
