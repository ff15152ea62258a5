using System.Text.Json.Serialization;

namespace RecBackend.Client;

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RankRequest))]
[JsonSerializable(typeof(Ranking))]
[JsonSerializable(typeof(IReadOnlyList<InteractionEvent>))]
[JsonSerializable(typeof(InteractionEvent))]
[JsonSerializable(typeof(BatchReceipt))]
[JsonSerializable(typeof(Item))]
[JsonSerializable(typeof(ItemState))]
[JsonSerializable(typeof(ExternalRepresentation))]
[JsonSerializable(typeof(WarmRequest))]
[JsonSerializable(typeof(UserProfile))]
[JsonSerializable(typeof(UserState))]
[JsonSerializable(typeof(ModelList))]
[JsonSerializable(typeof(ModelSummary))]
[JsonSerializable(typeof(Job))]
[JsonSerializable(typeof(ProblemDetails))]
internal sealed partial class ClientJson : JsonSerializerContext;

/// <summary>Members of RFC 9457 problem details that the client reads.</summary>
internal sealed record ProblemDetails(string? Code, string? Title, string? Detail, string? Place);
