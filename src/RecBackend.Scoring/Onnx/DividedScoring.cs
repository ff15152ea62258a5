using RecBackend.Core.Models;

namespace RecBackend.Scoring.Onnx;

/// <summary>
/// A ranking that is scored in parts, by its caller and by threads of the pool that help. Whoever is free takes the next part, so that a helper that comes late holds nobody up, and whoever ends the last
/// one completes the ranking.
/// </summary>
internal sealed class DividedScoring(OnnxModel model, UserEncoding user, float[] rows, int count, float[] context, float[] scores, int parts) : IThreadPoolWorkItem
{
    // Continues on the thread that ends the last part: it has nothing else to do.
    private readonly TaskCompletionSource _ended = new();
    private Exception? _failure;
    private int _taken;
    private int _done;

    /// <summary>Scores all parts; the first of them on the calling thread.</summary>
    public Task RunAsync()
    {
        for (var helper = 1; helper < parts; helper++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        Help();
        return _ended.Task;
    }

    void IThreadPoolWorkItem.Execute() => Help();

    private void Help()
    {
        for (int part; (part = Interlocked.Increment(ref _taken) - 1) < parts;)
        {
            try
            {
                var (begin, end) = ((int)((long)count * part / parts), (int)((long)count * (part + 1) / parts));
                model.Score(user, rows, begin, end - begin, context, scores);
            }
            catch (Exception error)
            {
                // The others may still be at their parts, in the caller's buffers: it is told when they are done.
                Interlocked.CompareExchange(ref _failure, error, null);
            }

            if (Interlocked.Increment(ref _done) == parts)
            {
                Complete();
            }
        }
    }

    private void Complete()
    {
        if (_failure is null)
        {
            _ended.SetResult();
        }
        else
        {
            _ended.SetException(_failure);
        }
    }
}
