using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Xml.Linq;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Cluster;

/// <summary>
/// Blobs of the Azurite of a run, over the bare REST API: this project is built where the packages of Azure storage are not. Calls carry an account SAS, which is signed once, so that a raw write
/// costs its client as little as it can.
/// </summary>
internal sealed class BlobAccount : IDisposable
{
    private const string Version = "2019-12-12";

    private readonly HttpClient _client = new() { Timeout = TimeSpan.FromSeconds(30) };
    private readonly string _account;
    private readonly string _signature;

    public BlobAccount(int port)
    {
        _account = AzuriteAccount.Address(port).AbsoluteUri;
        var expiry = DateTime.UtcNow.AddDays(1).ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

        // Name, permissions, services, resource types, start, expiry, addresses, protocols, version.
        var text = $"{AzuriteAccount.Name}\nrwlac\nb\nsco\n\n{expiry}\n\n\n{Version}\n";
        var signed = HMACSHA256.HashData(Convert.FromBase64String(AzuriteAccount.Key), Encoding.UTF8.GetBytes(text));
        _signature = $"sv={Version}&ss=b&srt=sco&sp=rwlac&se={Uri.EscapeDataString(expiry)}&sig={Uri.EscapeDataString(Convert.ToBase64String(signed))}";
    }

    /// <summary>Makes a container.</summary>
    public async Task CreateContainerAsync(string container, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"{_account}/{container}?restype=container&{_signature}");
        using var response = await _client.SendAsync(request, cancellation);
        response.EnsureSuccessStatusCode();
    }

    /// <summary>Writes a block blob, over one of the same name.</summary>
    public async Task PutAsync(string container, string name, byte[] content, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"{_account}/{container}/{name}?{_signature}") { Content = new ByteArrayContent(content) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        request.Headers.Add("x-ms-blob-type", "BlockBlob");
        using var response = await _client.SendAsync(request, cancellation);
        response.EnsureSuccessStatusCode();
    }

    /// <summary>Number and bytes of the blobs whose names begin with a prefix.</summary>
    public async Task<(long Count, long Bytes)> MeasureAsync(string container, string prefix, CancellationToken cancellation)
    {
        var (count, bytes, marker) = (0L, 0L, "");
        do
        {
            var address = $"{_account}/{container}?restype=container&comp=list&prefix={Uri.EscapeDataString(prefix)}&marker={Uri.EscapeDataString(marker)}&{_signature}";
            var list = XDocument.Parse(await _client.GetStringAsync(new Uri(address), cancellation)).Root!;
            foreach (var length in list.Descendants("Content-Length"))
            {
                count++;
                bytes += long.Parse(length.Value, CultureInfo.InvariantCulture);
            }

            marker = list.Element("NextMarker")?.Value ?? "";
        }
        while (marker.Length > 0);
        return (count, bytes);
    }

    public void Dispose() => _client.Dispose();
}
