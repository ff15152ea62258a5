using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Onnx;

/// <summary>A loaded bundle: three ONNX Runtime sessions and two ID tables. Made by <see cref="BundleLoader"/>, which has checked it in full.</summary>
internal sealed class OnnxModel : IModel
{
    /// <summary>How long a batch of items waits for a moment in which no ranking does. A host that is never without such rankings still encodes ten batches a second.</summary>
    internal static readonly TimeSpan LongestYield = TimeSpan.FromMilliseconds(100);

    private readonly ScoringRuntime _runtime;
    private readonly Graph _itemEncoder;
    private readonly Graph _userEncoder;
    private readonly Graph _ranker;
    private readonly IdTable _items;
    private readonly IdTable _users;
    private readonly ItemReader _reader;
    private readonly ConcurrentQueue<ItemBatch> _batches = new();
    private readonly ConcurrentQueue<RankBatch> _rankBatches = new();
    private readonly RankBatcher? _batcher;
    private readonly UseCount _uses = new();

    public OnnxModel(ModelLayout layout, ScoringRuntime runtime, Graph itemEncoder, Graph userEncoder, Graph ranker, IdTable items, IdTable users, ItemReader reader)
    {
        Layout = layout;
        _runtime = runtime;
        _itemEncoder = itemEncoder;
        _userEncoder = userEncoder;
        _ranker = ranker;
        _items = items;
        _users = users;
        _reader = reader;
        var options = runtime.Options;
        if (options.EffectiveBatch > 1 && ranker.TakesBatches)
        {
            var rules = new BatchingRules(
                options.EffectiveBatch, options.MaxBatchCandidates, TimeSpan.FromMicroseconds(options.BatchDelayMicroseconds), options.EffectiveConcurrency, options.QueueLength);
            _batcher = new RankBatcher(rules, RunBatch, runtime.RankGate, runtime.Clock, runtime.Metrics);
        }
    }

    public ModelLayout Layout { get; }

    public bool TryGetItemEmbedding(ReadOnlySpan<byte> id, Span<float> destination) => _items.TryGet(id, destination);

    public bool TryGetUserEmbedding(string id, Span<float> destination) => _users.TryGet(id, destination);

    public ValueTask<ContentProblem?> CheckAsync(ItemContent content, CancellationToken cancellation) =>
        _reader.CheckAsync(content, _runtime.DecodeGate, cancellation);

    public async ValueTask EncodeItemsAsync(IReadOnlyList<ItemContent> items, Memory<float> representations, EncodingUrgency urgency, CancellationToken cancellation)
    {
        if (representations.Length != items.Count * Layout.Representation)
        {
            throw new ArgumentException($"{items.Count} representations take {items.Count * Layout.Representation} floats, not {representations.Length}.", nameof(representations));
        }

        _uses.Enter(this);
        try
        {
            for (var begin = 0; begin < items.Count; begin += _runtime.Options.EncodingBatch)
            {
                // Between two batches the place is free for another caller: a bulk load and a single item take turns.
                await _runtime.EncodeGate.EnterAsync(Deadline.None, cancellation, behind: urgency == EncodingUrgency.Warm);
                try
                {
                    // A batch holds a processor for some milliseconds, so rankings that wait go before it; never for good, though.
                    await _runtime.QuietAsync(LongestYield, cancellation);
                    EncodeBatch(items, begin, representations.Span);
                }
                finally
                {
                    _runtime.EncodeGate.Leave();
                }
            }
        }
        finally
        {
            _uses.Leave();
        }
    }

