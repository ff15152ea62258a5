using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Wire;

public sealed class RouteIdTests(SharedHost shared) : IClassFixture<SharedHost>
{
    private readonly RunningHost _host = shared.Host;

    [Theory]
    [InlineData("/v1/./items/target")]
    [InlineData("/v1/%2e/items/target")]
    [InlineData("/x/../v1/items/target")]
    [InlineData("/v1/items/other/../target")]
    [InlineData("/v1/items/other/%2E%2e/target")]
    [InlineData("/v1/items/target#/other")]
    [InlineData(@"/v1/items/other\..\target")]
    public async Task Path_that_can_be_read_in_two_ways_gets_400_and_nothing_is_deleted(string path)
    {
        foreach (var id in new[] { "items", "target", "other", "v1" })
        {
            Assert.Equal(200, (await _host.PutAsync($"/v1/items/{id}", """{"title":"t"}""")).Status);
        }

        var (status, text) = await RawCall.SendAsync(_host.Address, "DELETE", path);
        Assert.True(status == 400 && text.Contains("path_invalid", StringComparison.Ordinal), text);
        foreach (var id in new[] { "items", "target", "other", "v1" })
        {
            Assert.Equal(200, (await _host.GetAsync($"/v1/items/{id}")).Status);
        }
    }

    [Fact]
    public async Task Url_in_the_query_or_in_front_does_not_change_which_item_is_meant()
    {
        await _host.PutAsync("/v1/items/meant", """{"title":"t"}""");
        await _host.PutAsync("/v1/items/spared", """{"title":"t"}""");
        Assert.Equal(204, (await RawCall.SendAsync(_host.Address, "DELETE", "/v1/items/meant?from=http://h/v1/items/spared")).Status);
        Assert.Equal(404, (await _host.GetAsync("/v1/items/meant")).Status);
        Assert.Equal(200, (await _host.GetAsync("/v1/items/spared")).Status);
        Assert.Equal(204, (await RawCall.SendAsync(_host.Address, "DELETE", $"{_host.Address}v1/items/spared?from=http://h/v1/items/i01")).Status);
        Assert.Equal(404, (await _host.GetAsync("/v1/items/spared")).Status);
        Assert.Equal(200, (await _host.GetAsync("/v1/items/i01")).Status);
    }
}
