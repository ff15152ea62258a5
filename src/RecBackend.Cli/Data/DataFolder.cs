using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;

namespace RecBackend.Cli.Data;

/// <summary>A data set in the neutral form that training reads too: <c>items.jsonl</c>, <c>users.jsonl</c>, <c>events.csv[.gz]</c>, <c>split.json</c>.</summary>
internal sealed class DataFolder
{
    private DataFolder(string folder, string items, string? users, string events, string? split)
    {
        Folder = folder;
        Items = items;
        Users = users;
        Events = events;
        Split = split;
    }

    /// <summary>The folder.</summary>
    public string Folder { get; }

    /// <summary>Path of the items.</summary>
    public string Items { get; }

    /// <summary>Path of the user profiles, if there are any.</summary>
    public string? Users { get; }

    /// <summary>Path of the events.</summary>
    public string Events { get; }

    /// <summary>Path of the split, if it is not the default one.</summary>
    public string? Split { get; }

    /// <summary>Finds the files of a data set.</summary>
    /// <exception cref="DataException">A file that must be there is not.</exception>
    public static DataFolder Open(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new DataException(folder, "no such folder; --data wants one with items.jsonl and events.csv or events.csv.gz");
        }

        var items = Path.Combine(folder, "items.jsonl");
        if (!File.Exists(items))
        {
            throw new DataException(items, "not there");
        }

        return new DataFolder(folder, items, IfThere(folder, "users.jsonl"), FindEvents(folder), IfThere(folder, "split.json"));
    }

    /// <summary>Opens a file of the data set, unpacked.</summary>
    public static Stream OpenFile(string path)
    {
        var file = File.OpenRead(path);
        return path.EndsWith(".gz", StringComparison.Ordinal) ? new GZipStream(file, CompressionMode.Decompress) : file;
    }

    /// <summary>
    /// Sixteen hexadecimal digits over names and contents of the files: the fingerprint that training writes into <c>manifest.json</c>. It is over the unpacked
    /// events, so that packing them again changes nothing.
    /// </summary>
    public string ComputeFingerprint()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[1 << 16];
        foreach (var path in new[] { Items, Users, Events, Split }.OfType<string>())
        {
            var name = Path.GetFileName(path);
            hash.AppendData(Encoding.UTF8.GetBytes((name.EndsWith(".gz", StringComparison.Ordinal) ? name[..^3] : name) + "\0"));
            using var file = OpenFile(path);
            for (var read = file.Read(buffer); read > 0; read = file.Read(buffer))
            {
                hash.AppendData(buffer, 0, read);
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }

    private static string FindEvents(string folder)
    {
        var plain = IfThere(folder, "events.csv");
        var packed = IfThere(folder, "events.csv.gz");
        if (plain is not null && packed is not null)
        {
            throw new DataException(folder, "both events.csv and events.csv.gz are there; remove the one that is not meant");
        }

        return plain ?? packed ?? throw new DataException(Path.Combine(folder, "events.csv"), "not there, and no events.csv.gz either");
    }

    private static string? IfThere(string folder, string name)
    {
        var path = Path.Combine(folder, name);
        return File.Exists(path) ? path : null;
    }
}
