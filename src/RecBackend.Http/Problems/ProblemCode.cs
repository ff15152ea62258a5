using System.Reflection;

namespace RecBackend.Http.Problems;

/// <summary>A stable code, its HTTP status and its title. Every one is in the table of docs/http-api.md; a test compares the two.</summary>
public sealed record ProblemCode
{
    private ProblemCode(string code, int status, string title)
    {
        Code = code;
        Status = status;
        Title = title;
    }

    /// <summary>The stable code that callers switch on.</summary>
    public string Code { get; }

    /// <summary>HTTP status of a call that fails with it.</summary>
    public int Status { get; }

    /// <summary>The same sentence for every occurrence.</summary>
    public string Title { get; }

    // The request's form.
    /// <summary>Malformed JSON.</summary>
    public static readonly ProblemCode JsonInvalid = new("json_invalid", 400, "The body is not valid JSON.");

    /// <summary>A member has a wrong type.</summary>
    public static readonly ProblemCode TypeInvalid = new("type_invalid", 400, "A member has a wrong type.");

    /// <summary>A member that the call does not have.</summary>
    public static readonly ProblemCode MemberUnknown = new("member_unknown", 400, "The body has a member that this call does not know.");

    /// <summary>A member is there twice.</summary>
    public static readonly ProblemCode MemberDuplicate = new("member_duplicate", 400, "The body has a member twice.");

    /// <summary>A required member is not there.</summary>
    public static readonly ProblemCode MemberMissing = new("member_missing", 400, "The body lacks a required member.");

    /// <summary>A value is outside of what it may be.</summary>
    public static readonly ProblemCode ValueInvalid = new("value_invalid", 400, "A value is outside of what it may be.");

    /// <summary>An ID is not one.</summary>
    public static readonly ProblemCode IdInvalid = new("id_invalid", 400, "An ID is 1 to 128 bytes of UTF-8 without control characters.");

    /// <summary>A header or query parameter is not usable.</summary>
    public static readonly ProblemCode ParameterInvalid = new("parameter_invalid", 400, "A header or query parameter is not usable.");

    /// <summary>A path that can be read in two ways.</summary>
    public static readonly ProblemCode PathInvalid = new("path_invalid", 400, "The path has a segment `.` or `..`, a `\\` or a `#`.");

    /// <summary>HTTP itself was violated.</summary>
    public static readonly ProblemCode RequestInvalid = new("request_invalid", 400, "The request is not well-formed HTTP.");

    /// <summary>Too many candidates.</summary>
    public static readonly ProblemCode CandidatesTooMany = new("candidates_too_many", 413, "The request has too many candidates.");

    /// <summary>The body is too large.</summary>
    public static readonly ProblemCode BodyTooLarge = new("body_too_large", 413, "The body is larger than this call takes.");

    /// <summary>A content type that the call does not read.</summary>
    public static readonly ProblemCode MediaTypeUnsupported = new("media_type_unsupported", 415, "The call does not read this content type.");

    // Keys.
    /// <summary>No key was sent.</summary>
    public static readonly ProblemCode KeyMissing = new("key_missing", 401, "The call needs a key.");

    /// <summary>The key is unknown.</summary>
    public static readonly ProblemCode KeyInvalid = new("key_invalid", 401, "The key is not known.");

    /// <summary>The key may not do this.</summary>
    public static readonly ProblemCode ScopeMissing = new("scope_missing", 403, "The key lacks the scope that the call needs.");

    /// <summary>The host has no keys.</summary>
    public static readonly ProblemCode KeysNotConfigured = new("keys_not_configured", 403, "The host has no keys, and so refuses every call but health.");

    // What is not there.
    /// <summary>No such route.</summary>
    public static readonly ProblemCode RouteUnknown = new("route_unknown", 404, "There is no such call.");

    /// <summary>The route has no such method.</summary>
    public static readonly ProblemCode MethodNotAllowed = new("method_not_allowed", 405, "The call does not have this method.");

    /// <summary>No such item.</summary>
    public static readonly ProblemCode ItemUnknown = new("item_unknown", 404, "There is no such item.");

    /// <summary>No such user.</summary>
    public static readonly ProblemCode UserUnknown = new("user_unknown", 404, "Nothing is known of the user.");

    /// <summary>No such job.</summary>
    public static readonly ProblemCode JobUnknown = new("job_unknown", 404, "There is no such job.");

