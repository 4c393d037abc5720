//! Rebuilding: a new ledger from the files, where the old one is empty, damaged, missing or of another workspace.
//!
//! Images, candidates and checkpoints are files and are found again; scores, reward bounds, verdicts, curves and recipes
//! of runs were in the ledger only. Nothing is deleted: what cannot be used is set aside under another name.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::config::ConfigFile;
use super::files::{self, CANDIDATES_DIR, IMAGES_DIR, LEDGER_FILE, RUNS_DIR, SamplerKey};
use super::ledger::{
    CandidateSet, CheckpointId, CheckpointKind, ImageRow, Ledger, NewCandidate, NewCheckpoint, NewImage, NewReference,
    NewRun, RunState, SplitChoice, prompt_of,
};
use super::lock::WriterLock;
use super::save::PAIRS_FILE;
use super::{Workspace, absolute, place, refuse_foreign};
use crate::fs::hash;
use crate::imaging::decode;
use crate::{Error, Result, input};

/// Why a run that was found again is over.
const FOUND_AGAIN: &str = "found again after the ledger was lost, and with it its recipe and curves";

impl Workspace {
    /// The recipe at a directory, also where nothing else can be opened; `None` where it cannot be read.
    pub fn recipe_left<R: DeserializeOwned>(dir: impl AsRef<Path>) -> Option<R> {
        ConfigFile::of(dir.as_ref()).recipe().ok()
    }

    /// Sets right what opening refuses, and returns what was done, a line each. `reference` is what candidates without a
    /// run were made with, `recipe` what a `workspace.ron` that cannot be read is replaced with if the ledger knows none.
    ///
    /// A ledger that works is kept, and only files are looked at: damaged candidates are discarded, damaged images named.
    pub fn rebuild(dir: impl AsRef<Path>, reference: &NewReference, recipe: &str) -> Result<Vec<String>> {
        let root = absolute(dir.as_ref())?;
        let config = ConfigFile::of(&root);
        if !config.exists() && !root.join(IMAGES_DIR).is_dir() {
            return Err(Error::file(root, "this directory is not a workspace, nor what is left of one"));
        }
        place::refuse_linked_files(&root)?;
        let ledger_path = root.join(LEDGER_FILE);
        if ledger_path.is_file() {
            Ledger::refuse_newer(&ledger_path)?;
        }
        let lock = WriterLock::acquire(&root)?;
        let mut lines = Vec::new();
        let kept = ledger_path.is_file().then(|| Ledger::open_writer(&ledger_path)).transpose();
        let kept = kept.ok().flatten();
        let kept = kept.filter(|ledger| ledger.is_sound() && refuse_foreign(&root, ledger, 0).is_ok());
        if !config.is_readable()? {
            let last = kept.as_ref().and_then(|ledger| ledger.runs().ok()?.pop());
            let (recipe, whose) = match &last {
                Some(run) => (run.recipe.as_str(), format!("the recipe of {}", run.name)),
                None => (recipe, "the recipe of a new workspace".into()),
            };
            if config.exists() {
                lines.push(set_aside(&root, files::WORKSPACE_FILE)?);
            }
            config.set_recipe_text(recipe)?;
            lines.push(format!("{}: written with {whose}", files::WORKSPACE_FILE));
        }
        let is_new = kept.is_none();
        let ledger = match kept {
            Some(ledger) => ledger,
            None => {
                for name in ["", "-wal", "-shm"].map(|suffix| format!("{LEDGER_FILE}{suffix}")) {
                    if root.join(&name).exists() {
                        lines.push(set_aside(&root, &name)?);
                    }
                }
                Ledger::create(&ledger_path)?
            }
        };
        let workspace = Self { root, config, ledger, findings: Vec::new(), lock: Some(lock.into()) };
        if is_new {
            // In one transaction: a ledger rebuilt by half would be taken for whole.
            workspace.ledger.atomically(|_| workspace.register_files(reference, &mut lines))?;
        } else {
            lines.push(format!("{LEDGER_FILE}: works and is kept"));
        }
        workspace.look_at_files(&mut lines)?;
        lines.extend(workspace.repair()?.iter().map(ToString::to_string));
        Ok(lines)
    }

    fn register_files(&self, reference: &NewReference, lines: &mut Vec<String>) -> Result<()> {
        let mut images = 0;
        for dir in names(&self.root.join(IMAGES_DIR)) {
            match self.register_image(&dir) {
                Ok(()) => images += 1,
                Err(error) => lines.push(format!("{IMAGES_DIR}/{dir}: left out: {error}")),
            }
        }
        lines.push(format!(
            "{images} image(s) found; which were held out is lost: all of them are now, the library or `split` can change that"
        ));
        let checkpoint = self.ledger.ensure_reference(reference)?;
        let mut checkpoints = vec![(self.ledger.checkpoint(checkpoint)?.name, checkpoint)];
        for dir in names(&self.root.join(RUNS_DIR)) {
            checkpoints.extend(self.register_run(&dir, &reference.backbone)?);
        }
        lines.push(format!("{} checkpoint(s) of runs found", checkpoints.len() - 1));
        let (mut found, mut left) = (0, 0);
        for image in self.ledger.images()? {
            for name in names(&self.root.join(CANDIDATES_DIR).join(&image.dir)) {
                let of_image = self.root.join(CANDIDATES_DIR).join(&image.dir).join(&name);
                if of_image.join(SamplerKey::imported().as_str()).is_dir()
                    && !checkpoints.iter().any(|(known, _)| *known == name)
                {
                    checkpoints.push((name.clone(), self.ledger.ensure_imported_dir(&name)?));
                }
                let known = checkpoints.iter().find(|(known, _)| *known == name).map(|&(_, id)| id);
                let [new, lost] = self.register_candidates(&image, &name, known)?;
                (found, left) = (found + new, left + lost);
            }
        }
        lines.push(format!("{found} candidate(s) found, {left} damaged or of unknown weights left out"));
        lines
            .push("lost: scores, reward bounds, verdicts on pairs, curves of runs, names and sources of images".into());
        Ok(())
    }

