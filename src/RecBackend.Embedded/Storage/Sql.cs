namespace RecBackend.Embedded.Storage;

/// <summary>Every SQL statement of the engine. Parameters are ?1, ?2, … in the order in which <see cref="Statement"/> binds them.</summary>
internal static class Sql
{
    /// <summary>
    /// WAL with synchronous=FULL: COMMIT returns after the fsync of the log. secure_delete: what is erased is overwritten with zeros.
    /// The log is copied into the database file every 16 MiB, and shrunk to 64 MiB if a long read made it grow.
    /// </summary>
    public const string ConfigureWriter = """
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA secure_delete = ON;
        PRAGMA wal_autocheckpoint = 4096;
        PRAGMA journal_size_limit = 67108864;
        PRAGMA cache_size = -65536;
        PRAGMA temp_store = MEMORY;
        PRAGMA busy_timeout = 3000;
        """;

    public const string ConfigureReader = """
        PRAGMA query_only = ON;
        PRAGMA cache_size = -4096;
        PRAGMA temp_store = MEMORY;
        PRAGMA busy_timeout = 3000;
        """;

    public const string ReadJournalMode = "PRAGMA journal_mode";

    public const string Begin = "BEGIN IMMEDIATE";
    public const string BeginRead = "BEGIN";
    public const string Commit = "COMMIT";
    public const string Rollback = "ROLLBACK";

    /// <summary>Copies the whole log into the database file and empties it. Row: 1 if a reader stood in the way.</summary>
    public const string TruncateLog = "PRAGMA wal_checkpoint(TRUNCATE)";

    public static class Schema
    {
        public const string ReadVersion = "PRAGMA user_version";
        public const string ReadApplication = "PRAGMA application_id";
        public const string CountTables = "SELECT count(*) FROM sqlite_schema";

        /// <summary>Says in the file's header whose file it is: "RecB".</summary>
        public const int Application = 0x52656342;

        /// <summary>The current schema, from nothing.</summary>
        public const string Create = """
            PRAGMA application_id = 0x52656342;
            PRAGMA user_version = 2;

            CREATE TABLE sequence (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
            INSERT INTO sequence VALUES ('item_version', 0);

            -- Small rows, so that counting an event writes little: content and vectors are elsewhere.
            CREATE TABLE item (
                key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
                impressions INTEGER NOT NULL, clicks INTEGER NOT NULL, first_seen INTEGER,
                content_version INTEGER NOT NULL DEFAULT 0) STRICT;
            CREATE TABLE content (item INTEGER PRIMARY KEY, json TEXT NOT NULL, image BLOB, image_features BLOB) STRICT;
            CREATE TABLE representation (
                item INTEGER NOT NULL, bundle TEXT NOT NULL, source INTEGER NOT NULL, vector BLOB NOT NULL,
                PRIMARY KEY (item, bundle)) STRICT, WITHOUT ROWID;

            CREATE TABLE user (
                key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
                impressions INTEGER NOT NULL, clicks INTEGER NOT NULL, attributes TEXT) STRICT;
            -- number: the how-manieth event of the user it was. Clustered by user: an event touches one page of each table.
            CREATE TABLE history (
                user INTEGER NOT NULL, time INTEGER NOT NULL, number INTEGER NOT NULL, item TEXT NOT NULL, action TEXT NOT NULL,
                PRIMARY KEY (user, time, number)) STRICT, WITHOUT ROWID;
            CREATE TABLE arrival (
                user INTEGER NOT NULL, event TEXT NOT NULL, number INTEGER NOT NULL, arrived INTEGER NOT NULL,
                PRIMARY KEY (user, event)) STRICT, WITHOUT ROWID;
            """;

        /// <summary>Version 2 knows which write made an item's content, and bounds event IDs by number as well as by age.</summary>
        public const string From1To2 = """
            ALTER TABLE item ADD COLUMN content_version INTEGER NOT NULL DEFAULT 0;
            UPDATE item SET content_version = version;

            ALTER TABLE arrival RENAME TO arrival_1;
            CREATE TABLE arrival (
                user INTEGER NOT NULL, event TEXT NOT NULL, number INTEGER NOT NULL, arrived INTEGER NOT NULL,
                PRIMARY KEY (user, event)) STRICT, WITHOUT ROWID;
            INSERT INTO arrival
                SELECT a.user, a.event,
                    u.impressions + u.clicks - count(*) OVER (PARTITION BY a.user)
                        + row_number() OVER (PARTITION BY a.user ORDER BY a.arrived, a.event),
                    a.arrived
                FROM arrival_1 a JOIN user u ON u.key = a.user;
            DROP TABLE arrival_1;

            PRAGMA user_version = 2;
            """;
    }

