using System.Buffers;
using System.Net;
using System.Text.Json;
using RecBackend.Bench.Processes;
using RecBackend.Core.Users;

namespace RecBackend.Bench.Ingest;

/// <summary>Where one writer sends its events.</summary>
internal interface IEventSink : IDisposable
{
    /// <summary>Sends; returns when they are durable, throws unless each was accepted.</summary>
    Task SendAsync(IReadOnlyList<InteractionEvent> events);
}

/// <summary>The engine in this process.</summary>
internal sealed class EngineSink(IUserDirectory users) : IEventSink
{
    public async Task SendAsync(IReadOnlyList<InteractionEvent> events)
    {
        var receipt = await users.AppendAsync(events, CancellationToken.None);
        if (receipt.Accepted != events.Count)
        {
            throw new InvalidOperationException($"{receipt.Accepted} of {events.Count} events were accepted; the refusals: {string.Join(", ", receipt.Rejected)}");
        }
    }

    public void Dispose()
    {
    }
}

/// <summary>A server, over one connection of the writer's own.</summary>
internal sealed class HttpSink(IPEndPoint endpoint) : IEventSink
{
    private readonly KeepAliveConnection _connection = new(endpoint);
    private readonly ArrayBufferWriter<byte> _body = new();

    public Task SendAsync(IReadOnlyList<InteractionEvent> events)
    {
        _body.Clear();
        using (var json = new Utf8JsonWriter(_body))
        {
            json.WriteStartArray();
            foreach (var interaction in events)
            {
                json.WriteStartObject();
                json.WriteString("event_id", interaction.EventId);
                json.WriteString("type", interaction.Type);
                json.WriteString("user", interaction.User);
                json.WriteString("item", interaction.Item);
                json.WriteNumber("timestamp", interaction.Timestamp / 1000.0);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        var status = _connection.Exchange(KeepAliveConnection.Post(endpoint, "/v1/events", _body.WrittenSpan));
        var reply = System.Text.Encoding.UTF8.GetString(_connection.Body);

        // A cluster that tried again inside, after a silo was slow, finds what its first try stored: a duplicate is as durable.
        return status == 200 && reply.Contains("\"rejected_count\":0", StringComparison.Ordinal)
            ? Task.CompletedTask
            : throw new InvalidOperationException($"{events.Count} events were sent; status {status}: {reply[..Math.Min(500, reply.Length)]}");
    }

    public void Dispose() => _connection.Dispose();
}
