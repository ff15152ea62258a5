using Microsoft.Extensions.DependencyInjection;
using RecBackend.Http.Hosting;

namespace RecBackend.Http.Tests.Hosting;

public sealed class HostDrainTests
{
    [Fact]
    public async Task Host_that_was_told_to_stop_says_so_and_serves_until_its_drain_is_over()
    {
        var clock = new HeldClock();
        await using var host = await RunningHost.StartAsync(new HostSettings { Clock = clock, Configuration = { ["RecBackend:DrainSeconds"] = "7.5" } });
        Assert.Equal(200, (await host.GetAsync("/healthz/ready")).Status);

        var stopped = host.App.StopAsync();
        Assert.Equal(TimeSpan.FromSeconds(7.5), await clock.Asked.WaitAsync(TimeSpan.FromSeconds(30)));
        var ready = await host.GetAsync("/healthz/ready");
        Assert.Equal((503, "draining"), (ready.Status, (string?)ready.Json["status"]));
        Assert.True((bool)(await host.GetAsync("/v1/cluster")).Json["silos"]![0]!["draining"]!);
        Assert.Equal(200, (await host.GetAsync("/healthz/live")).Status);
        var ranking = await host.PostAsync("/v1/rank", """{"user":"u","items":["i01","i02"]}""");
        Assert.Equal((200, "model"), (ranking.Status, (string?)ranking.Json["mode"]));
        Assert.False(stopped.IsCompleted);

        clock.Release();
        await stopped.WaitAsync(TimeSpan.FromSeconds(30));
        await Assert.ThrowsAsync<HttpRequestException>(() => host.GetAsync("/healthz/live"));
    }

    [Fact]
    public async Task Host_without_a_drain_stops_at_once()
    {
        var clock = new HeldClock();
        await using var host = await RunningHost.StartAsync(new HostSettings { Bundle = false, Items = false, Clock = clock });
        await host.App.StopAsync().WaitAsync(TimeSpan.FromSeconds(30));
        Assert.False(clock.Asked.IsCompleted);
        Assert.True(host.App.Services.GetRequiredService<HostDrain>().IsUnderWay);
    }
}

/// <summary>The system's clock, whose first timer waits to be released.</summary>
internal sealed class HeldClock : TimeProvider
{
    private readonly TaskCompletionSource<TimeSpan> _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Action? _release;

    /// <summary>What the first timer was asked to wait.</summary>
    public Task<TimeSpan> Asked => _asked.Task;

    public void Release() => _release!();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        if (Interlocked.CompareExchange(ref _release, () => callback(state), null) is not null)
        {
            return base.CreateTimer(callback, state, dueTime, period);
        }

        _asked.SetResult(dueTime);
        return new Never();
    }

    private sealed class Never : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
