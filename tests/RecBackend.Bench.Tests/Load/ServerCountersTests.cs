using System.Diagnostics;
using RecBackend.Bench.Load;

namespace RecBackend.Bench.Tests.Load;

public class ServerCountersTests
{
    [Fact]
    public void Use_is_the_growth_of_the_counters_over_the_rankings_of_all_statuses()
    {
        var before = ServerCounters.Parse(
            """
            # HELP dotnet_process_cpu_time_seconds_total CPU time.
            # TYPE dotnet_process_cpu_time_seconds_total counter
            dotnet_process_cpu_time_seconds_total{cpu_mode="user"} 10
            dotnet_process_cpu_time_seconds_total{cpu_mode="system"} 1.5
            dotnet_gc_heap_total_allocated_bytes_total 1000000
            dotnet_gc_collections_total{gc_heap_generation="gen0"} 4
            dotnet_gc_collections_total{gc_heap_generation="gen2"} 1
            dotnet_gc_pause_time_seconds_total 0.25
            dotnet_process_memory_working_set_bytes 135360512
            recbackend_requests_total{method="POST",route="/v1/rank",status="200"} 100

            """,
            at: 0);
        var after = ServerCounters.Parse(
            """
            dotnet_process_cpu_time_seconds_total{cpu_mode="user"} 12
            dotnet_process_cpu_time_seconds_total{cpu_mode="system"} 2
            dotnet_gc_heap_total_allocated_bytes_total 1.5E+06
            dotnet_gc_collections_total{gc_heap_generation="gen0"} 7
            dotnet_gc_collections_total{gc_heap_generation="gen1"} 2
            dotnet_gc_collections_total{gc_heap_generation="gen2"} 1
            dotnet_gc_pause_time_seconds_total 0.26
            dotnet_process_memory_working_set_bytes 145360512
            recbackend_requests_total{method="POST",route="/v1/rank",status="200"} 300
            recbackend_requests_total{method="POST",route="/v1/rank",status="429"} 50
            recbackend_requests_total{method="GET",route="/metrics",status="200"} 9

            """,
            at: 5 * Stopwatch.Frequency);
        var use = after.Since(before);

        Assert.Equal(5, use.Seconds);
        Assert.Equal(250, use.Requests);
        Assert.Equal(0.5, use.Cores, 1e-9);
        Assert.Equal(10_000, use.ProcessorMicrosecondsPerRequest!.Value, 1e-6);
        Assert.Equal(2_000, use.AllocatedBytesPerRequest!.Value, 1e-6);
        Assert.Equal((3, 2, 0), (use.Gen0, use.Gen1, use.Gen2));
        Assert.Equal(10, use.PauseMilliseconds, 1e-6);
        Assert.Equal((135_360_512, 145_360_512), (use.WorkingSetBytesBefore, use.WorkingSetBytes));
    }
}
