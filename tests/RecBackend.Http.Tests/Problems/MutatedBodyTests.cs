using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using RecBackend.Http.Tests.Hosting;
using Xunit.Abstractions;

namespace RecBackend.Http.Tests.Problems;

public sealed class MutatedBodyTests(SharedHost shared, ITestOutputHelper output) : IClassFixture<SharedHost>
{
    private const int Bodies = 10_000;

    private static readonly (string Method, string Path, string Body)[] Seeds =
    [
        ("POST", "/v1/rank", """{"user":"u1","items":["i01",{"id":"i02"},"i\u0030\u0033"],"context":{"timestamp":1700000000.5,"x":-1e3},"limit":2,"model":null,"explain":true,"request_id":"r-1"}"""),
        ("POST", "/v1/events", """[{"event_id":"m1","type":"click","user":"u1","item":"i01","timestamp":1700000000,"request_id":null},{"event_id":"m2","type":"impression","user":"u2","item":"i02","timestamp":"2024-01-01T00:00:00Z"}]"""),
        ("POST", "/v1/events", "{\"event_id\":\"n1\",\"type\":\"click\",\"user\":\"u1\",\"item\":\"i01\"}\n{\"event_id\":\"n2\",\"type\":\"click\",\"user\":\"u1\",\"item\":\"i03\"}\n"),
        ("PUT", "/v1/items/fuzz", """{"title":"Snow \ud83d\ude00","text":"a\nb","categories":["Action"],"tags":["t"],"attributes":{"year":"1991"},"image":"AAAA","image_features":[0.1,2e-3,3,4,5,6,7,8]}"""),
        ("PUT", "/v1/users/fuzz", """{"attributes":{"gender":"F","age":"25"}}"""),
        ("PUT", "/v1/items/i09/embedding", """{"representation":[1,2,3,4,5,6,7,8,9,10,11,12]}"""),
        ("POST", "/v1/embeddings", """{"id":"i08","bundle":null,"representation":[1,2,3,4,5,6,7,8,9,10,11,12]}"""),
    ];

    private static readonly string[] Splices = ["{", "}", "[", "]", "\"", ",", ":", "null", "true", "1e999", "-", "\\u0000", "\\ud800", "\\", "\0", "\n", "é", "99999999999999999999", "{\"a\":", "[[[["];

    [Fact]
    public async Task Mutated_bodies_get_no_5xx()
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var work = Enumerable.Range(0, Bodies).Select(_ => Mutate(random)).ToList();
        var statuses = new int[600];
        await Parallel.ForEachAsync(work, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (call, cancellation) =>
        {
            using var request = new HttpRequestMessage(new HttpMethod(call.Method), call.Path) { Content = new ByteArrayContent(call.Body) };
            request.Content.Headers.ContentType = new MediaTypeHeaderValue(call.ContentType);
            using var response = await shared.Host.Client.SendAsync(request, cancellation);
            Interlocked.Increment(ref statuses[(int)response.StatusCode]);
            Assert.True((int)response.StatusCode < 500, $"seed {seed}: {(int)response.StatusCode} for {call.Method} {call.Path} {Encoding.UTF8.GetString(call.Body)}");
            if (!response.IsSuccessStatusCode)
            {
                Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
            }
        });

        // Were none of them accepted, or none refused, the mutations would not be near the border.
        output.WriteLine(string.Join(", ", statuses.Select((count, status) => (count, status)).Where(x => x.count > 0).Select(x => string.Create(CultureInfo.InvariantCulture, $"{x.status}: {x.count}"))));
        Assert.True(statuses[200] > Bodies / 50, "hardly any mutated body was accepted");
        Assert.True(statuses[400] > Bodies / 10, "hardly any mutated body was refused");
        Assert.Equal("model", (string)(await shared.Host.PostAsync("/v1/rank", """{"user":"u1","items":["i01"]}""")).Json["mode"]!);
    }

    private static (string Method, string Path, string ContentType, byte[] Body) Mutate(Random random)
    {
        var (method, path, body) = Seeds[random.Next(Seeds.Length)];
        var bytes = Encoding.UTF8.GetBytes(body).ToList();
        for (var i = random.Next(1, 5); i > 0; i--)
        {
            var at = random.Next(bytes.Count + 1);
            switch (random.Next(5))
            {
                case 0 when at < bytes.Count:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1 when at < bytes.Count:
                    bytes.RemoveRange(at, Math.Min(random.Next(1, 12), bytes.Count - at));
                    break;
                case 2:
                    bytes.InsertRange(at, Encoding.UTF8.GetBytes(Splices[random.Next(Splices.Length)]));
                    break;
                case 3 when at < bytes.Count:
                    bytes.InsertRange(at, bytes.GetRange(at, Math.Min(random.Next(1, 30), bytes.Count - at)));
                    break;
                default:
                    bytes.Insert(at, (byte)' ');
                    break;
            }
        }

        var ndjson = path is "/v1/events" or "/v1/embeddings" && random.Next(2) == 0;
        return (method, path, ndjson ? "application/x-ndjson" : "application/json", [.. bytes]);
    }
}
