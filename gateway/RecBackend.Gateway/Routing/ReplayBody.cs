using System.Buffers;

namespace RecBackend.Gateway.Routing;

/// <summary>A request's body that keeps what was read of it, so that it can be read from its beginning again. What is longer than a limit is read all the same, but once.</summary>
/// <param name="body">The body, of which nothing was read.</param>
/// <param name="expected">Bytes that it should have, or 0 if that is not known.</param>
/// <param name="limit">Bytes that are kept at most.</param>
internal sealed class ReplayBody(Stream body, int expected, int limit) : Stream
{
    private byte[]? _kept = ArrayPool<byte>.Shared.Rent(expected);
    private int _length;
    private int _position;

    /// <summary>Whether all that was read so far can be read again.</summary>
    public bool IsWhole => _kept is not null;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Goes back to the beginning. What was not read yet follows what was.</summary>
    /// <exception cref="InvalidOperationException">It is no longer whole, and something was read.</exception>
    public void Rewind()
    {
        if (!IsWhole && _length > 0)
        {
            throw new InvalidOperationException("The body was too long to be kept.");
        }

        _position = 0;
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_position < _length && _kept is { } kept)
        {
            var again = Math.Min(buffer.Length, _length - _position);
            kept.AsSpan(_position, again).CopyTo(buffer.Span);
            _position += again;
            return again;
        }

        var read = await body.ReadAsync(buffer, cancellationToken);
        Keep(buffer.Span[..read]);
        return read;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("A request's body is read asynchronously.");

    public override void Flush() => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        Drop();
        base.Dispose(disposing);
    }

    private void Keep(ReadOnlySpan<byte> read)
    {
        if (_kept is null)
        {
            return;
        }

        if (_length + read.Length > limit)
        {
            Drop();
        }
        else
        {
            if (_length + read.Length > _kept.Length)
            {
                Grow(_length + read.Length);
            }

            read.CopyTo(_kept.AsSpan(_length));
        }

        _length += read.Length;
        _position = _length;
    }

    private void Grow(int needed)
    {
        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(needed, 2 * _length));
        _kept.AsSpan(0, _length).CopyTo(larger);
        Drop();
        _kept = larger;
    }

    private void Drop()
    {
        if (Interlocked.Exchange(ref _kept, null) is { } kept)
        {
            ArrayPool<byte>.Shared.Return(kept);
        }
    }
}
