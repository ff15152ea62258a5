namespace RecBackend.Http.Authentication;

/// <summary>What a key may do. A key holds one or more; <see cref="Admin"/> alone grants everything.</summary>
[Flags]
public enum ApiScope
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Rank, and read items.</summary>
    Rank = 1,

    /// <summary>Write events, items, users' attributes and embeddings, and read them. Not to erase a user, which nothing brings back.</summary>
    Ingest = 2,

    /// <summary>Everything, models, warming, jobs and the erasure of users included.</summary>
    Admin = 4,
}

/// <summary>Reading scopes from configuration and asking for them.</summary>
public static class ApiScopes
{
    /// <summary>Names that configuration may use, for messages.</summary>
    public const string Known = "rank, ingest, admin";

    /// <summary>What any key will do for.</summary>
    public const ApiScope Any = ApiScope.Rank | ApiScope.Ingest | ApiScope.Admin;

    /// <summary>Reads one scope by its lower-case name.</summary>
    public static bool TryParse(string? name, out ApiScope scope)
    {
        scope = name switch
        {
            "rank" => ApiScope.Rank,
            "ingest" => ApiScope.Ingest,
            "admin" => ApiScope.Admin,
            _ => ApiScope.None,
        };
        return scope != ApiScope.None;
    }

    /// <summary>Whether a key with <paramref name="granted"/> may do what needs <paramref name="required"/>: any one of the required scopes is enough, and admin always is.</summary>
    public static bool Allow(this ApiScope granted, ApiScope required) =>
        (granted & (required | ApiScope.Admin)) != ApiScope.None;
}
