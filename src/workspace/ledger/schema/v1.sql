-- Version 1 of the ledger. Never edit a version that was released: add the next one (see schema.rs).
--
-- Flags are 0 or 1. Times (`*_at_secs`) are seconds since 1970 UTC. Paths are relative to the workspace.
-- `file_missing` is what the last repair found: 1 while the file of the row is not there.
-- A number that is not a number (NaN) is stored as NULL, because SQLite knows no NaN.

CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    dir TEXT NOT NULL UNIQUE COLLATE NOCASE,  -- directory under images/ and candidates/
    name TEXT NOT NULL,                       -- as the user knows it; need not be unique
    lr_path TEXT NOT NULL,
    hr_path TEXT,
    lr_width_px INTEGER NOT NULL,
    lr_height_px INTEGER NOT NULL,
    held_out INTEGER NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0,       -- removed by the user, who may undo it
    degradation TEXT,                         -- JSON: how the LR image was made from the HR image
    source TEXT NOT NULL,                     -- where it came from; for people, never opened again
    source_hash TEXT NOT NULL,                -- SHA-256 of the source file
    variant TEXT NOT NULL,                    -- what was made of the source: crop, degradation; '' if all of it
    added_at_secs INTEGER NOT NULL,
    file_missing INTEGER NOT NULL DEFAULT 0,
    UNIQUE (source_hash, variant)
) STRICT;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    dir TEXT NOT NULL UNIQUE COLLATE NOCASE,  -- directory under runs/
    recipe TEXT NOT NULL,                     -- the recipe it was started with, RON
    seed INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'done', 'failed', 'collapsed', 'cancelled')),
    message TEXT,                             -- why it failed or collapsed
    parent_id INTEGER REFERENCES runs (id),   -- the run of the round before
    round INTEGER NOT NULL,                   -- 0 for the first
    started_at_secs INTEGER NOT NULL,
    ended_at_secs INTEGER
) STRICT;

CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE, -- directory under candidates/<image>/
    backbone TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('reference', 'policy', 'ema')),
    run_id INTEGER REFERENCES runs (id),      -- NULL for a reference
    step INTEGER NOT NULL,
    path TEXT,                                -- NULL: weights that lie outside (compiled in, or a pretrained model)
    state_path TEXT,                          -- what resuming needs besides the weights
    weights_hash TEXT NOT NULL,
    held_out_reward REAL,
    added_at_secs INTEGER NOT NULL,
    file_missing INTEGER NOT NULL DEFAULT 0,
    state_missing INTEGER NOT NULL DEFAULT 0, -- the same for state_path
    CHECK ((kind = 'reference') = (run_id IS NULL)),
    UNIQUE (run_id, step, kind)
) STRICT;
CREATE UNIQUE INDEX reference_by_weights ON checkpoints (weights_hash) WHERE run_id IS NULL;

CREATE TABLE candidates (
    id INTEGER PRIMARY KEY,
    checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
    sampler TEXT NOT NULL,
    image_id INTEGER NOT NULL REFERENCES images (id),
    seed INTEGER NOT NULL,                    -- the 64 bits of an unsigned number
    path TEXT NOT NULL,
    seconds REAL,
    added_at_secs INTEGER NOT NULL,
    file_missing INTEGER NOT NULL DEFAULT 0,
    -- In this order one group is a range of the index, and so are all groups of a checkpoint.
    UNIQUE (checkpoint_id, sampler, image_id, seed)
) STRICT;

CREATE TABLE scorers (
    id INTEGER PRIMARY KEY,
    metric TEXT NOT NULL,
    weights_hash TEXT NOT NULL,               -- '' for a metric without weights
    crop_policy TEXT NOT NULL,
    version TEXT NOT NULL,
    UNIQUE (metric, weights_hash, crop_policy, version)
) STRICT;

CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE scores (
    candidate_id INTEGER NOT NULL REFERENCES candidates (id) ON DELETE CASCADE,
    scorer_id INTEGER NOT NULL REFERENCES scorers (id),
    value REAL,
    device_id INTEGER NOT NULL REFERENCES devices (id),
    PRIMARY KEY (candidate_id, scorer_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE reward_bounds (
    scorer_id INTEGER PRIMARY KEY REFERENCES scorers (id),
    min REAL NOT NULL,
    max REAL NOT NULL,
    checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id),
    sampler TEXT NOT NULL,
    fitted_at_secs INTEGER NOT NULL
) STRICT;

CREATE TABLE pair_overrides (
    checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
    sampler TEXT NOT NULL,
    image_id INTEGER NOT NULL REFERENCES images (id),
    winner_seed INTEGER NOT NULL,             -- as ranked when the user decided
    loser_seed INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('exclude', 'flip', 'pin')),
    decided_at_secs INTEGER NOT NULL,
    CHECK (winner_seed <> loser_seed)
) STRICT;
-- A pair is the same pair whichever of the two wins.
CREATE UNIQUE INDEX one_override_per_pair ON pair_overrides
    (checkpoint_id, sampler, image_id, min(winner_seed, loser_seed), max(winner_seed, loser_seed));

CREATE TABLE steps (
    run_id INTEGER NOT NULL REFERENCES runs (id),
    step INTEGER NOT NULL,
    loss REAL,
    implicit_accuracy REAL,
    margin REAL,
    policy_winner_error REAL,
    policy_loser_error REAL,
    reference_winner_error REAL,
    reference_loser_error REAL,
    grad_norm REAL,
    learning_rate REAL,
    seconds REAL,
    extra TEXT,                               -- JSON
    PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE evaluations (
    run_id INTEGER NOT NULL REFERENCES runs (id),
    step INTEGER NOT NULL,
    split TEXT NOT NULL CHECK (split IN ('held_out', 'trained')),
    report TEXT NOT NULL,                     -- JSON
    seconds REAL,
    PRIMARY KEY (run_id, step, split)
) STRICT, WITHOUT ROWID;