    /// <summary>The job that the caller waited for was cancelled.</summary>
    public static readonly ProblemCode JobCancelled = new("job_cancelled", 409, "The job was cancelled before it was done.");

    /// <summary>No such bundle.</summary>
    public static readonly ProblemCode BundleUnknown = new("bundle_unknown", 404, "There is no such bundle.");

    /// <summary>Nothing to roll back to.</summary>
    public static readonly ProblemCode RollbackUnavailable = new("rollback_unavailable", 409, "There is no previous bundle to return to.");

    /// <summary>Another activation is under way.</summary>
    public static readonly ProblemCode ActivationInProgress = new("activation_in_progress", 409, "Another bundle is being activated.");

    /// <summary>No bundle is active.</summary>
    public static readonly ProblemCode NoActiveBundle = new("no_active_bundle", 409, "The call needs an active bundle, and there is none.");

    // Content that cannot be used.
    /// <summary>The representation does not have the bundle's length.</summary>
    public static readonly ProblemCode EmbeddingLength = new("embedding_length", 422, "The representation does not have the bundle's length.");

    /// <summary>The representation holds a number that is not finite.</summary>
    public static readonly ProblemCode EmbeddingNotFinite = new("embedding_not_finite", 422, "The representation holds a number that is not finite.");

    /// <summary>The representation is of a bundle that is not the active one.</summary>
    public static readonly ProblemCode EmbeddingBundle = new("embedding_bundle", 422, "The representation is of a bundle that is not the active one.");

    /// <summary>An item's ID is 1 to 128 bytes of UTF-8 without control characters.</summary>
    public static readonly ProblemCode ItemIdInvalid = new("item_id_invalid", 400, "An item's ID is 1 to 128 bytes of UTF-8 without control characters.");

    /// <summary>The title is too long.</summary>
    public static readonly ProblemCode TitleTooLong = new("title_too_long", 422, "The title is too long.");

    /// <summary>The text is too long.</summary>
    public static readonly ProblemCode TextTooLong = new("text_too_long", 422, "The text is too long.");

    /// <summary>The item has too many categories.</summary>
    public static readonly ProblemCode TooManyCategories = new("too_many_categories", 422, "The item has too many categories.");

    /// <summary>The item has too many tags.</summary>
    public static readonly ProblemCode TooManyTags = new("too_many_tags", 422, "The item has too many tags.");

    /// <summary>The item has too many attributes.</summary>
    public static readonly ProblemCode TooManyAttributes = new("too_many_attributes", 422, "The item has too many attributes.");

    /// <summary>A category, a tag or an attribute is empty, too long or no text.</summary>
    public static readonly ProblemCode LabelInvalid = new("label_invalid", 422, "A category, a tag or an attribute is empty, too long or no text.");

    /// <summary>The image is too large.</summary>
    public static readonly ProblemCode ImageTooLarge = new("image_too_large", 422, "The image is too large.");

    /// <summary>The event has no usable event_id, so sending it twice would count twice.</summary>
    public static readonly ProblemCode EventIdInvalid = new("event_id_invalid", 400, "The event has no usable event_id, so sending it twice would count twice.");

    /// <summary>The event's type is neither impression nor an action of the active bundle.</summary>
    public static readonly ProblemCode EventTypeUnknown = new("event_type_unknown", 400, "The event's type is neither impression nor an action of the active bundle.");

    /// <summary>The event names no valid user.</summary>
    public static readonly ProblemCode EventUserInvalid = new("event_user_invalid", 400, "The event names no valid user.");

    /// <summary>The event names no valid item.</summary>
    public static readonly ProblemCode EventItemInvalid = new("event_item_invalid", 400, "The event names no valid item.");

    /// <summary>The timestamp is neither Unix seconds nor RFC 3339, or is out of range.</summary>
    public static readonly ProblemCode EventTimestampInvalid = new("event_timestamp_invalid", 400, "The timestamp is neither Unix seconds nor RFC 3339, or is out of range.");

    /// <summary>A safetensors file that is not what the call reads.</summary>
    public static readonly ProblemCode SafetensorsInvalid = new("safetensors_invalid", 422, "The safetensors file is not what this call reads.");

    /// <summary>The image does not decode.</summary>
    public static readonly ProblemCode ImageInvalid = new("image_invalid", 422, "The image cannot be decoded.");

