using System.Runtime.CompilerServices;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Scoring.Bundles;
using RecBackend.Scoring.Images;
using RecBackend.Scoring.Text;

namespace RecBackend.Scoring.Onnx;

/// <summary>How a bundle's item encoder reads content: docs/bundle-format.md, sections 2 to 4. Thread-safe.</summary>
internal sealed class ItemReader
{
    private readonly ManifestItemInputs _inputs;
    private readonly BytePairTokenizer? _tokenizer;
    private readonly VocabularyField? _categories;
    private readonly VocabularyField[] _attributes;
    private readonly ImageReader? _image;

    // Tensors of pictures that were checked and are about to be encoded, by the file's array: decoding is most of the work of both. One goes when it is read, or with its file.
    private readonly ConditionalWeakTable<byte[], float[]> _decoded = [];

    /// <param name="inputs">What it reads.</param>
    /// <param name="tokenizer">Null if it reads no text.</param>
    /// <param name="maxImagePixels">Larger pictures are refused.</param>
    public ItemReader(ManifestItemInputs inputs, BytePairTokenizer? tokenizer, int maxImagePixels)
    {
        _inputs = inputs;
        _tokenizer = tokenizer;
        _categories = inputs.Categories is { } categories ? new VocabularyField("categories", categories.Vocabulary) : null;
        _attributes = [.. (inputs.Attributes ?? []).Select(field => new VocabularyField(field.Name, field.Vocabulary))];
        _image = inputs.Image is { } image ? new ImageReader(image.Height, image.Width, image.Mean, image.Std, maxImagePixels) : null;
        TextLength = tokenizer is null ? 0 : inputs.Text!.Length;
    }

    public int TextLength { get; }

    public int CategoriesLength => _inputs.Categories?.Length ?? 0;

    public int AttributesLength => _attributes.Length;

    public int ImageLength => _image?.Length ?? 0;

    public int FeaturesLength => _inputs.ImageFeatures?.Length ?? 0;

    public bool HasMask => _inputs.HasMask;

    /// <summary>Whether the content can be read; see <see cref="IModel.CheckAsync"/>.</summary>
    /// <param name="content">The content.</param>
    /// <param name="decoding">Admits those who decode a picture; the rest of a check takes next to nothing.</param>
    /// <param name="cancellation">Gives up the wait.</param>
    public ValueTask<ContentProblem?> CheckAsync(ItemContent content, AdmissionGate decoding, CancellationToken cancellation)
    {
        var problem = CheckText("title", content.Title)
            ?? CheckText("text", content.Text)
            ?? CheckTags(content.Tags)
            ?? CheckFeatures(content.ImageFeatures);
        return problem is null && content.Image is { } image && _image is not null ? CheckImageAsync(image, decoding, cancellation) : new(problem);
    }

    public void ReadText(ItemContent content, Span<long> ids) =>
        _tokenizer!.EncodeDocument([content.Title, string.Join(", ", content.Tags), content.Text], ids);

    public void ReadCategories(ItemContent content, Span<long> ids)
    {
        for (var i = 0; i < ids.Length; i++)
        {
            ids[i] = i < content.Categories.Count ? _categories!.IdOf(content.Categories[i]) : 0;
        }
    }

    public void ReadAttributes(ItemContent content, Span<long> ids)
    {
        for (var i = 0; i < ids.Length; i++)
        {
            ids[i] = _attributes[i].IdOf(content.Attributes.GetValueOrDefault(_attributes[i].Name));
        }
    }

    /// <returns>Whether the item has a picture.</returns>
    public bool ReadImage(ItemContent content, Span<float> tensor)
    {
        if (content.Image is null)
        {
            tensor.Clear();
            return false;
        }

        if (_decoded.Remove(content.Image, out var decoded))
        {
            decoded.CopyTo(tensor);
        }
        else
        {
            _image!.Read(content.Image, tensor);
        }

        return true;
    }

    /// <returns>Whether the item has features.</returns>
    public static bool ReadFeatures(ItemContent content, Span<float> features)
    {
        if (content.ImageFeatures is null)
        {
            features.Clear();
            return false;
        }

        content.ImageFeatures.CopyTo(features);
        return true;
    }

    private static ContentProblem? CheckTags(IReadOnlyList<string> tags)
    {
        foreach (var tag in tags)
        {
            if (CheckText("a tag", tag) is { } problem)
            {
                return problem;
            }
        }

        return null;
    }

    private static ContentProblem? CheckText(string field, string? text)
    {
        var rest = text.AsSpan();
        while (!rest.IsEmpty)
        {
            var place = rest.IndexOfAnyInRange('\uD800', '\uDFFF');
            if (place < 0)
            {
                return null;
            }

            if (place + 1 >= rest.Length || !char.IsSurrogatePair(rest[place], rest[place + 1]))
            {
                return new ContentProblem("text_invalid", $"{field} is not valid Unicode: it holds half of a surrogate pair.");
            }

            rest = rest[(place + 2)..];
        }

        return null;
    }

    private ContentProblem? CheckFeatures(float[]? features)
    {
        if (features is null)
        {
            return null;
        }

        if (FeaturesLength != 0 && features.Length != FeaturesLength)
        {
            return new ContentProblem("image_features_length", $"There are {features.Length} image features; the active bundle reads {FeaturesLength}.");
        }

        foreach (var value in features)
        {
            if (!float.IsFinite(value))
            {
                return new ContentProblem("image_features_not_finite", "An image feature is NaN or infinite.");
            }
        }

        return null;
    }

    private async ValueTask<ContentProblem?> CheckImageAsync(byte[] image, AdmissionGate decoding, CancellationToken cancellation)
    {
        await decoding.EnterAsync(Deadline.None, cancellation);
        try
        {
            var tensor = new float[_image!.Length];
            _image.Read(image, tensor);
            _decoded.AddOrUpdate(image, tensor);
            return null;
        }
        catch (ImageInvalidException exception)
        {
            return new ContentProblem(exception.Code, exception.Message);
        }
        finally
        {
            decoding.Leave();
        }
    }
}
