using System.Numerics.Tensors;

namespace RecBackend.Scoring.Images;

/// <summary>Resizes one axis after the other: area averaging where an axis shrinks, bilinear with half-pixel centres where it grows. Sums in 64-bit floats.</summary>
internal static class Resampling
{
    private const int Colors = 3;

    /// <summary>A picture over white, resized.</summary>
    /// <returns>[height, width, 3], 0 to 255.</returns>
    public static double[] Resize(Pixels pixels, int height, int width)
    {
        var columns = Taps.Of(pixels.Width, width);
        var row = new double[pixels.Width * Colors];
        var blended = new double[pixels.Width * Colors];
        var result = new double[height * width * Colors];
        var rows = Taps.Of(pixels.Height, height);
        for (var y = 0; y < height; y++)
        {
            Array.Clear(blended);
            for (var tap = rows.Begin[y]; tap < rows.Begin[y + 1]; tap++)
            {
                LoadRow(pixels, rows.Source[tap], row);
                TensorPrimitives.MultiplyAdd(row, rows.Weight[tap], blended, blended);
            }

            ResizeRow(blended, columns, result.AsSpan(y * width * Colors, width * Colors));
        }

        return result;
    }

    private static void ResizeRow(ReadOnlySpan<double> row, Taps columns, Span<double> result)
    {
        for (var x = 0; x * Colors < result.Length; x++)
        {
            double red = 0, green = 0, blue = 0;
            for (var tap = columns.Begin[x]; tap < columns.Begin[x + 1]; tap++)
            {
                var source = row.Slice(columns.Source[tap] * Colors, Colors);
                var weight = columns.Weight[tap];
                red += weight * source[0];
                green += weight * source[1];
                blue += weight * source[2];
            }

            result[x * Colors] = red;
            result[(x * Colors) + 1] = green;
            result[(x * Colors) + 2] = blue;
        }
    }

    /// <summary>One row as real numbers; with alpha a, a channel c becomes (c · a + 255 · (255 − a)) / 255, unrounded.</summary>
    private static void LoadRow(Pixels pixels, int y, Span<double> row)
    {
        var values = pixels.Values.Slice(y * pixels.Width * pixels.Channels, pixels.Width * pixels.Channels);
        if (pixels.Channels == Colors)
        {
            TensorPrimitives.ConvertTruncating<byte, double>(values, row);
            return;
        }

        for (var x = 0; x < pixels.Width; x++)
        {
            double alpha = values[(x * 4) + 3];
            for (var channel = 0; channel < Colors; channel++)
            {
                row[(x * Colors) + channel] = ((values[(x * 4) + channel] * alpha) + (255.0 * (255.0 - alpha))) / 255.0;
            }
        }
    }

    /// <summary>The sparse matrix that resizes one axis: output i sums source · weight over its taps.</summary>
    internal sealed class Taps
    {
        private Taps(int[] begin, int[] source, double[] weight)
        {
            Begin = begin;
            Source = source;
            Weight = weight;
        }

        /// <summary>First tap of each output, and the end of the last.</summary>
        public int[] Begin { get; }

        /// <summary>Place on the input axis.</summary>
        public int[] Source { get; }

        /// <summary>Weight; those of one output sum to 1.</summary>
        public double[] Weight { get; }

        public static Taps Of(int from, int to)
        {
            var begin = new int[to + 1];
            var source = new List<int>();
            var weight = new List<double>();
            for (var i = 0; i < to; i++)
            {
                if (to < from)
                {
                    AddArea(i, from, to, source, weight);
                }
                else
                {
                    AddBilinear(i, from, to, source, weight);
                }

                begin[i + 1] = source.Count;
            }

            return new Taps(begin, [.. source], [.. weight]);
        }

        private static void AddArea(int output, int from, int to, List<int> source, List<double> weight)
        {
            var first = (double)output * from / to;
            var last = (double)(output + 1) * from / to;
            for (var j = (int)first; j < Math.Min(from, (int)Math.Ceiling(last)); j++)
            {
                source.Add(j);
                weight.Add(Math.Max(0, Math.Min(last, j + 1) - Math.Max(first, j)) / ((double)from / to));
            }
        }

        private static void AddBilinear(int output, int from, int to, List<int> source, List<double> weight)
        {
            var x = ((output + 0.5) * from / to) - 0.5;
            var j = (int)Math.Floor(x);
            source.Add(Math.Clamp(j, 0, from - 1));
            weight.Add(1 - (x - j));
            source.Add(Math.Clamp(j + 1, 0, from - 1));
            weight.Add(x - j);
        }
    }
}