    /// <summary>The host cannot decode images.</summary>
    public static readonly ProblemCode ImageUnsupported = new("image_unsupported", 422, "The host cannot decode this kind of image.");

    /// <summary>Image features of a wrong length.</summary>
    public static readonly ProblemCode ImageFeaturesLength = new("image_features_length", 422, "The image features do not have the bundle's length.");

    /// <summary>Image features with NaN or infinity.</summary>
    public static readonly ProblemCode ImageFeaturesNotFinite = new("image_features_not_finite", 422, "The image features hold a number that is not finite.");

    /// <summary>Text that is not valid Unicode.</summary>
    public static readonly ProblemCode TextInvalid = new("text_invalid", 422, "A text is not valid Unicode.");

    /// <summary>A file that the bundle's manifest names is not there.</summary>
    public static readonly ProblemCode BundleMissingFile = new("bundle_missing_file", 422, "The bundle lacks a file.");

    /// <summary>A file's hash differs.</summary>
    public static readonly ProblemCode BundleHashMismatch = new("bundle_hash_mismatch", 422, "A file of the bundle was changed.");

    /// <summary>A format that this host does not know.</summary>
    public static readonly ProblemCode BundleFormatUnsupported = new("bundle_format_unsupported", 422, "The bundle's format is not one that this host reads.");

    /// <summary>The manifest is not usable.</summary>
    public static readonly ProblemCode BundleManifestInvalid = new("bundle_manifest_invalid", 422, "The bundle's manifest is not usable.");

    /// <summary>Graphs and manifest disagree.</summary>
    public static readonly ProblemCode BundleDimsMismatch = new("bundle_dims_mismatch", 422, "The bundle's graphs or tables are not what its manifest says.");

    /// <summary>The golden examples are not reproduced.</summary>
    public static readonly ProblemCode BundleGoldenMismatch = new("bundle_golden_mismatch", 422, "This host does not reproduce the bundle's examples.");

    /// <summary>The zip is not usable.</summary>
    public static readonly ProblemCode BundleArchiveInvalid = new("bundle_archive_invalid", 422, "The bundle's archive is not usable.");

    // The host's state.
    /// <summary>Too much at once.</summary>
    public static readonly ProblemCode Overloaded = new("overloaded", 429, "The host has as much to do as it can take; try again shortly.");

    /// <summary>A defect.</summary>
    public static readonly ProblemCode Internal = new("internal", 500, "The host has a defect; its log names it.");

    /// <summary>No host answered the gateway.</summary>
    public static readonly ProblemCode UpstreamUnavailable = new("upstream_unavailable", 502, "No host answered the gateway.");

    /// <summary>The disk is full.</summary>
    public static readonly ProblemCode StorageFull = new("storage_full", 503, "The host's disk is full; nothing was stored.");

    /// <summary>The store does not work.</summary>
    public static readonly ProblemCode StorageUnavailable = new("storage_unavailable", 503, "The host's store does not work; nothing was stored.");

    /// <summary>The store has as much to write as it can take.</summary>
    public static readonly ProblemCode StorageOverloaded = new("storage_overloaded", 429, "The host's store has as much to write as it can take; try again shortly.");

    /// <summary>The store cannot be read.</summary>
    public static readonly ProblemCode StorageUnreadable = new("storage_unreadable", 503, "The host's store cannot be read.");

    /// <summary>Starting or stopping.</summary>
    public static readonly ProblemCode NotReady = new("not_ready", 503, "The host is not ready.");

    /// <summary>A host took too long for the gateway.</summary>
    public static readonly ProblemCode UpstreamTimeout = new("upstream_timeout", 504, "The host did not answer in time.");

    // Below the fields: static members get their values from top to bottom.
    /// <summary>Every code, in the order of this file.</summary>
    public static IReadOnlyList<ProblemCode> All { get; } =
    [
        .. typeof(ProblemCode).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Where(field => field.FieldType == typeof(ProblemCode))
            .Select(field => (ProblemCode)field.GetValue(null)!),
    ];

    private static readonly Dictionary<string, ProblemCode> ByCode = All.ToDictionary(code => code.Code, StringComparer.Ordinal);

    /// <summary>The code of that name. One that nobody gave a status to is the host's defect.</summary>
    public static ProblemCode Of(string code) => ByCode.GetValueOrDefault(code, Internal);
}
