namespace RecBackend.Bench.Curves;

/// <summary>Draws distinct items of a catalogue by number.</summary>
internal abstract class ItemDraw(int items, int seed)
{
    private readonly Random _random = new(seed);
    private readonly HashSet<int> _drawn = [];

    /// <summary>Its name in tables.</summary>
    public abstract string Name { get; }

    /// <summary>Draws <paramref name="count"/> distinct items: those that came before are drawn again.</summary>
    public int[] Draw(int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, items);
        _drawn.Clear();
        var drawn = new int[count];
        for (var i = 0; i < count;)
        {
            var item = One(_random.NextDouble());
            if (_drawn.Add(item))
            {
                drawn[i++] = item;
            }
        }

        return drawn;
    }

    /// <summary>The item at <paramref name="share"/> of the distribution, 0 to 1.</summary>
    protected abstract int One(double share);
}

/// <summary>Every item as likely as any other.</summary>
internal sealed class UniformDraw(int items, int seed) : ItemDraw(items, seed)
{
    private readonly int _items = items;

    public override string Name => "random";

    protected override int One(double share) => (int)(share * _items);
}

/// <summary>Zipf's law with exponent 1: the item of rank r as likely as 1/r. Ranks are scattered over the catalogue, since what is popular does not lie together.</summary>
internal sealed class ZipfDraw(int items, int seed) : ItemDraw(items, seed)
{
    // A prime above any catalogue: it divides none, so multiplying by it permutes the numbers.
    private const long Scatter = 2_654_435_761;

    private readonly int _items = items;

    public override string Name => "Zipf(1.0)";

    // The sum of 1/r up to R is close to ln R: its inverse is an exponential.
    protected override int One(double share) => (int)((Math.Min(_items, (long)Math.Exp(share * Math.Log(_items + 1.0))) - 1) * Scatter % _items);
}
