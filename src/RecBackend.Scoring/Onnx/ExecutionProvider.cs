using System.Globalization;
using Microsoft.ML.OnnxRuntime;

namespace RecBackend.Scoring.Onnx;

/// <summary>The ONNX Runtime execution provider that was asked for. Making one proves that it works: a missing CUDA is an error, never a run on the processor.</summary>
internal sealed class ExecutionProvider
{
    private const string CudaName = "CUDAExecutionProvider";

    private readonly ScoringOptions _options;

    /// <exception cref="InvalidOperationException">The provider is not in this build, or does not start on this machine.</exception>
    public ExecutionProvider(ScoringOptions options)
    {
        _options = options;
        if (options.Provider == ScoringProvider.Cuda)
        {
            if (!OrtEnv.Instance().GetAvailableProviders().Contains(CudaName))
            {
                throw new InvalidOperationException(
                    "Scoring:Provider is cuda, but this build's ONNX Runtime has no CUDA provider. Build with -p:Gpu=true, or set Scoring:Provider to cpu.");
            }

            CreateSessionOptions().Dispose();
        }
    }

    /// <summary>Name and version, for the log.</summary>
    public string Description
    {
        get
        {
            var version = OrtEnv.Instance().GetVersionString();
            return _options.Provider == ScoringProvider.Cuda
                ? string.Create(CultureInfo.InvariantCulture, $"ONNX Runtime {version}, CUDA device {_options.DeviceId}")
                : string.Create(CultureInfo.InvariantCulture, $"ONNX Runtime {version}, CPU, {_options.IntraOpThreads} thread(s) a run");
        }
    }

    /// <summary>Options of a session for latency: one caller's thread does one run, and nothing spins unless it was asked for.</summary>
    public SessionOptions CreateSessionOptions()
    {
        var options = new SessionOptions
        {
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
            IntraOpNumThreads = _options.IntraOpThreads,
            InterOpNumThreads = 1,

            // Patterns are kept for each number of candidates ever seen, and would grow for ever.
            EnableMemoryPattern = false,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        try
        {
            var spinning = _options.Spinning ? "1" : "0";
            options.AddSessionConfigEntry("session.intra_op.allow_spinning", spinning);
            options.AddSessionConfigEntry("session.inter_op.allow_spinning", spinning);
            if (_options.Provider == ScoringProvider.Cuda)
            {
                AppendCuda(options);
            }

            return options;
        }
        catch
        {
            options.Dispose();
            throw;
        }
    }

    private void AppendCuda(SessionOptions options)
    {
        try
        {
            using var cuda = new OrtCUDAProviderOptions();
            cuda.UpdateOptions(new Dictionary<string, string>
            {
                ["device_id"] = _options.DeviceId.ToString(CultureInfo.InvariantCulture),

                // TF32 keeps ten bits of a factor: the golden examples would not be met.
                ["use_tf32"] = "0",
            });
            options.AppendExecutionProvider_CUDA(cuda);
        }
        catch (Exception exception) when (exception is OnnxRuntimeException or DllNotFoundException or EntryPointNotFoundException)
        {
            throw new InvalidOperationException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Scoring:Provider is cuda, but CUDA device {_options.DeviceId} cannot be used. It needs the NVIDIA driver and the CUDA and cuDNN libraries that ONNX Runtime names here: {exception.Message}"),
                exception);
        }
    }
}
