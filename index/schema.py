"""The tables of a store, of this version: what they hold and why. How older stores come up to it: `index.migrate`.

One store holds many collections, each with its Space. Numbers (AUTOINCREMENT) are never given twice, so that a stale
one cannot name somebody else. Every row that an answer rests on carries a CRC of its fields.
"""

from typing import Final

SCHEMA_VERSION: Final = 2

TABLES: Final = """
CREATE TABLE store (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    store_id TEXT NOT NULL,           -- random, of this file: exports and receipts name it
    salt BLOB NOT NULL,               -- 32 random bytes: the audit log knows Subjects by a keyed digest alone
    sealed TEXT NOT NULL,             -- '' or the id of the key that embeddings are encrypted with
    scrub_pending INTEGER NOT NULL    -- rows are deleted, but their bytes may still be in the log or in free pages
);
CREATE TABLE collections (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    space TEXT NOT NULL,              -- JSON
    space_id TEXT NOT NULL,           -- of that JSON: tells a flipped bit
    seq INTEGER NOT NULL,             -- of the last operation here: a cache compares it with its own
    pruned INTEGER NOT NULL,          -- operations up to this one are no longer in the log
    subjects INTEGER NOT NULL         -- how many there are; triggers count them
);
CREATE TABLE tallies (                -- Templates by the model that made them; triggers count them
    collection INTEGER NOT NULL REFERENCES collections (number) ON DELETE CASCADE,
    model_id TEXT NOT NULL,
    templates INTEGER NOT NULL,
    PRIMARY KEY (collection, model_id)
) WITHOUT ROWID;
CREATE TABLE settings (
    collection INTEGER NOT NULL REFERENCES collections (number) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (collection, name)
) WITHOUT ROWID;
CREATE TABLE subjects (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections (number),
    subject_id TEXT NOT NULL,
    name TEXT NOT NULL,
    details TEXT NOT NULL,            -- JSON: external_id, metadata, consent, purpose
    expires TEXT,                     -- ISO 8601, UTC; NULL: never
    created TEXT NOT NULL,            -- ISO 8601, UTC; '' when unknown
    crc INTEGER NOT NULL,
    UNIQUE (collection, subject_id)
);
CREATE INDEX subjects_that_expire ON subjects (expires) WHERE expires IS NOT NULL;
CREATE TABLE templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject INTEGER NOT NULL REFERENCES subjects (number),
    model_id TEXT NOT NULL,
    source TEXT NOT NULL,             -- SHA-256 of the photo's bytes; '' when unknown
    quality TEXT NOT NULL,            -- JSON list of reasons to distrust the photo
    created TEXT NOT NULL,            -- ISO 8601, UTC; '' when unknown
    embedding BLOB NOT NULL,          -- dim fp16, little-endian; or sealed, see index.sealing
    crc INTEGER NOT NULL
);
CREATE INDEX templates_of_subject ON templates (subject);
CREATE TABLE negatives (              -- embeddings of photos that are not of a Subject, though they look like it
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject INTEGER NOT NULL REFERENCES subjects (number),
    model_id TEXT NOT NULL,
    created TEXT NOT NULL,
    embedding BLOB NOT NULL,
    crc INTEGER NOT NULL
);
CREATE INDEX negatives_of_subject ON negatives (subject);
CREATE TABLE operations (             -- what a cache replays; no vectors
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections (number) ON DELETE CASCADE,
    kind TEXT NOT NULL,               -- enrol, erase, move; subject: no Template came or went
    template INTEGER NOT NULL,        -- 0 where none is meant
    subject INTEGER NOT NULL          -- the Subject's number after the operation
);
CREATE TABLE merges (                 -- what it takes to undo one
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections (number) ON DELETE CASCADE,
    kept INTEGER NOT NULL,            -- number of the Subject that has the Templates now
    merged TEXT NOT NULL,             -- JSON: the row of the Subject that went
    templates TEXT NOT NULL,          -- JSON list of the Template ids that were its own
    negatives TEXT NOT NULL,          -- JSON list of the ids of its negative examples
    created TEXT NOT NULL,
    undone TEXT                       -- ISO 8601, UTC
);
CREATE TABLE thresholds (
    collection INTEGER NOT NULL REFERENCES collections (number) ON DELETE CASCADE,
    model_id TEXT NOT NULL,           -- of the probes
    fpir REAL NOT NULL,
    body TEXT NOT NULL,               -- JSON of a Threshold: value, N, interval, what it was calibrated on, date
    PRIMARY KEY (collection, model_id, fpir)
) WITHOUT ROWID;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,                 -- ISO 8601, UTC
    actor TEXT NOT NULL,              -- the id of an API key, or `cli`
    action TEXT NOT NULL,             -- identify, enrol, forget, swap, …
    collection TEXT NOT NULL,
    subject TEXT NOT NULL,            -- keyed digest of the subject id; '' where nobody is meant
    body TEXT NOT NULL,               -- JSON, without images, vectors or names
    previous TEXT NOT NULL,           -- hash of the row before
    hash TEXT NOT NULL                -- SHA-256 over previous and the fields
);
CREATE TABLE access_keys (
    key_id TEXT PRIMARY KEY,          -- public part of an API key
    digest BLOB NOT NULL,             -- SHA-256 of the secret part: 256 random bits need no slow hash
    label TEXT NOT NULL,
    scopes TEXT NOT NULL,             -- JSON list
    collections TEXT NOT NULL,        -- JSON list; empty: all
    created TEXT NOT NULL,
    expires TEXT,
    revoked TEXT
);
CREATE TABLE idempotency (            -- answers that a repeated request is given again
    key TEXT NOT NULL,
    scope TEXT NOT NULL,              -- who asked, of which address
    request TEXT NOT NULL,            -- SHA-256 of the body
    status INTEGER NOT NULL,
    answer TEXT NOT NULL,             -- JSON
    created TEXT NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;

CREATE TRIGGER subject_came AFTER INSERT ON subjects BEGIN
    UPDATE collections SET subjects = subjects + 1 WHERE number = NEW.collection;
END;
CREATE TRIGGER subject_went AFTER DELETE ON subjects BEGIN
    UPDATE collections SET subjects = subjects - 1 WHERE number = OLD.collection;
END;
CREATE TRIGGER template_came AFTER INSERT ON templates BEGIN
    INSERT INTO tallies SELECT collection, NEW.model_id, 1 FROM subjects WHERE number = NEW.subject
    ON CONFLICT (collection, model_id) DO UPDATE SET templates = templates + 1;
END;
CREATE TRIGGER template_went AFTER DELETE ON templates BEGIN
    UPDATE tallies SET templates = templates - 1
    WHERE collection = (SELECT collection FROM subjects WHERE number = OLD.subject) AND model_id = OLD.model_id;
    DELETE FROM tallies WHERE templates = 0
    AND collection = (SELECT collection FROM subjects WHERE number = OLD.subject) AND model_id = OLD.model_id;
END;
"""
