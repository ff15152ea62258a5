using System.CommandLine;
using RecBackend.Client;

namespace RecBackend.Cli;

/// <summary>The options of every command that talks to a server: where it is, and with which key.</summary>
internal sealed class Connection
{
    private readonly Option<Uri> _url = new("--url")
    {
        Description = "Address of the gateway or server.",
        DefaultValueFactory = _ => new Uri("http://127.0.0.1:8080"),
        CustomParser = result => ParseAddress(result.Tokens[0].Value, result.AddError),
    };

    private readonly Option<string?> _key = new("--key")
    {
        Description = "API key; the default is the environment's RECBACKEND_KEY. None is needed in development mode.",
    };

    /// <summary>Adds both options to <paramref name="command"/>.</summary>
    public Connection AddTo(Command command)
    {
        command.Options.Add(_url);
        command.Options.Add(_key);
        return this;
    }

    /// <summary>Address that was asked for.</summary>
    public Uri Address(ParseResult parsed) => parsed.GetValue(_url)!;

    /// <summary>A client for it.</summary>
    public RecBackendClient Open(ParseResult parsed)
    {
        var key = parsed.GetValue(_key) ?? Environment.GetEnvironmentVariable("RECBACKEND_KEY");
        return new RecBackendClient(Address(parsed), string.IsNullOrEmpty(key) ? null : key);
    }

    private static Uri? ParseAddress(string text, Action<string> addError)
    {
        // A relative path would be resolved against the last segment; the API lives below the address.
        if (Uri.TryCreate(text.EndsWith('/') ? text : text + "/", UriKind.Absolute, out var address) && address.Scheme is "http" or "https")
        {
            return address;
        }

        addError($"--url '{text}' is not an http or https address such as http://127.0.0.1:8080");
        return null;
    }
}
