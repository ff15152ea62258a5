namespace RecBackend.Server;

/// <summary>
/// Version of the bundle that was configured when a state folder was last started: <c>STATE/configured-bundle</c>. A start activates the configured bundle only if it is another one than that,
/// so that what was activated by a call, or rolled back, outlives restarts, and a change of the configuration takes effect all the same.
/// </summary>
internal sealed class ConfiguredBundle(string state)
{
    private readonly string _file = Path.Combine(state, "configured-bundle");

    /// <summary>The version, or null if no bundle was ever configured.</summary>
    public string? Last => File.Exists(_file) ? File.ReadAllText(_file).Trim() : null;

    /// <summary>Records that <paramref name="version"/> is configured and was activated.</summary>
    public void Record(string version)
    {
        var draft = _file + ".new";
        using (var file = new StreamWriter(draft))
        {
            file.WriteLine(version);
            file.Flush();
            ((FileStream)file.BaseStream).Flush(flushToDisk: true);
        }

        File.Move(draft, _file, overwrite: true);
    }
}
