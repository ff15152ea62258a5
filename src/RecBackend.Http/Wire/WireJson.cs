using System.Text.Json.Serialization;
using RecBackend.Http.Cluster;
using RecBackend.Http.Embeddings;
using RecBackend.Http.Events;
using RecBackend.Http.Health;
using RecBackend.Http.Items;
using RecBackend.Http.Jobs;
using RecBackend.Http.Models;
using RecBackend.Http.Ranking;
using RecBackend.Http.Users;
using RecBackend.Http.Warming;

namespace RecBackend.Http.Wire;

/// <summary>How every body but that of a ranking is read and written: snake case, and no member passes that the type does not have.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    AllowDuplicateProperties = false,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(RankBody))]
[JsonSerializable(typeof(RankReply))]
[JsonSerializable(typeof(EventBody))]
[JsonSerializable(typeof(BatchReply))]
[JsonSerializable(typeof(ItemBody))]
[JsonSerializable(typeof(ItemReply))]
[JsonSerializable(typeof(UserBody))]
[JsonSerializable(typeof(UserReply))]
[JsonSerializable(typeof(EmbeddingBody))]
[JsonSerializable(typeof(WarmBody))]
[JsonSerializable(typeof(JobReply))]
[JsonSerializable(typeof(JobListReply))]
[JsonSerializable(typeof(ModelReply))]
[JsonSerializable(typeof(ModelListReply))]
[JsonSerializable(typeof(ClusterReply))]
[JsonSerializable(typeof(HealthReply))]
internal sealed partial class WireJson : JsonSerializerContext;
