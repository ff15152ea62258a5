using System.Text.Json;
using System.Text.Json.Serialization;
using RecBackend.Core.Users;
using RecBackend.Embedded.Storage;

namespace RecBackend.Embedded.Users;

/// <summary>Reads users on one connection.</summary>
internal sealed class UserRows(Database database)
{
    private readonly Statement _read = database.Prepare(Sql.Users.Read);
    private readonly Statement _readHistory = database.Prepare(Sql.Users.ReadHistory);

    /// <summary>The user as this connection's transaction sees it.</summary>
    public StoredUser Read(string id)
    {
        if (!_read.Bind(1, id).Step())
        {
            return StoredUser.Unknown(id);
        }

        var key = _read.Int64(0);
        var snapshot = new UserSnapshot
        {
            Id = id,
            Known = true,
            Version = _read.Int64(1),
            Impressions = _read.Int64(2),
            Clicks = _read.Int64(3),
        };
        if (!_read.IsNull(4))
        {
            snapshot = snapshot with { Attributes = JsonSerializer.Deserialize(_read.Bytes(4), AttributesJson.Default.DictionaryStringString)! };
        }

        _read.Reset();
        var history = new List<HistoryEntry>();
        _readHistory.Bind(1, key).Bind(2, UserSnapshot.MaxHistory);
        while (_readHistory.Step())
        {
            history.Add(new(_readHistory.Text(0), _readHistory.Text(1), _readHistory.Int64(2)));
        }

        return new(key, ArrivalWindow.TrimAfterLoad(snapshot.Impressions + snapshot.Clicks), snapshot with { History = [.. history] });
    }
}

/// <summary>How attributes are stored: one JSON object of strings.</summary>
[JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class AttributesJson : JsonSerializerContext
{
    public static string? Write(IReadOnlyDictionary<string, string> attributes) =>
        attributes.Count == 0 ? null : JsonSerializer.Serialize(attributes.ToDictionary(), Default.DictionaryStringString);
}
