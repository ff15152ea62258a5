-- A state file as schema version 1 wrote it: two items, one with a representation, and two users.
PRAGMA journal_mode = WAL;
PRAGMA application_id = 0x52656342;
PRAGMA user_version = 1;

CREATE TABLE sequence (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE item (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
    impressions INTEGER NOT NULL, clicks INTEGER NOT NULL, first_seen INTEGER) STRICT;
CREATE TABLE content (item INTEGER PRIMARY KEY, json TEXT NOT NULL, image BLOB, image_features BLOB) STRICT;
CREATE TABLE representation (
    item INTEGER NOT NULL, bundle TEXT NOT NULL, source INTEGER NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (item, bundle)) STRICT, WITHOUT ROWID;
CREATE TABLE user (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
    impressions INTEGER NOT NULL, clicks INTEGER NOT NULL, attributes TEXT) STRICT;
CREATE TABLE history (
    user INTEGER NOT NULL, time INTEGER NOT NULL, number INTEGER NOT NULL, item TEXT NOT NULL, action TEXT NOT NULL,
    PRIMARY KEY (user, time, number)) STRICT, WITHOUT ROWID;
CREATE TABLE arrival (
    user INTEGER NOT NULL, event TEXT NOT NULL, arrived INTEGER NOT NULL,
    PRIMARY KEY (user, event)) STRICT, WITHOUT ROWID;

INSERT INTO sequence VALUES ('item_version', 12);
INSERT INTO item VALUES (1, 'heat', 11, 2, 1, 500), (3, 'alien', 4, 0, 0, NULL);
INSERT INTO content VALUES
    (1, '{"title":"Heat","categories":["Crime"],"attributes":{"year":"1995"}}', NULL, NULL),
    (3, '{"title":"Alien","tags":["space"]}', x'FFD8', x'0000803F00000040');
INSERT INTO representation VALUES (3, 'bundle-1', 0, x'0000003F0000C03F');
INSERT INTO user VALUES (1, 'ann', 4, 2, 1, '{"age":"25"}'), (2, 'bob', 1, 0, 0, '{"age":"40"}');
INSERT INTO history VALUES (1, 900, 3, 'heat', 'click');
-- Ann's first event ID has left the window already.
INSERT INTO arrival VALUES (1, 'e3', 3000), (1, 'e2', 2000);
