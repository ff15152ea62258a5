using System.Runtime.InteropServices;

namespace RecBackend.Scoring.Images;

/// <summary>A native library that is looked for when the first picture of its kind comes, so that a host without it runs everything else.</summary>
internal sealed class NativeLibraryReference(string purpose, string package, params string[] names)
{
    private readonly Lazy<IntPtr> _handle = new(() => Load(names));

    /// <summary>Whether it is installed.</summary>
    public bool IsPresent => _handle.Value != IntPtr.Zero;

    /// <summary>Address of an exported function.</summary>
    /// <exception cref="ImageInvalidException"><c>image_unsupported</c>: the library is not installed, or too old.</exception>
    public IntPtr Export(string function) =>
        IsPresent && NativeLibrary.TryGetExport(_handle.Value, function, out var address)
            ? address
            : throw new ImageInvalidException(
                ImageInvalidException.Unsupported, $"{purpose} pictures need {names[0]}, which is not on this machine. On Debian: apt-get install {package}.");

    private static IntPtr Load(string[] names)
    {
        foreach (var name in names)
        {
            if (NativeLibrary.TryLoad(name, out var handle))
            {
                return handle;
            }
        }

        return IntPtr.Zero;
    }
}
