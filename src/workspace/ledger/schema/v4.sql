-- Version 4: prompts of images, for backbones that read them.

ALTER TABLE images ADD COLUMN prompt TEXT NOT NULL DEFAULT '';
-- What the sampler of its candidates ends with, where the backbone reads prompts: 16 digits of the prompt's SHA-256, 0 for none.
ALTER TABLE images ADD COLUMN prompt_hash TEXT NOT NULL DEFAULT '0';
