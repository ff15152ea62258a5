namespace RecBackend.Scoring.Images;

/// <summary>A picture that cannot become a tensor.</summary>
/// <param name="code"><c>image_invalid</c>: the picture is to blame; <c>image_unsupported</c>: this machine lacks what reads it.</param>
/// <param name="detail">What was wrong, and what to do.</param>
internal sealed class ImageInvalidException(string code, string detail) : Exception(detail)
{
    public const string Invalid = "image_invalid";
    public const string Unsupported = "image_unsupported";

    public string Code { get; } = code;
}