    fn register_image(&self, dir: &str) -> Result<()> {
        let lr_path = files::lr_path(dir)?;
        let path = self.path(&lr_path);
        let lr = decode::read(&path)?;
        let hr_path = files::hr_path(dir)?;
        let new = NewImage {
            name: dir.to_owned(),
            source: "found again after the ledger was lost".into(),
            source_hash: hash::hash_file(&path)?,
            variant: format!("found as {dir}"),
            split: SplitChoice::ByRule,
            lr_width_px: lr.width() as u32,
            lr_height_px: lr.height() as u32,
            ..NewImage::default()
        };
        let hr_path = self.path(&hr_path).is_file().then_some(hr_path);
        let id = self.ledger.insert_image(&new, dir, &lr_path, hr_path.as_ref())?;
        match input::read_text(self.path(&files::prompt_path(dir)?)) {
            Ok(prompt) => self.ledger.set_prompt(id, &prompt_of(&prompt)),
            Err(_) => Ok(()),
        }
    }

    /// Registers the checkpoints of a run directory; returns their names.
    fn register_run(&self, dir: &str, backbone: &str) -> Result<Vec<(String, CheckpointId)>> {
        let run_dir = self.root.join(RUNS_DIR).join(dir);
        let mut steps: Vec<(u32, CheckpointKind)> =
            names(&run_dir.join("checkpoints")).iter().filter_map(|name| files::checkpoint_of(name)).collect();
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        steps.sort_unstable();
        // Its pairs name images by numbers that the new ledger gives to others.
        if run_dir.join(PAIRS_FILE).exists() {
            set_aside(&run_dir, PAIRS_FILE)?;
        }
        let new = NewRun { name: dir.to_owned(), recipe: "()".into(), seed: 0, parent: None, round: 0 };
        let run = self.ledger.insert_run(&new, dir, "")?;
        self.ledger.set_run_state(run, RunState::Cancelled, Some(FOUND_AGAIN))?;
        let mut found = Vec::new();
        for (step, kind) in steps {
            let path = files::checkpoint_path(dir, step, kind.suffix())?;
            let name = files::checkpoint_name(dir, step, kind.suffix());
            let new =
                NewCheckpoint { run, step, kind, backbone: backbone.to_owned(), state: None, held_out_reward: None };
            let id = self.ledger.insert_checkpoint(&new, &name, &path, &hash::hash_file(&self.path(&path))?)?;
            found.push((name, id));
        }
        Ok(found)
    }

    /// Registers the candidates of an image that a checkpoint made; returns how many, and how many were left out.
    fn register_candidates(&self, image: &ImageRow, name: &str, known: Option<CheckpointId>) -> Result<[usize; 2]> {
        let of_checkpoint = self.root.join(CANDIDATES_DIR).join(&image.dir).join(name);
        let (mut new, mut left) = (Vec::new(), 0);
        for sampler_dir in names(&of_checkpoint) {
            let sampler = SamplerKey::of_dir(&sampler_dir);
            for file in names(&of_checkpoint.join(&sampler_dir)) {
                let seed = file.strip_suffix(".png").and_then(|seed| seed.parse::<u64>().ok());
                let Some(seed) = seed else { continue };
                let (Some(checkpoint), Ok(sampler)) = (known, &sampler) else {
                    left += 1;
                    continue;
                };
                let path = files::candidate_path(&image.dir, name, sampler, seed)?;
                if self.candidate_damage(image, &path).is_some() {
                    left += 1;
                    continue;
                }
                let set = CandidateSet { checkpoint, sampler: sampler.clone() };
                new.push((NewCandidate { set, image: image.id, seed, seconds: f64::NAN }, path));
            }
        }
        self.ledger.insert_candidates(new.iter().map(|(candidate, path)| (candidate, path)))?;
        Ok([new.len(), left])
    }

    /// Discards damaged candidates and names damaged images.
    fn look_at_files(&self, lines: &mut Vec<String>) -> Result<()> {
        for (set, _) in self.ledger.candidate_sets()? {
            for candidate in self.ledger.candidates(&set)? {
                if let Some(damage) = self.discard_if_damaged(&candidate)? {
                    lines.push(format!("{}: {damage}; discarded, it will be sampled again", candidate.path));
                }
            }
        }
        for image in self.ledger.images()?.iter().filter(|image| !image.file_missing && !self.is_image_whole(image)) {
            lines.push(format!("{IMAGES_DIR}/{}: damaged; add “{}” again, or remove it", image.dir, image.source));
        }
        Ok(())
    }
}

/// Gives a file of the workspace a name under which nobody looks for it; returns a line that says so.
fn set_aside(root: &Path, name: &str) -> Result<String> {
    let (stem, extension) = name.split_once('.').unwrap_or((name, "old"));
    let free = |number: u32| -> (String, PathBuf) {
        let aside = format!("{stem}.old-{number}.{extension}");
        (aside.clone(), root.join(aside))
    };
    let (aside, path) = (1..).map(free).find(|(_, path)| !path.exists()).unwrap_or_else(|| free(0));
    let from = root.join(name);
    fs::rename(&from, &path).map_err(|e| Error::file(&from, format!("cannot be set aside: {e}")))?;
    Ok(format!("{name}: set aside as {aside}"))
}

/// The names in a directory that are plain text, in order; none where it cannot be listed. Links are left out.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_plain = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| !kind.is_symlink());
    let mut names: Vec<String> =
        entries.filter(is_plain).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    names
}
