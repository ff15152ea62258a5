using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace RecBackend.Client;

/// <summary>
/// A typed client of the HTTP API. Thread-safe; one for the life of the program. Every call throws <see cref="ProblemException"/> if the server refuses it and
/// <see cref="HttpRequestException"/> if it cannot be reached.
/// </summary>
public sealed class RecBackendClient : IDisposable
{
    private static readonly MediaTypeHeaderValue ApplicationJson = new("application/json");
    private static readonly MediaTypeHeaderValue Ndjson = new("application/x-ndjson");
    private static readonly byte[] NewLine = [(byte)'\n'];

    private readonly HttpClient _http;

    /// <summary>Makes a client.</summary>
    /// <param name="http">Sends the requests; its base address is the server's or the gateway's. The client disposes it.</param>
    /// <param name="key">An API key, or null where none is needed.</param>
    public RecBackendClient(HttpClient http, string? key = null)
    {
        _http = http;
        if (key is not null)
        {
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        }
    }

    /// <summary>Makes a client for the server or gateway at <paramref name="address"/>.</summary>
    public RecBackendClient(Uri address, string? key = null)
        : this(new HttpClient(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.FromMinutes(5) }) { BaseAddress = address }, key)
    {
    }

    /// <summary>Ranks candidates for a user.</summary>
    public async Task<Ranking> RankAsync(RankRequest request, CancellationToken cancellation = default)
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, "v1/rank") { Content = Json(request, ClientJson.Default.RankRequest) };
        if (request.Timeout is { } timeout)
        {
            message.Headers.Add("Request-Timeout-Ms", ((long)timeout.TotalMilliseconds).ToString(CultureInfo.InvariantCulture));
        }

        using var response = await SendCheckedAsync(message, cancellation);
        return await ReadAsync(response, ClientJson.Default.Ranking, cancellation);
    }

    /// <summary>Tells events, in order. Events that the server rejects are in the receipt; the others are durable when the call returns.</summary>
    public Task<BatchReceipt> SendEventsAsync(IReadOnlyList<InteractionEvent> events, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Post, "v1/events", Json(events, ClientJson.Default.IReadOnlyListInteractionEvent), ClientJson.Default.BatchReceipt, cancellation);

    /// <summary>Inserts or replaces an item.</summary>
    public Task PutItemAsync(Item item, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Put, $"v1/items/{Uri.EscapeDataString(item.Id)}", Json(item, ClientJson.Default.Item), cancellation);

    /// <summary>Inserts or replaces many items in one request.</summary>
    public Task<BatchReceipt> PutItemsAsync(IReadOnlyList<Item> items, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Post, "v1/items/batch", Lines(items, ClientJson.Default.Item), ClientJson.Default.BatchReceipt, cancellation);

    /// <summary>An item as the server keeps it; null if there is none.</summary>
    public Task<ItemState?> GetItemAsync(string id, CancellationToken cancellation = default) =>
        GetOrNullAsync($"v1/items/{Uri.EscapeDataString(id)}", "item_unknown", ClientJson.Default.ItemState, cancellation);

    /// <summary>Sets an item's representation from outside.</summary>
    public Task SetRepresentationAsync(string id, ExternalRepresentation representation, CancellationToken cancellation = default) =>
        SendAsync(
            HttpMethod.Put, $"v1/items/{Uri.EscapeDataString(id)}/embedding", Json(representation, ClientJson.Default.ExternalRepresentation), cancellation);

    /// <summary>Starts to compute representations again: of <paramref name="items"/>, or of all items that lack one.</summary>
    public Task<Job> WarmAsync(IReadOnlyList<string>? items = null, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Post, "v1/warm", Json(new WarmRequest(items), ClientJson.Default.WarmRequest), ClientJson.Default.Job, cancellation);

    /// <summary>Deletes an item.</summary>
    public Task DeleteItemAsync(string id, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Delete, $"v1/items/{Uri.EscapeDataString(id)}", null, cancellation);

    /// <summary>Replaces a user's attributes.</summary>
    public Task PutUserAsync(UserProfile user, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Put, $"v1/users/{Uri.EscapeDataString(user.Id)}", Json(user, ClientJson.Default.UserProfile), cancellation);

    /// <summary>Replaces the attributes of many users in one request.</summary>
    public Task<BatchReceipt> PutUsersAsync(IReadOnlyList<UserProfile> users, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Post, "v1/users/batch", Lines(users, ClientJson.Default.UserProfile), ClientJson.Default.BatchReceipt, cancellation);

    /// <summary>What the server keeps of a user; null if nothing.</summary>
    public Task<UserState?> GetUserAsync(string id, CancellationToken cancellation = default) =>
        GetOrNullAsync($"v1/users/{Uri.EscapeDataString(id)}", "user_unknown", ClientJson.Default.UserState, cancellation);

    /// <summary>Forgets a user.</summary>
    public Task DeleteUserAsync(string id, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Delete, $"v1/users/{Uri.EscapeDataString(id)}", null, cancellation);

    /// <summary>The server's model bundles.</summary>
    public Task<ModelList> ListModelsAsync(CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Get, "v1/models", null, ClientJson.Default.ModelList, cancellation);

    /// <summary>Uploads a bundle. The server stores it and does not activate it.</summary>
    /// <param name="zip">A zip of the bundle's files.</param>
    /// <param name="cancellation">Stops the upload.</param>
    public Task<ModelSummary> PushModelAsync(Stream zip, CancellationToken cancellation = default)
    {
        var content = new StreamContent(zip);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/zip");
        return SendAsync(HttpMethod.Post, "v1/models", content, ClientJson.Default.ModelSummary, cancellation);
    }

    /// <summary>Starts to activate a stored bundle: every item is encoded with it before it ranks.</summary>
    public Task<Job> ActivateModelAsync(string version, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Post, $"v1/models/{Uri.EscapeDataString(version)}/activate", null, ClientJson.Default.Job, cancellation);

    /// <summary>Starts to return to the bundle that was active before <paramref name="version"/>.</summary>
    public Task<Job> RollBackModelAsync(string version, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Post, $"v1/models/{Uri.EscapeDataString(version)}/rollback", null, ClientJson.Default.Job, cancellation);

    /// <summary>How far a job is.</summary>
    public Task<Job> GetJobAsync(string id, CancellationToken cancellation = default) =>
        SendAsync(HttpMethod.Get, $"v1/jobs/{Uri.EscapeDataString(id)}", null, ClientJson.Default.Job, cancellation);

    /// <summary>Whether the server runs, whatever it has loaded.</summary>
    public Task<bool> IsLiveAsync(CancellationToken cancellation = default) => IsHealthyAsync("healthz/live", cancellation);

    /// <summary>Whether the server ranks with a model.</summary>
    public Task<bool> IsReadyAsync(CancellationToken cancellation = default) => IsHealthyAsync("healthz/ready", cancellation);

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    // Serialized at once, so that the request has a length: a chunked one costs the server another read.
    private static ByteArrayContent Json<T>(T value, JsonTypeInfo<T> type)
    {
        var content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(value, type));
        content.Headers.ContentType = ApplicationJson;
        return content;
    }

    private static ByteArrayContent Lines<T>(IReadOnlyList<T> values, JsonTypeInfo<T> type)
    {
        using var lines = new MemoryStream();
        foreach (var value in values)
        {
            JsonSerializer.Serialize(lines, value, type);
            lines.Write(NewLine);
        }

        var content = new ByteArrayContent(lines.GetBuffer(), 0, (int)lines.Length);
        content.Headers.ContentType = Ndjson;
        return content;
    }

    private async Task<T> SendAsync<T>(HttpMethod method, string path, HttpContent? content, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        using var response = await SendCheckedAsync(request, cancellation);
        return await ReadAsync(response, type, cancellation);
    }

    private async Task<T?> GetOrNullAsync<T>(string path, string unknown, JsonTypeInfo<T> type, CancellationToken cancellation)
        where T : class
    {
        try
        {
            return await SendAsync(HttpMethod.Get, path, null, type, cancellation);
        }
        catch (ProblemException problem) when (problem.Code == unknown)
        {
            return null;
        }
    }

    private async Task SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        using var response = await SendCheckedAsync(request, cancellation);
    }

    private static async Task<T> ReadAsync<T>(HttpResponseMessage response, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        await response.Content.ReadFromJsonAsync(type, cancellation)
        ?? throw new JsonException($"{response.RequestMessage?.RequestUri} answered null.");

    private async Task<HttpResponseMessage> SendCheckedAsync(HttpRequestMessage request, CancellationToken cancellation)
    {
        var response = await _http.SendAsync(request, cancellation);
        if (response.IsSuccessStatusCode)
        {
            return response;
        }

        using (response)
        {
            throw await ReadProblemAsync(response, cancellation);
        }
    }

    private static async Task<ProblemException> ReadProblemAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        ProblemDetails? details = null;
        if (response.Content.Headers.ContentType?.MediaType == "application/problem+json")
        {
            try
            {
                details = await response.Content.ReadFromJsonAsync(ClientJson.Default.ProblemDetails, cancellation);
            }
            catch (JsonException)
            {
                // Something in between cut the answer short: the status alone must do.
            }
        }

        return new ProblemException(response.StatusCode, details?.Code, details?.Title ?? response.ReasonPhrase, details?.Detail, details?.Place);
    }

    private async Task<bool> IsHealthyAsync(string path, CancellationToken cancellation)
    {
        try
        {
            using var response = await _http.GetAsync(path, cancellation);
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }
}
