using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Items;
using Xunit.Abstractions;

namespace RecBackend.Cluster.Tests.Items;

/// <summary>
/// A shard beside a model of it: writes of many callers at once, several of them to one item, storage that fails or loses its answer, merges, restarts at any moment with the one before still at work, and
/// listeners that take their time.
/// </summary>
public sealed class ItemShardModelTests(ITestOutputHelper output)
{
    private readonly ShardStore _store = new();
    private readonly Dictionary<string, Modelled> _model = [];
    private readonly Dictionary<string, long> _told = [];
    private readonly Dictionary<string, long> _heard = [];
    private readonly Guid _incarnation = Incarnation.New(TimeProvider.System);
    private readonly SemaphoreSlim _opening = new(1);
    private Random _random = null!;
    private ItemShard _shard = null!;
    private int _batch;
    private bool _fell;

    [Fact]
    public Task Shard_equals_a_model_under_random_writes_faults_merges_and_restarts() => GrainTurns.RunAsync(async () =>
    {
        var seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        _random = new Random(seed);
        _shard = await OpenAsync();
        _store.Storage.FailsToDelete = _ => _random.Next(20) == 0;
        for (var step = 1; step <= 2_000; step++)
        {
            var faulty = _random.Next(2) == 0;
            _store.Storage.Fault = _ => faulty && _random.Next(100) is var fault and < 2 ? (WriteFault)(fault + 1) : WriteFault.None;
            _store.Clock.Advance(TimeSpan.FromMinutes(1));
            var items = Enumerable.Range(0, 40).OrderBy(_ => _random.Next()).Take(_random.Next(1, 6));
            var callers = items.Select(item => CallAsync(Writes($"i{item}", step, faulty))).ToList();
            if (_random.Next(50) == 0)
            {
                await ReplaceAsync(_shard);
            }

            await Task.WhenAll(callers);
            if (_random.Next(100) == 0)
            {
                await ReplaceAsync(_shard);
                await AssertModelAsync();
            }
        }

        _store.Storage.Fault = _ => WriteFault.None;
        _store.Storage.FailsToDelete = _ => false;
        await ReplaceAsync(_shard);
        await AssertModelAsync();
        await AssertNothingIsLeftBehindAsync();
        await AssertModelAsync();
    });

    /// <summary>A few writes to one item that are sent together. None of them deletes and another counts where an answer may be lost: who sends both again deletes what was counted.</summary>
    private List<Write> Writes(string id, int step, bool faulty)
    {
        var writes = new List<Write>();
        for (var left = _random.Next(1, 5); left > 0; left--)
        {
            var value = (10 * step) + left;
            writes.Add((_random.Next(5), faulty) switch
            {
                (0 or 1, _) => Upsert(id, value),
                (2, _) => Set(id, value),
                (3, false) => Delete(id),
                (3, true) when writes.Count == 0 && left == 1 => Delete(id),
                _ => Count(id, value),
            });
        }

        return writes;
    }

    private Write Upsert(string id, int value) => new(
        async shard =>
        {
            var version = (await shard.UpsertAsync([ShardStore.Upsert(id, $"t{value}", value)]))[0];
            Assert.True(_heard[id] >= version, "answered before it was told");
        },
        () => _model[id] = new($"t{value}", value, _model.GetValueOrDefault(id)?.Counters ?? ItemCounters.None));

    private Write Set(string id, int value) => new(
        shard => shard.SetRepresentationsAsync([new(id, new("b1", [value], RepresentationSource.Computed), null)]),
        () =>
        {
            if (_model.TryGetValue(id, out var before))
            {
                _model[id] = before with { Value = value };
            }
        });

    private Write Count(string id, int value)
    {
        var batch = new CountBatch(_incarnation, ++_batch);
        return new(
            async shard =>
            {
                // Alone, as batches of one incarnation would have to come in order; and twice, as after a timeout.
                var part = new UserOfBatch(batch, "u", value);
                await Task.WhenAll(shard.CountAloneAsync(part, [new(id, 1, 2, value)]), shard.CountAloneAsync(part, [new(id, 1, 2, value)]));
            },
            () =>
            {
                if (_model.TryGetValue(id, out var before))
                {
                    _model[id] = before with { Counters = before.Counters.Plus(new(1, 2, value)) };
                }
            });
    }

    private Write Delete(string id) => new(shard => shard.DeleteAsync([id]), () => _model.Remove(id));

