//! Saving: the whole file first, then its row. A kill in between leaves a file nobody knows, which the next attempt
//! replaces; never a row whose file is half written.

use std::fs;
use std::io::{self, Write};

use super::ledger::{
    CandidateId, CheckpointId, ImageId, ImageRow, NewCandidate, NewCheckpoint, NewImage, NewRun, RunId, RunRow,
    SplitChoice, prompt_of,
};
use super::{RelPath, Workspace, files};
use crate::fs::hash;
use crate::{Error, Result};

/// The pairs of a run, in its directory.
pub(super) const PAIRS_FILE: &str = "pairs.jsonl";

impl Workspace {
    /// Adds an image with its encoded PNG files. The same source and variant again adds nothing: the image that is there
    /// is returned, brought back if it was removed, given its files if they were lost and its HR image if it had none.
    /// Errors: another image of the same file is there and not removed, but for something else.
    pub fn add_image(&self, new: &NewImage, lr_png: &[u8], hr_png: Option<&[u8]>) -> Result<ImageId> {
        self.require_writable()?;
        let hashes = || std::iter::once(&new.source_hash).chain(&new.hr_source_hash);
        let split = self.split_for(new.split, hashes())?;
        if let Some(known) = self.ledger.image_of_source(&new.source_hash, &new.variant)? {
            if known.choice() != split {
                self.ledger.set_splits(&[(known.id, split)])?;
            }
            return self.add_known_image(&known, lr_png, hr_png, new.hr_source_hash.as_deref());
        }
        let dir = self.ledger.free_image_dir(new)?;
        let lr = files::lr_path(&dir)?;
        let hr = hr_png.map(|_| files::hr_path(&dir)).transpose()?;
        self.write_image(&lr, lr_png, hr.as_ref().zip(hr_png))?;
        let hashes: Vec<&str> = hashes().map(String::as_str).collect();
        self.ledger.atomically(|ledger| {
            let id = ledger.insert_image(&NewImage { split, ..new.clone() }, &dir, &lr, hr.as_ref())?;
            // Removed images of the same files come back as what these files are for now.
            if ledger.images_of_files(&hashes)?.iter().any(|image| image.choice() != split) {
                ledger.set_splits(&[(id, split)])?;
            }
            Ok(id)
        })
    }

