-- Version 2: held-out images are split into validation, which chooses checkpoints, and test, which is reported.

ALTER TABLE images ADD COLUMN split TEXT NOT NULL DEFAULT 'train' CHECK (split IN ('train', 'validation', 'test'));
ALTER TABLE images ADD COLUMN split_by_rule INTEGER NOT NULL DEFAULT 0; -- held out, and the rule says which of the two
ALTER TABLE images ADD COLUMN hr_source_hash TEXT;      -- SHA-256 of the HR image's file, where it is another one
ALTER TABLE images ADD COLUMN fingerprint INTEGER;      -- 64 bits of how HR (else LR) looks; NULL: not known yet
ALTER TABLE images ADD COLUMN source_fingerprint INTEGER; -- the same of the whole source
-- Which of the two is said when the workspace is opened: the rule looks at hashes.
UPDATE images SET split = 'test', split_by_rule = 1 WHERE held_out <> 0;
ALTER TABLE images DROP COLUMN held_out;
CREATE INDEX images_by_hr_source ON images (hr_source_hash) WHERE hr_source_hash IS NOT NULL;

ALTER TABLE evaluations RENAME TO evaluations_before;
CREATE TABLE evaluations (
    run_id INTEGER NOT NULL REFERENCES runs (id),
    step INTEGER NOT NULL,
    measured_on TEXT NOT NULL CHECK (measured_on IN ('validation', 'test', 'held_out')),
    images INTEGER,                           -- how many; NULL: not known
    images_digest TEXT NOT NULL,              -- which: evaluations of one digest compare; '': not known
    report TEXT NOT NULL,                     -- JSON
    seconds REAL,
    PRIMARY KEY (run_id, step, measured_on)
) STRICT, WITHOUT ROWID;
-- No version of the program has written an evaluation of images trained on.
INSERT INTO evaluations SELECT run_id, step, split, NULL, '', report, seconds FROM evaluations_before
    WHERE split = 'held_out';
DROP TABLE evaluations_before;
