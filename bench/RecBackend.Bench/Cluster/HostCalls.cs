using System.Buffers;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace RecBackend.Bench.Cluster;

/// <summary>What a measurement asks of a silo, a server or a gateway beside what it measures.</summary>
internal sealed class HostCalls : IDisposable
{
    private const int LinesAtOnce = 64;

    // A load or an activation is one call, and ends with the run at the latest.
    private readonly HttpClient _client = new() { Timeout = TimeSpan.FromHours(1) };

    /// <summary>Stores a bundle and activates it.</summary>
    /// <returns>Its version.</returns>
    public async Task<string> ActivateAsync(Uri host, string bundle, CancellationToken cancellation)
    {
        using var zip = new MemoryStream();
        await ZipFile.CreateFromDirectoryAsync(bundle, zip, cancellation);
        using var content = new ByteArrayContent(zip.ToArray());
        content.Headers.ContentType = new MediaTypeHeaderValue("application/zip");
        var version = (string)(await SendAsync(HttpMethod.Post, new Uri(host, "/v1/models"), content, cancellation))["version"]!;
        var job = await SendAsync(HttpMethod.Post, new Uri(host, $"/v1/models/{version}/activate?wait=true"), null, cancellation);
        return (string)job["state"]! == "succeeded" ? version : throw new InvalidOperationException($"The bundle cannot be activated: {job.ToJsonString()}");
    }

    /// <summary>Stores items as one stream of NDJSON.</summary>
    /// <param name="host">Who gets them.</param>
    /// <param name="items">The items.</param>
    /// <param name="numbers">Which of them.</param>
    /// <param name="told">Told after each few lines how many were sent.</param>
    /// <param name="cancellation">Breaks it off.</param>
    public async Task LoadAsync(Uri host, SyntheticItems items, IEnumerable<long> numbers, Action<int> told, CancellationToken cancellation)
    {
        using var content = new ItemLines(items, numbers, told);
        var reply = await SendAsync(HttpMethod.Post, new Uri(host, "/v1/items/batch"), content, cancellation);
        if ((long)reply["accepted"]! != content.Lines)
        {
            throw new InvalidOperationException($"{content.Lines} items were sent, and the reply is {reply.ToJsonString()}");
        }
    }

    /// <summary>Sends events that must all be accepted.</summary>
    public async Task TellAsync(Uri host, string json, CancellationToken cancellation)
    {
        using var content = new StringContent(json, Encoding.UTF8, "application/json");
        var reply = await SendAsync(HttpMethod.Post, new Uri(host, "/v1/events"), content, cancellation);
        if ((long)reply["rejected_count"]! != 0)
        {
            throw new InvalidOperationException($"Events were rejected: {reply.ToJsonString()}");
        }
    }

    /// <summary>What a cluster says of its silos.</summary>
    public async Task<JsonArray> SilosAsync(Uri host, CancellationToken cancellation) =>
        (await SendAsync(HttpMethod.Get, new Uri(host, "/v1/cluster"), null, cancellation))["silos"]!.AsArray();

    /// <summary>How many items are stored: wakes all shards.</summary>
    public async Task<long> StoredItemsAsync(Uri host, CancellationToken cancellation) =>
        (long)(await SendAsync(HttpMethod.Get, new Uri(host, "/v1/cluster?items=true"), null, cancellation))["items"]!["count"]!;

    /// <summary>What a host knows of a user.</summary>
    public Task<JsonNode> UserAsync(Uri host, string user, CancellationToken cancellation) => SendAsync(HttpMethod.Get, new Uri(host, $"/v1/users/{user}"), null, cancellation);

    public void Dispose() => _client.Dispose();

    private async Task<JsonNode> SendAsync(HttpMethod method, Uri address, HttpContent? content, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(method, address) { Content = content };
        using var response = await _client.SendAsync(request, cancellation);
        var text = await response.Content.ReadAsStringAsync(cancellation);
        return response.IsSuccessStatusCode
            ? JsonNode.Parse(text)!
            : throw new InvalidOperationException($"{method} {address.AbsolutePath}: {(int)response.StatusCode} {text[..Math.Min(500, text.Length)]}");
    }

    /// <summary>Lines that are made while they are sent.</summary>
    private sealed class ItemLines : HttpContent
    {
        private readonly SyntheticItems _items;
        private readonly IEnumerable<long> _numbers;
        private readonly Action<int> _told;

        public ItemLines(SyntheticItems items, IEnumerable<long> numbers, Action<int> told)
        {
            (_items, _numbers, _told) = (items, numbers, told);
            Headers.ContentType = new MediaTypeHeaderValue("application/x-ndjson");
        }

        public long Lines { get; private set; }

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            var lines = new ArrayBufferWriter<byte>();
            foreach (var page in _numbers.Chunk(LinesAtOnce))
            {
                lines.ResetWrittenCount();
                foreach (var number in page)
                {
                    _items.WriteLine(number, lines);
                }

                await stream.WriteAsync(lines.WrittenMemory);
                Lines += page.Length;
                _told(page.Length);
            }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
