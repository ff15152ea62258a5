using System.Net.Sockets;
using System.Text;

namespace RecBackend.Http.Tests.Hosting;

/// <summary>A request written byte by byte: an HTTP client would tidy up the target before it is sent.</summary>
internal static class RawCall
{
    public static async Task<(int Status, string Text)> SendAsync(Uri address, string method, string target)
    {
        using var client = new TcpClient();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await client.ConnectAsync(address.Host, address.Port, patience.Token);
        await using var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"{method} {target} HTTP/1.1\r\nHost: {address.Authority}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), patience.Token);
        using var reader = new StreamReader(stream, Encoding.UTF8);
        var text = await reader.ReadToEndAsync(patience.Token);
        return (int.Parse(text.AsSpan(9, 3), System.Globalization.CultureInfo.InvariantCulture), text);
    }
}
