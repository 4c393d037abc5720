-- Version 5: what people said of two candidates without knowing which is which.

CREATE TABLE judgements (
    checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
    sampler TEXT NOT NULL,
    image_id INTEGER NOT NULL REFERENCES images (id),
    left_seed INTEGER NOT NULL,               -- as they were shown
    right_seed INTEGER NOT NULL,
    choice TEXT NOT NULL CHECK (choice IN ('left', 'right', 'unsure', 'both_bad')),
    rater TEXT NOT NULL,                      -- '' where no name was given
    shuffle INTEGER NOT NULL,                 -- seed of the order and the sides; 64 bits of an unsigned number
    decided_at_secs INTEGER NOT NULL,
    CHECK (left_seed <> right_seed)
) STRICT;
-- A rater has one word on two candidates, on whichever sides they were.
CREATE UNIQUE INDEX one_judgement_per_pair_and_rater ON judgements
    (checkpoint_id, sampler, image_id, min(left_seed, right_seed), max(left_seed, right_seed), rater);