    public static class Items
    {
        public const string ReadSequence = "SELECT value FROM sequence WHERE name = 'item_version'";
        public const string WriteSequence = "UPDATE sequence SET value = ?1 WHERE name = 'item_version'";

        public const string Count = "SELECT count(*) FROM item";
        public const string ScanStates = "SELECT id, key, version, content_version, impressions, clicks, first_seen FROM item";

        public const string Insert = "INSERT INTO item (id, version, content_version, impressions, clicks) VALUES (?1, ?2, ?2, 0, 0) RETURNING key";
        public const string UpdateVersions = "UPDATE item SET version = ?2, content_version = ?3 WHERE key = ?1";
        public const string UpdateCounters = "UPDATE item SET version = ?2, impressions = ?3, clicks = ?4, first_seen = ?5 WHERE key = ?1";
        public const string Delete = "DELETE FROM item WHERE key = ?1";

        public const string WriteContent = "INSERT OR REPLACE INTO content (item, json, image, image_features) VALUES (?1, ?2, ?3, ?4)";
        public const string ReadContent = "SELECT json, image, image_features FROM content WHERE item = ?1";
        public const string DeleteContent = "DELETE FROM content WHERE item = ?1";

        public const string WriteRepresentation = "INSERT OR REPLACE INTO representation (item, bundle, source, vector) VALUES (?1, ?2, ?3, ?4)";
        public const string ReadRepresentations = "SELECT bundle, source, vector FROM representation WHERE item = ?1";
        public const string DeleteRepresentations = "DELETE FROM representation WHERE item = ?1";
        public const string DeleteComputed = "DELETE FROM representation WHERE item = ?1 AND source = ?2";
        public const string TrimRepresentations =
            "DELETE FROM representation WHERE item BETWEEN ?1 AND ?2 AND bundle NOT IN (SELECT value FROM json_each(?3))";
        public const string LastKey = "SELECT coalesce(max(key), 0) FROM item";

        public const string Read = "SELECT key, version, impressions, clicks, first_seen FROM item WHERE id = ?1";

        /// <summary>With <see cref="ScanRepresentations"/>: both run along the key, so that the files are read front to back.</summary>
        public const string Scan = """
            SELECT i.key, i.id, i.version, i.impressions, i.clicks, i.first_seen, c.json, c.image, c.image_features
            FROM item i JOIN content c ON c.item = i.key ORDER BY i.key
            """;
        public const string ScanRepresentations = "SELECT item, bundle, source, vector FROM representation ORDER BY item";
    }

    public static class Users
    {
        public const string Read = "SELECT key, version, impressions, clicks, attributes FROM user WHERE id = ?1";
        public const string Insert = "INSERT INTO user (id, version, impressions, clicks) VALUES (?1, 0, 0, 0) RETURNING key";
        public const string Update = "UPDATE user SET version = ?2, impressions = ?3, clicks = ?4, attributes = ?5 WHERE key = ?1";
        public const string Delete = "DELETE FROM user WHERE key = ?1";

        public const string ReadHistory = "SELECT item, action, time FROM history WHERE user = ?1 ORDER BY time DESC, number DESC LIMIT ?2";
        public const string InsertHistory = "INSERT INTO history (user, time, number, item, action) VALUES (?1, ?2, ?3, ?4, ?5)";
        public const string DeleteHistory = "DELETE FROM history WHERE user = ?1";

        /// <summary>Drops all but the newest ?2.</summary>
        public const string TrimHistory = """
            DELETE FROM history WHERE user = ?1 AND (time, number) <
                (SELECT time, number FROM history WHERE user = ?1 ORDER BY time DESC, number DESC LIMIT 1 OFFSET ?2 - 1)
            """;

        public const string FindArrival = "SELECT 1 FROM arrival WHERE user = ?1 AND event = ?2";

        /// <summary>Changes no row if the user has sent the event before.</summary>
        public const string InsertArrival = "INSERT OR IGNORE INTO arrival (user, event, number, arrived) VALUES (?1, ?2, ?3, ?4)";
        public const string CountArrivals = "SELECT count(*) FROM arrival WHERE user = ?1";
        public const string TrimArrivals = "DELETE FROM arrival WHERE user = ?1 AND number <= ?2 AND arrived < ?3";
        public const string DeleteArrivals = "DELETE FROM arrival WHERE user = ?1";
    }
}
