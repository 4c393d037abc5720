-- Version 3: what is whole only as a whole.

-- SHA-256 of the run's pairs.jsonl; NULL for a run of an earlier version.
ALTER TABLE runs ADD COLUMN pairs_hash TEXT;

-- Work of many rows that must not be taken for whole before its last: begun with the row, complete once it says so.
CREATE TABLE tasks (
    name TEXT PRIMARY KEY,
    about TEXT NOT NULL,                      -- JSON: what has to be known to go on with it
    complete INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