    /// What a new image of the files of these hashes is for, where `wanted` is asked for: left to the rule, it goes with the
    /// others of its files.
    ///
    /// Taken silently, a picture meant to be held out would be trained on. So errors: another image of the same files is
    /// there and not removed, but for something else.
    pub fn split_for<'a>(
        &self,
        wanted: SplitChoice,
        hashes: impl IntoIterator<Item = &'a String>,
    ) -> Result<SplitChoice> {
        let hashes: Vec<&str> = hashes.into_iter().map(String::as_str).collect();
        let known = self.ledger.images_of_files(&hashes)?;
        let mut split = wanted;
        for known in known.iter().filter(|image| !image.removed) {
            let agrees = match wanted {
                SplitChoice::ByRule => known.is_held_out(),
                SplitChoice::Fixed(split) => known.split == split,
            };
            if !agrees {
                return Err(Error::invalid(format!(
                    "{} is here already, {}; the library or `split` can change that",
                    known.name,
                    known.split.phrase()
                )));
            }
            split = known.choice();
        }
        Ok(split)
    }

    /// Gives an image its HR image, encoded as PNG; `source` is the hash of the file it is of, where that is another one than
    /// the image's source. Scores against an earlier HR image are forgotten. Errors: that file is here for something else.
    pub fn set_hr(&self, id: ImageId, hr_png: &[u8], source: Option<&str>) -> Result<()> {
        self.require_writable()?;
        let image = self.ledger.image(id)?;
        self.split_for(image.choice(), source.map(str::to_owned).iter())?;
        let hr = files::hr_path(&image.dir)?;
        if image.hr_path.is_some() {
            // Forgotten first: no kill leaves scores against one image beside the file of another.
            self.ledger.forget_scores_of(id)?;
        }
        self.write_files(&[(&hr, hr_png)])?;
        self.ledger.set_hr_path(id, &hr, source)
    }

    /// Says what is to be seen on images, for backbones that read it. Kept beside each image too, where a lost ledger finds it
    /// again.
    pub fn set_prompts(&self, prompts: &[(ImageId, String)]) -> Result<()> {
        self.require_writable()?;
        for (id, text) in prompts {
            let prompt = prompt_of(text);
            self.write_file(&files::prompt_path(&self.ledger.image(*id)?.dir)?, prompt.as_bytes())?;
            self.ledger.set_prompt(*id, &prompt)?;
        }
        Ok(())
    }

    /// Saves candidates with their encoded PNG files, for instance those of one batch of seeds: either all of them are
    /// recorded or none. A candidate that was there before is replaced, and its scores are forgotten.
    pub fn save_candidates<B: AsRef<[u8]>>(&self, new: &[(NewCandidate, B)]) -> Result<Vec<CandidateId>> {
        self.save_candidates_with(new, &[], None)
    }

    /// [`save_candidates`](Self::save_candidates) with the files of their latents, in their order, and of what all of them were
    /// drawn under; these are in place first.
    pub fn save_candidates_with<B: AsRef<[u8]>>(
        &self,
        new: &[(NewCandidate, B)],
        latents: &[Vec<u8>],
        condition: Option<&[u8]>,
    ) -> Result<Vec<CandidateId>> {
        self.require_writable()?;
        let paths = new.iter().map(|(candidate, _)| self.candidate_path(candidate)).collect::<Result<Vec<_>>>()?;
        let kept = paths.iter().zip(latents).map(|(path, file)| Ok((files::latent_path(path)?, file.as_slice())));
        let condition = paths.first().zip(condition).map(|(path, file)| Ok((files::condition_path(path)?, file)));
        let kept = kept.chain(condition).collect::<Result<Vec<_>>>()?;
        self.write_files(&kept.iter().map(|(path, file)| (path, *file)).collect::<Vec<_>>())?;
        let content: Vec<_> = paths.iter().zip(new).map(|(path, (_, png))| (path, png)).collect();
        self.write_files(&content)?;
        let candidates = new.iter().map(|(candidate, _)| candidate);
        self.ledger.insert_candidates(candidates.zip(&paths))
    }

    /// Begins a run in the state `running` with the pairs it trains on: their file first, then the row, which knows the
    /// file's hash. Fails when the name is not allowed or taken.
    pub fn begin_run(&self, new: &NewRun, pairs: &[u8]) -> Result<RunId> {
        self.require_writable()?;
        // What lies in a directory that the ledger does not know is another run's: its state must not become this one's.
        let is_used = |dir: &str| {
            let entries = fs::read_dir(self.root.join(files::RUNS_DIR).join(dir)).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).any(|name| name != PAIRS_FILE)
        };
        let dir = self.ledger.free_run_dir(&new.name, is_used)?;
        self.write_file(&RelPath::new(format!("{}/{dir}/{PAIRS_FILE}", files::RUNS_DIR))?, pairs)?;
        self.ledger.insert_run(new, &dir, &hash::hash_bytes(pairs))
    }

    /// The file with the pairs of a run.
    pub fn pairs_file(&self, run: &RunRow) -> Result<RelPath> {
        self.run_file(run, PAIRS_FILE)
    }

    /// Saves what resuming a run at a step needs besides the weights.
    ///
    /// It counts once a checkpoint is saved with the returned path as its [`state`](NewCheckpoint::state).
    pub fn save_training_state(
        &self,
        run: RunId,
        step: u32,
        state: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<RelPath> {
        self.require_writable()?;
        let path = files::state_path(&self.ledger.run(run)?.dir, step)?;
        self.write_file_with(&path, state)?;
        Ok(path)
    }

    /// Saves a checkpoint of a run with the bytes of its safetensors file.
    ///
    /// The same run, step and kind again replaces it; with other weights its candidates are forgotten.
    pub fn save_checkpoint(&self, new: &NewCheckpoint, weights: &[u8]) -> Result<CheckpointId> {
        self.require_writable()?;
        let run_dir = self.ledger.run(new.run)?.dir;
        let suffix = new.kind.suffix();
        let name = files::checkpoint_name(&run_dir, new.step, suffix);
        let path = files::checkpoint_path(&run_dir, new.step, suffix)?;
        self.write_file(&path, weights)?;
        self.ledger.insert_checkpoint(new, &name, &path, &hash::hash_bytes(weights))
    }

    /// Deletes the training states of a run but for those of its last `keep` steps that have one. The checkpoints stay.
    pub fn prune_training_states(&self, run: RunId, keep: u32) -> Result<()> {
        self.require_writable()?;
        self.ledger.forget_states(run, keep)?.iter().try_for_each(|path| self.delete_file(path))
    }

    fn add_known_image(
        &self,
        known: &ImageRow,
        lr_png: &[u8],
        hr_png: Option<&[u8]>,
        hr_source: Option<&str>,
    ) -> Result<ImageId> {
        if known.removed {
            self.ledger.set_removed(known.id, false)?;
        }
        if known.file_missing || !self.is_image_whole(known) {
            self.write_image(&known.lr_path, lr_png, known.hr_path.as_ref().zip(hr_png))?;
            if known.hr_path.is_none() || hr_png.is_some() {
                self.ledger.mark_image_present(known.id)?;
            }
        }
        if let (None, Some(hr_png)) = (&known.hr_path, hr_png) {
            self.set_hr(known.id, hr_png, hr_source)?;
        }
        Ok(known.id)
    }

    fn candidate_path(&self, new: &NewCandidate) -> Result<RelPath> {
        let image = self.ledger.image(new.image)?;
        let checkpoint = self.ledger.checkpoint(new.set.checkpoint)?;
        let sampler = new.set.sampler.of_prompt(&image.prompt_hash);
        files::candidate_path(&image.dir, &checkpoint.name, &sampler, new.seed)
    }

    fn write_image(&self, lr: &RelPath, lr_png: &[u8], hr: Option<(&RelPath, &[u8])>) -> Result<()> {
        let content: Vec<_> = [(lr, lr_png)].into_iter().chain(hr).collect();
        self.write_files(&content)
    }
}