    public async ValueTask<UserEncoding> EncodeUserAsync(UserFeatures features, long userVersion, CancellationToken cancellation)
    {
        _uses.Enter(this);
        try
        {
            await _runtime.RankGate.EnterAsync(Deadline.None, cancellation);
            try
            {
                return EncodeUser(features, userVersion);
            }
            finally
            {
                _runtime.RankGate.Leave();
            }
        }
        finally
        {
            _uses.Leave();
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<TimeSpan> ScoreAsync(
        UserEncoding user, float[] rows, int count, float[] context, float[] scores, Deadline deadline, CancellationToken cancellation)
    {
        CheckSizes(user, rows, count, context, scores);
        _uses.Enter(this);
        try
        {
            if (_batcher is not null)
            {
                return await _batcher.ScoreAsync(new QueuedRanking(user, rows, count, context, scores, deadline), cancellation);
            }

            await _runtime.RankGate.EnterAsync(deadline, cancellation);
            var begin = _runtime.Clock.GetTimestamp();
            TimeSpan? ran = null;
            try
            {
                Score(user, rows, count, context, scores);
                ran = _runtime.Clock.GetElapsedTime(begin);
                return ran.Value;
            }
            finally
            {
                _runtime.RankGate.Leave(ran);
            }
        }
        finally
        {
            _uses.Leave();
        }
    }

    private void RunBatch(IReadOnlyList<QueuedRanking> rankings, int candidates)
    {
        var batch = _rankBatches.TryDequeue(out var rested) ? rested : new RankBatch(Layout);
        batch.Run(_ranker, rankings, candidates);
        _rankBatches.Enqueue(batch);
    }

    /// <summary>Waits for the runs that go on, and lets no other begin.</summary>
    public async ValueTask DisposeAsync()
    {
        if (await _uses.EndAsync())
        {
            _itemEncoder.Dispose();
            _userEncoder.Dispose();
            _ranker.Dispose();
        }
    }

    /// <summary>Native code reads these buffers: a short one must not get that far.</summary>
    private void CheckSizes(UserEncoding user, float[] rows, int count, float[] context, float[] scores)
    {
        if (user.Bundle != Layout.Version)
        {
            throw new ArgumentException($"The user was encoded by bundle {user.Bundle}, not by {Layout.Version}.", nameof(user));
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(rows.Length, (long)count * Layout.Row, nameof(rows));
        ArgumentOutOfRangeException.ThrowIfLessThan(context.Length, Layout.Context.Count, nameof(context));
        ArgumentOutOfRangeException.ThrowIfLessThan(scores.Length, count, nameof(scores));
    }

    private unsafe void Score(UserEncoding user, float[] rows, int count, float[] context, float[] scores)
    {
        // The arrays are pinned already by contract; `fixed` then costs nothing, and keeps a caller's slip from corrupting memory.
        fixed (float* userState = user.UserState, historyState = user.HistoryState, item = rows, contextValues = context, score = scores)
        {
            var run = _ranker.Rent(batch: 1, candidates: count);
            try
            {
                run.Input(0, userState, user.UserState.Length);
                run.Input(1, historyState, user.HistoryState.Length);
                run.Input(2, item, rows.Length);
                if (Layout.Context.Count > 0)
                {
                    run.Input(3, contextValues, context.Length);
                }

                run.Output(0, score, scores.Length);
                _ranker.Run(run);
            }
            finally
            {
                _ranker.Return(run);
            }
        }
    }

    private unsafe UserEncoding EncodeUser(UserFeatures features, long userVersion)
    {
        var userState = GC.AllocateUninitializedArray<float>(Layout.UserState, pinned: true);
        var historyState = GC.AllocateUninitializedArray<float>(Layout.History * Layout.HistoryState, pinned: true);
        fixed (float* embedding = features.UserEmbedding, statistics = features.UserStatistics, history = features.History)
        fixed (float* intervals = features.Intervals, mask = features.Mask, user = userState, states = historyState)
        fixed (long* profile = features.Profile, actions = features.Actions)
        {
            var run = _userEncoder.Rent(batch: 1);
            try
            {
                var place = 0;
                run.Input(place++, embedding, features.UserEmbedding.Length);
                if (Layout.Profile.Count > 0)
                {
                    run.Input(place++, profile, features.Profile.Length);
                }

                if (Layout.UserStatistics.Count > 0)
                {
                    run.Input(place++, statistics, features.UserStatistics.Length);
                }

                run.Input(place++, history, features.History.Length);
                run.Input(place++, actions, features.Actions.Length);
                run.Input(place++, intervals, features.Intervals.Length);
                run.Input(place, mask, features.Mask.Length);
                run.Output(0, user, userState.Length);
                run.Output(1, states, historyState.Length);
                _userEncoder.Run(run);
            }
            finally
            {
                _userEncoder.Return(run);
            }
        }

        return new UserEncoding(Layout.Version, userVersion, userState, historyState);
    }

    private void EncodeBatch(IReadOnlyList<ItemContent> items, int begin, Span<float> representations)
    {
        var count = Math.Min(_runtime.Options.EncodingBatch, items.Count - begin);
        var batch = RentBatch(count);
        try
        {
            for (var row = 0; row < count; row++)
            {
                batch.Fill(row, items[begin + row]);
            }

            var run = _itemEncoder.Rent(count);
            try
            {
                batch.Bind(run);
                _itemEncoder.Run(run);
            }
            finally
            {
                _itemEncoder.Return(run);
            }

            batch.Representations[..(count * Layout.Representation)].CopyTo(representations[(begin * Layout.Representation)..]);
        }
        finally
        {
            _batches.Enqueue(batch);
        }
    }

    private ItemBatch RentBatch(int count)
    {
        if (_batches.TryDequeue(out var batch) && batch.Capacity >= count)
        {
            return batch;
        }

        return new ItemBatch(_reader, Layout.Representation, count == 1 ? 1 : _runtime.Options.EncodingBatch);
    }
}