    /// <summary>Sends the writes, all at once, and what fails again in the same order.</summary>
    private async Task CallAsync(List<Write> writes)
    {
        while (writes.Count > 0)
        {
            var shard = _shard;
            var sent = writes.ConvertAll(write => write.SendAsync(shard));
            foreach (var call in sent)
            {
                try
                {
                    await call;
                    writes[0].Apply();
                    writes.RemoveAt(0);
                }
                catch (StorageException)
                {
                    // As the grain does: the next activation reads what is true. Whatever was sent after it fails as well.
                    await Assert.ThrowsAsync<StorageException>(() => Task.WhenAll(sent.Skip(sent.IndexOf(call))));
                    Assert.All(sent.Skip(sent.IndexOf(call)), later => Assert.True(later.IsFaulted));
                    await ReplaceAsync(shard);
                    break;
                }
            }
        }
    }

    /// <summary>Another activation takes over. The one before still runs, and does not know.</summary>
    private async Task ReplaceAsync(ItemShard shard)
    {
        await _opening.WaitAsync();
        if (ReferenceEquals(_shard, shard))
        {
            _shard = await OpenAsync();
        }

        _opening.Release();
    }

    /// <summary>An activation that cannot take the shard over ends, and the next call makes another one.</summary>
    private async Task<ItemShard> OpenAsync()
    {
        for (var tries = 1; ; tries++)
        {
            try
            {
                return await _store.OpenAsync(HearAsync);
            }
            catch (StorageException error) when (error.Code == StorageException.Unavailable && tries < 20)
            {
                // The storage failed when the log was claimed.
            }
        }
    }

    private async Task HearAsync(IReadOnlyList<ItemChange> changes)
    {
        foreach (var change in changes)
        {
            // Noted, as a shard takes no notice of what a listener throws.
            _fell |= change.Version <= _told.GetValueOrDefault(change.Id);
            _told[change.Id] = change.Version;
        }

        for (var wait = _random.Next(3); wait > 0; wait--)
        {
            await Task.Yield();
        }

        foreach (var change in changes)
        {
            _heard[change.Id] = Math.Max(change.Version, _heard.GetValueOrDefault(change.Id));
        }
    }

    private async Task AssertModelAsync()
    {
        Assert.False(_fell, "the version of an item did not rise");
        var index = _shard.Index;
        Assert.Equal(_model.Keys.Order(), index.Items.Keys.Order());
        Assert.Equal(_model.Count, index.Digests.Sum(digest => digest.Count));
        Assert.Equal(_model.Keys.Order(), Enumerable.Range(0, index.Digests.Count).SelectMany(index.VersionsOf).Select(item => item.Key).Order());
        foreach (var (id, expected) in _model)
        {
            var record = (await _shard.ReadAsync(id))!.Record;
            Assert.Equal(expected, new(record.Content.Title!, record.RepresentationFor("b1")!.Values[0], record.Counters));
            Assert.True(record.Version >= _told[id]);
        }
    }

    /// <summary>Writes for some hours: then there is no blob but those that the manifest names, and the log after it.</summary>
    private async Task AssertNothingIsLeftBehindAsync()
    {
        for (var i = 0; i < 300; i++)
        {
            _store.Clock.Advance(TimeSpan.FromMinutes(1));
            await CallAsync([Upsert("last", i)]);
            await _shard.Merging;
        }

        var manifest = await _store.ManifestAsync();
        var named = new HashSet<string> { "items-itemshard/0", "items-itemshard/1" };
        named.UnionWith(manifest.Segments.Select(segment => $"items-itemmerged/1-{-segment.Number}"));
        named.UnionWith(manifest.Index.Select(page => $"items-itemmerged/1-{-page}"));
        foreach (var retired in manifest.Retired)
        {
            named.UnionWith(Enumerable.Range(0, 1 + retired.More).Select(more => retired.Segment < 0 ? $"items-itemmerged/1-{-retired.Segment}" : $"items-itemlog/1-{retired.Segment + more}"));
        }

        for (var log = manifest.Tail; _store.Storage.Names.Contains($"items-itemlog/1-{log}"); log++)
        {
            named.Add($"items-itemlog/1-{log}");
        }

        Assert.Empty(_store.Storage.Names.Except(named));
        Assert.InRange(named.Count, 1, 400);
    }

    private sealed record Modelled(string Title, float Value, ItemCounters Counters);

    private sealed record Write(Func<ItemShard, Task> SendAsync, Action Apply);
}
