-- Version 6: quantiles of each metric beside its extremes, for rewards that a failed candidate must not squeeze. NULL where the
-- bounds were frozen before: the next curation completes them.

ALTER TABLE reward_bounds ADD COLUMN low REAL;
ALTER TABLE reward_bounds ADD COLUMN high REAL;
