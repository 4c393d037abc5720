-- Version 7: who said a verdict. Each rater has one on a pair; of several the last counts.

ALTER TABLE pair_overrides ADD COLUMN rater TEXT NOT NULL DEFAULT ''; -- '' where no name was given
DROP INDEX one_override_per_pair;
CREATE UNIQUE INDEX one_override_per_pair_and_rater ON pair_overrides
    (checkpoint_id, sampler, image_id, min(winner_seed, loser_seed), max(winner_seed, loser_seed), rater);
