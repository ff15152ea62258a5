using System.Globalization;
using RecBackend.Core.Items;
using RecBackend.Core.Users;

namespace RecBackend.Bench.Ingest;

/// <summary>Endless events with IDs of their own, from random users about random items; every third is a click. One for each writer.</summary>
internal sealed class EventStream(IReadOnlyList<ItemWrite> items, string name, int seed)
{
    private const int Users = 10_000;

    private readonly Random _random = new(seed);
    private long _count;

    public InteractionEvent Next()
    {
        var number = _count++;
        return new InteractionEvent(
            string.Create(CultureInfo.InvariantCulture, $"{name}-{number}"),
            number % 3 == 0 ? InteractionEvent.Click : InteractionEvent.Impression,
            string.Create(CultureInfo.InvariantCulture, $"bench-{_random.Next(Users)}"),
            items[_random.Next(items.Count)].Id,
            DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(),
            RequestId: null);
    }
}
