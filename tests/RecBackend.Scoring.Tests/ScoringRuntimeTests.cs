using Microsoft.ML.OnnxRuntime;

namespace RecBackend.Scoring.Tests;

public sealed class ScoringRuntimeTests
{
    [SkippableFact]
    public void Missing_cuda_is_an_error_that_says_what_to_do()
    {
        Skip.If(OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider"), "This build has the CUDA provider.");

        var error = Assert.Throws<InvalidOperationException>(() => TestRuntime.Create(new ScoringOptions { Provider = ScoringProvider.Cuda }));

        Assert.Contains("-p:Gpu=true", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Provider_in_use_is_named_with_its_version()
    {
        using var runtime = TestRuntime.Create();

        Assert.Contains("ONNX Runtime " + OrtEnv.Instance().GetVersionString(), runtime.ProviderDescription, StringComparison.Ordinal);
        Assert.Contains("CPU", runtime.ProviderDescription, StringComparison.Ordinal);
    }

    public static TheoryData<string, ScoringOptions> Impossible => new()
    {
        { "Provider", new() { Provider = (ScoringProvider)7 } },
        { "DeviceId", new() { DeviceId = -1 } },
        { "MaxConcurrency", new() { MaxConcurrency = -1 } },
        { "QueueLength", new() { QueueLength = -1 } },
        { "EncodingConcurrency", new() { EncodingConcurrency = -1 } },
        { "EncodingBatch", new() { EncodingBatch = 0 } },
        { "IntraOpThreads", new() { IntraOpThreads = 0 } },
        { "MaxImagePixels", new() { MaxImagePixels = 0 } },
        { "MaxBundleBytes", new() { MaxBundleBytes = 0 } },
    };

    [Theory]
    [MemberData(nameof(Impossible))]
    public void Impossible_option_fails_at_start_with_its_name(string key, ScoringOptions options) =>
        Assert.Contains("Scoring:" + key, Assert.Throws<ArgumentException>(() => TestRuntime.Create(options)).Message, StringComparison.Ordinal);
}
