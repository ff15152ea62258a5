using RecBackend.Bench.DataSets;

namespace RecBackend.Bench.Engines;

/// <summary>A server's state folder with a bundle, items and histories, made once; engine and server then start on copies of it, so that both hold the same.</summary>
internal sealed class PreparedState(string folder)
{
    public static async Task<PreparedState> CreateAsync(string folder, string bundle, DataSet data, CancellationToken cancellation)
    {
        await using var engine = await BenchEngine.OpenAsync(folder, cancellation);
        await engine.ActivateAsync(bundle, cancellation);
        await engine.LoadAsync(data, cancellation);
        return new PreparedState(folder);
    }

    /// <returns><paramref name="target"/>.</returns>
    public string CopyTo(string target)
    {
        foreach (var file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
        {
            var copy = Path.Combine(target, Path.GetRelativePath(folder, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }

        return target;
    }
}
