using System.Diagnostics;
using System.Globalization;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Tests.Processes;

/// <summary>Processors of programs that a benchmark starts.</summary>
public sealed class ProcessorShareTests
{
    [SkippableFact]
    public void Programs_started_meanwhile_get_the_share_and_later_ones_all_processors()
    {
        Skip.If(Environment.ProcessorCount < 2, "one processor cannot be shared");
        using (ProcessorShare.AllButLast())
        {
            Assert.Equal(Environment.ProcessorCount - 1, ProcessorsOfAProgram());
        }

        using (ProcessorShare.OfLast())
        {
            Assert.Equal(1, ProcessorsOfAProgram());
        }

        Assert.Equal(Environment.ProcessorCount, ProcessorsOfAProgram());
    }

    private static int ProcessorsOfAProgram()
    {
        using var program = Process.Start(new ProcessStartInfo("nproc") { RedirectStandardOutput = true })!;
        var count = program.StandardOutput.ReadToEnd();
        program.WaitForExit();
        return int.Parse(count, NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture);
    }
}
