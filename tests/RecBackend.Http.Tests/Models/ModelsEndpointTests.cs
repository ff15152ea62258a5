using System.Buffers.Binary;
using System.Net.Http.Headers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Models;

public sealed class ModelsEndpointTests
{
    [Fact]
    public async Task Bundle_is_pushed_activated_and_ranks()
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Bundle = false });
        (await host.PostAsync("/v1/warm", "")).IsProblem(409, "no_active_bundle");
        (await host.GetAsync("/healthz/ready")).IsNotReadyFor("bundle");

        var pushed = await PushAsync(host, await File.ReadAllBytesAsync(RunningHost.Zip));
        Assert.Equal(201, pushed.Status);
        var version = (string)pushed.Json["version"]!;
        (await host.PostAsync($"/v1/models/{version}/rollback", "")).IsProblem(409, "rollback_unavailable");
        var job = await host.PostAsync($"/v1/models/{version}/activate?wait=true", "");
        Assert.Equal(200, job.Status);
        Assert.Equal("succeeded", (string)job.Json["state"]!);
        Assert.Equal(50, (int)job.Json["done"]!);
        Assert.Equal(job.Text, (await host.GetAsync($"/v1/jobs/{(string)job.Json["id"]!}")).Text);

        var models = (await host.GetAsync("/v1/models")).Json;
        Assert.Equal(version, (string)models["active"]!);
        Assert.Equal(version, (string)models["models"]![0]!["version"]!);
        Assert.Equal(200, (await host.GetAsync("/healthz/ready")).Status);
        var ranking = await host.PostAsync("/v1/rank", """{"user":"u","items":["i01"]}""");
        Assert.Equal(version, (string)ranking.Json["model"]!);
    }

    [Fact]
    public async Task Bundle_that_is_damaged_is_refused_with_its_code_and_the_active_one_goes_on()
    {
        await using var host = await RunningHost.StartAsync();
        var zip = await File.ReadAllBytesAsync(RunningHost.Zip);
        (await PushAsync(host, zip[..(zip.Length / 2)])).IsProblem(422, "bundle_archive_invalid");
        (await PushAsync(host, Encoding.UTF8.GetBytes("no zip at all"))).IsProblem(422, "bundle_archive_invalid");
        using var form = new MultipartFormDataContent { { new ByteArrayContent(zip), "bundle", "bundle.zip" } };
        using var asForm = await host.Client.PostAsync("/v1/models", form);
        Assert.Equal(415, (int)asForm.StatusCode);
        (await host.PostAsync("/v1/models/other-1/activate", "")).IsProblem(404, "bundle_unknown");
        Assert.Equal("model", (string)(await host.PostAsync("/v1/rank", """{"user":"u","items":["i01"]}""")).Json["mode"]!);
    }

    [Fact]
    public async Task Warming_is_a_job_that_can_be_followed()
    {
        await using var host = await RunningHost.StartAsync();
        var started = await host.PostAsync("/v1/warm", """{"items":["i01","i02","never stored"]}""");
        Assert.Equal(202, started.Status);
        var path = $"/v1/jobs/{(string)started.Json["id"]!}";
        var job = started.Json;
        for (var i = 0; i < 500 && (string)job["state"]! == "running"; i++)
        {
            await Task.Delay(10);
            job = (await host.GetAsync(path)).Json;
        }

        Assert.Equal("succeeded", (string)job["state"]!);
        Assert.Equal("never stored", (string)Assert.Single(job["errors"]!.AsArray())!["item"]!);
        Assert.Equal(started.Json["id"]!.ToString(), (string)(await host.GetAsync("/v1/jobs")).Json["jobs"]![0]!["id"]!);
        (await host.GetAsync("/v1/jobs/none")).IsProblem(404, "job_unknown");
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task Embeddings_come_as_a_table_with_and_without_the_unknown_row(bool unknownRow, bool half)
    {
        await using var host = await RunningHost.StartAsync();
        var random = new Random(1);
        var vectors = Enumerable.Range(0, 3).Select(_ => Enumerable.Range(0, 12).Select(_ => (float)(Half)random.NextSingle()).ToArray()).ToList();
        var before = await host.PostAsync("/v1/rank", """{"user":"u","items":["i01","i02"]}""");
        var table = Table(unknownRow ? [new float[12], .. vectors] : [.. vectors], "i01\nnever stored\ni02\n", half);
        var answer = await PostTableAsync(host, table);
        Assert.True(answer.Status == 200, answer.Text);
        Assert.Equal(2, (int)answer.Json["accepted"]!);
        Assert.Equal((1, "item_unknown"), ((int)answer.Json["rejected"]![0]!["index"]!, (string)answer.Json["rejected"]![0]!["code"]!));
        var after = await host.PostAsync("/v1/rank", """{"user":"u","items":["i01","i02"]}""");
        Assert.NotEqual(before.Json["items"]!.ToJsonString(), after.Json["items"]!.ToJsonString());
        Assert.Equal("external", (string)(await host.GetAsync("/v1/items/i02")).Json["representations"]![0]!["source"]!);

        // The same vectors, one by one, give the same scores.
        await host.PutAsync("/v1/items/i01/embedding", Body(vectors[0]));
        await host.PutAsync("/v1/items/i02/embedding", Body(vectors[2]));
        Assert.Equal(after.Json["items"]!.ToJsonString(), (await host.PostAsync("/v1/rank", """{"user":"u","items":["i01","i02"]}""")).Json["items"]!.ToJsonString());

        static string Body(float[] vector) => new JsonObject { ["representation"] = new JsonArray([.. vector.Select(value => (JsonNode)value)]) }.ToJsonString();
    }

    [Fact]
    public async Task Embeddings_file_that_is_no_table_gets_422()
    {
        await using var host = await RunningHost.StartAsync();
        var whole = Table([new float[12]], "i01\n", half: false);
        var damaged = new List<byte[]>
        {
            Array.Empty<byte>(), Encoding.UTF8.GetBytes("short"), whole[..^1], whole[..40],
            Table([new float[12], new float[12], new float[12]], "i01\n", half: false), Table([new float[12]], "i01", half: false),
        };
        var random = new Random(7);
        for (var i = 0; i < 200; i++)
        {
            var mutated = whole.ToArray();
            mutated[random.Next(160)] ^= (byte)(1 << random.Next(8));
            damaged.Add(mutated);
        }

        foreach (var (file, place) in damaged.Select((file, place) => (file, place)))
        {
            var answer = await PostTableAsync(host, file);
            Assert.True(answer.Status < 500, $"{place}: {answer.Text}");
            if (place < 6)
            {
                answer.IsProblem(422, "safetensors_invalid");
            }
        }
    }

    private static byte[] Table(List<float[]> rows, string ids, bool half)
    {
        var values = rows.SelectMany(row => row).ToArray();
        byte[] data = half ? MemoryMarshal.AsBytes<Half>(values.Select(value => (Half)value).ToArray()).ToArray() : MemoryMarshal.AsBytes<float>(values).ToArray();
        var idBytes = Encoding.UTF8.GetBytes(ids);
        var header = Encoding.UTF8.GetBytes(new JsonObject
        {
            ["embedding"] = Tensor(half ? "F16" : "F32", [rows.Count, 12], 0, data.Length),
            ["ids"] = Tensor("U8", [idBytes.Length], data.Length, data.Length + idBytes.Length),
        }.ToJsonString());
        var length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        return [.. length, .. header, .. data, .. idBytes];

        static JsonObject Tensor(string type, int[] shape, int start, int end) => new()
        {
            ["dtype"] = type,
            ["shape"] = new JsonArray([.. shape.Select(axis => (JsonNode)axis)]),
            ["data_offsets"] = new JsonArray(start, end),
        };
    }

    private static Task<Answer> PostTableAsync(RunningHost host, byte[] table) => SendAsync(host, "/v1/embeddings", table, "application/octet-stream");

    private static Task<Answer> PushAsync(RunningHost host, byte[] zip) => SendAsync(host, "/v1/models", zip, "application/zip");

    private static async Task<Answer> SendAsync(RunningHost host, string path, byte[] body, string contentType)
    {
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue(contentType);
        using var response = await host.Client.PostAsync(path, content);
        var text = await response.Content.ReadAsStringAsync();
        return new Answer((int)response.StatusCode, JsonNode.Parse(text)!.AsObject(), response.Content.Headers.ContentType?.MediaType, text);
    }
}

internal static class Readiness
{
    public static void IsNotReadyFor(this Answer answer, params string[] missing)
    {
        Assert.Equal(503, answer.Status);
        Assert.Equal(missing, answer.Json["missing"]!.AsArray().Select(part => (string)part!));
    }
}
