using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using RecBackend.Core.Storage;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Models;

public sealed class UploadTests
{
    [Fact]
    public async Task Upload_leaves_no_file_behind_however_the_process_ends()
    {
        var folder = Directory.CreateTempSubdirectory("recbackend-upload-");
        try
        {
            var options = new RecBackendHttpOptions { TemporaryFolder = folder.FullName };
            var content = new byte[300_000];
            new Random(3).NextBytes(content);
            await using (var file = await options.SpoolAsync(new MemoryStream(content), default))
            {
                if (!OperatingSystem.IsWindows())
                {
                    // Nothing to be deleted at close, so nothing that a killed process could leave.
                    Assert.Empty(folder.EnumerateFileSystemInfos());
                }

                var read = new byte[content.Length];
                await file.ReadExactlyAsync(read);
                Assert.Equal(content, read);
                Assert.Equal(content.Length, file.Length);
            }

            Assert.Empty(folder.EnumerateFileSystemInfos());
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Upload_that_the_disk_does_not_take_is_a_failure_of_storage_and_no_defect()
    {
        await using var host = await RunningHost.StartAsync();

        // A file where the folder should be: the next best to a disk that fails, and needs no rights.
        var folder = host.App.Services.GetRequiredService<RecBackendHttpOptions>().TemporaryFolder;
        await File.WriteAllTextAsync(folder, "");
        (await SendAsync(host, "/v1/embeddings", new byte[100], "application/octet-stream")).IsProblem(503, "storage_unavailable");
        Assert.Equal(201, (await SendAsync(host, "/v1/models", await File.ReadAllBytesAsync(RunningHost.Zip), "application/zip")).Status);
    }

    [Fact]
    public async Task Write_for_which_no_space_is_left_fails_with_storage_full()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        // The one file of Linux that is always full.
        await using var full = new FileStream("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        var failure = await Assert.ThrowsAsync<StorageException>(() => RecBackendHttpOptions.WriteAsync(full, new byte[10], default));
        Assert.Equal("storage_full", failure.Code);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Bundle_that_is_too_large_gets_413(bool chunked)
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Items = false, Configuration = { ["RecBackend:Limits:Stream"] = "10000" } });
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/models") { Content = new ByteArrayContent(new byte[200_000]) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/zip");
        request.Headers.TransferEncodingChunked = chunked;
        using var response = await host.Client.SendAsync(request);
        Assert.Equal(413, (int)response.StatusCode);
        Assert.Contains("body_too_large", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    private static async Task<Answer> SendAsync(RunningHost host, string path, byte[] body, string contentType)
    {
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue(contentType);
        using var response = await host.Client.PostAsync(path, content);
        var text = await response.Content.ReadAsStringAsync();
        return new Answer((int)response.StatusCode, JsonNode.Parse(text)!.AsObject(), response.Content.Headers.ContentType?.MediaType, text);
    }
}
