using Microsoft.AspNetCore.Http;
using RecBackend.Core;
using RecBackend.Core.Models;
using RecBackend.Core.Users;
using RecBackend.Http.Metrics;
using RecBackend.Http.Problems;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Events;

/// <summary><c>POST /v1/events</c>.</summary>
internal sealed class EventsEndpoint(IUserDirectory users, ModelDirectory models, HttpLimits limits, HttpMetrics metrics, TimeProvider clock)
{
    // Before the first bundle there is nobody to say what else an action is.
    private static readonly string[] ActionsWithoutModel = [InteractionEvent.Click];

    private volatile Validation? _validation;

    public async Task AppendAsync(HttpContext context)
    {
        var validator = Validator();
        var batch = new BatchReader<EventBody>(context, WireJson.Default.EventBody, limits, (chunk, cancellation) => AppendAsync(chunk, validator, cancellation));
        await JsonBody.WriteAsync(context, await batch.RunAsync(), WireJson.Default.BatchReply);
    }

    private async ValueTask<EventReceipt> AppendAsync(Chunk<EventBody> chunk, EventValidator validator, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var (valid, places, rejected) = (new List<InteractionEvent>(chunk.Entries.Count), new List<int>(chunk.Entries.Count), new List<RejectedEntry>());
        for (var i = 0; i < chunk.Entries.Count; i++)
        {
            var interaction = chunk.Entries[i].ToEvent(now);
            if ((validator.Check(interaction, i) ?? CheckRequestId(interaction, i)) is { } refusal)
            {
                rejected.Add(refusal);
            }
            else
            {
                valid.Add(interaction);
                places.Add(i);
            }
        }

        var receipt = valid.Count > 0 ? await users.AppendAsync(valid, cancellation) : new EventReceipt(0, 0, []);
        rejected.AddRange(receipt.Rejected.Select(entry => entry with { Index = places[entry.Index] }));
        rejected.Sort((a, b) => a.Index.CompareTo(b.Index));
        metrics.Told(receipt.Accepted, receipt.Duplicates, rejected.Count);
        return receipt with { Rejected = rejected };
    }

    private static RejectedEntry? CheckRequestId(InteractionEvent interaction, int index) =>
        interaction.RequestId is null || EntityId.IsValid(interaction.RequestId)
            ? null
            : new(index, ProblemCode.IdInvalid.Code, "A request_id is that of a ranking: 1 to 128 bytes of UTF-8 without control characters.");

    private EventValidator Validator()
    {
        using var lease = models.Lease();
        var layout = lease.Serving?.Layout;
        if (_validation is { } known && ReferenceEquals(known.Layout, layout))
        {
            return known.Validator;
        }

        var validator = new EventValidator(layout?.Actions ?? ActionsWithoutModel, clock);
        _validation = new Validation(layout, validator);
        return validator;
    }

    private sealed record Validation(ModelLayout? Layout, EventValidator Validator);
}
