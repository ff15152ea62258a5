namespace RecBackend.Cli.Data;

/// <summary>Data that is not in the neutral form: names the file, the line and what is wrong.</summary>
internal sealed class DataException : Exception
{
    public DataException(string path, int line, string what, Exception? inner = null)
        : base($"{path}:{line}: {what}", inner)
    {
    }

    public DataException(string path, string what)
        : base($"{path}: {what}")
    {
    }
}
