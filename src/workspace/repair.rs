//! Repair: what a killed process, a full disk or a person in the file manager left behind, set right and told.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::files::{CANDIDATES_DIR, EXPORTS_DIR, IMAGES_DIR, RUNS_DIR, STATES_DIR};
use super::ledger::{FileCheck, FileRow, ImageRow, same_source};
use super::{RelPath, Workspace};
use crate::Result;
use crate::fs::atomic::is_temporary;
use crate::method::provenance::listed;

pub use super::ledger::FileOwner;

/// Deeper than any file of the layout.
const MAX_DEPTH: u32 = 8;

/// Something a repair found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A file that was being written when the process was killed; removed.
    Leftover {
        /// The file.
        path: PathBuf,
    },
    /// Files the ledger knows are not there. Candidates will be sampled again; images and checkpoints are lost unless the
    /// files come back.
    FilesMissing {
        /// What they were.
        owner: FileOwner,
        /// The directory they were in, relative to the workspace.
        dir: String,
        /// How many are missing there.
        missing: usize,
        /// One of them.
        example: RelPath,
    },
    /// Files that were missing before are there again, and count again.
    FilesBack {
        /// What they are.
        owner: FileOwner,
        /// How many.
        count: usize,
    },
    /// The rule says for held-out images whether they are for validation or test, and said something else before.
    Split {
        /// How many images.
        images: usize,
    },
    /// Images of one photograph are to train on and held out, as older versions allowed.
    Leak {
        /// Their names.
        images: Vec<String>,
    },
    /// A run was cut off; it can be resumed.
    RunInterrupted {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Leftover { path } => {
                write!(f, "{}: removed, it was being written when the program ended", path.display())
            }
            Finding::FilesMissing { owner, dir, missing, example } => {
                write!(f, "{dir}: {missing} {owner} file(s) missing (for example {example}); ")?;
                f.write_str(match owner {
                    FileOwner::Candidate if dir.ends_with("/imported") => "import them again",
                    FileOwner::Candidate => "they will be sampled again",
                    FileOwner::Image => "add the image again, or remove it",
                    FileOwner::Checkpoint => "these checkpoints cannot be used",
                    FileOwner::TrainingState => "training cannot go on from there",
                })
            }
            Finding::FilesBack { owner, count } => {
                write!(f, "{count} {owner} file(s) that were missing are back")
            }
            Finding::Leak { images } => write!(
                f,
                "{}: of one photograph, but some are to train on and some held out; the library or `split` can change that",
                listed(images)
            ),
            Finding::Split { images } => write!(
                f,
                "{images} held-out image(s) are for validation or test otherwise than before: validation chooses checkpoints, \
                 test is reported; the library or `split` can change that"
            ),
            Finding::RunInterrupted { name } => {
                write!(f, "run “{name}” was interrupted; it can be resumed")
            }
        }
    }
}

impl Workspace {
    /// What a repair would find, changing nothing. A temporary file or a running run may simply belong to a writer at work.
    pub fn check(&self) -> Result<Vec<Finding>> {
        let (findings, _, _) = self.examine()?;
        Ok(findings)
    }

    /// Removes leftovers, marks rows whose file is gone (or is back), and pauses interrupted runs.
    pub(super) fn repair(&self) -> Result<Vec<Finding>> {
        self.require_writable()?;
        let (mut findings, leftovers, changes) = self.examine()?;
        for path in leftovers {
            // Not worth failing for: it is found again next time.
            let _ = fs::remove_file(path);
        }
        self.ledger.mark_files(&changes)?;
        match self.ledger.apply_split_rule()? {
            0 => {}
            images => findings.push(Finding::Split { images }),
        }
        for name in self.ledger.pause_interrupted_runs()? {
            findings.push(Finding::RunInterrupted { name });
        }
        Ok(findings)
    }

    fn leaks(&self) -> Result<Vec<Finding>> {
        let images = self.ledger.images()?;
        let groups = same_source(images.iter().map(ImageRow::hashes));
        let held_out = |group: &Vec<usize>| group.iter().filter(|&&at| images[at].is_held_out()).count();
        let is_leak = |group: &Vec<usize>| (1..group.len()).contains(&held_out(group));
        let name = |at: usize| images[at].name.clone();
        let leaks = groups.into_iter().filter(is_leak);
        Ok(leaks.map(|group| Finding::Leak { images: group.into_iter().map(name).collect() }).collect())
    }

    fn examine(&self) -> Result<(Vec<Finding>, Vec<PathBuf>, Vec<FileCheck>)> {
        let mut walk = Walk::default();
        walk.visit(&self.root, "", 0);
        let rows = self.ledger.files()?;
        let mut leftovers = walk.leftovers;
        leftovers.extend(self.unknown_states(&walk.files, &rows)?);
        let mut findings: Vec<_> = leftovers.iter().map(|path| Finding::Leftover { path: path.clone() }).collect();
        let mut missing: BTreeMap<(FileOwner, String), Vec<RelPath>> = BTreeMap::new();
        let mut back: BTreeMap<FileOwner, usize> = BTreeMap::new();
        let mut changes = Vec::new();
        for file in rows {
            let FileRow { owner, id, paths, was_missing } = file;
            // A listing may spell a name otherwise than we do (decomposed accents): ask before believing it.
            let lost = paths.into_iter().find(|path| !walk.files.contains(path.as_str()) && !self.path(path).is_file());
            let is_missing = lost.is_some();
            if is_missing != was_missing {
                changes.push(FileCheck { owner, id, is_missing });
            }
            match lost {
                Some(path) => missing.entry((owner, path.dir().to_owned())).or_default().push(path),
                None if was_missing => *back.entry(owner).or_default() += 1,
                None => {}
            }
        }
        for ((owner, dir), mut paths) in missing {
            let count = paths.len();
            findings.push(Finding::FilesMissing { owner, dir, missing: count, example: paths.swap_remove(0) });
        }
        findings.extend(self.leaks()?);
        findings.extend(back.into_iter().map(|(owner, count)| Finding::FilesBack { owner, count }));
        Ok((findings, leftovers, changes))
    }

    /// Training states of known runs that no checkpoint has: saved or forgotten right before a kill, and large.
    fn unknown_states(&self, files: &HashSet<String>, rows: &[FileRow]) -> Result<Vec<PathBuf>> {
        let states = rows.iter().filter(|row| row.owner == FileOwner::TrainingState);
        let known: HashSet<&str> = states.flat_map(|row| &row.paths).map(RelPath::as_str).collect();
        let mut unknown = Vec::new();
        for run in self.ledger.runs()? {
            let dir = self.run_file(&run, STATES_DIR)?;
            let is_state =
                |file: &&String| file.strip_prefix(dir.as_str()).is_some_and(|rest| rest.starts_with("/step-"));
            let of_run = files.iter().filter(is_state).filter(|file| !known.contains(file.as_str()));
            unknown.extend(of_run.map(|file| self.root.join(file)));
        }
        Ok(unknown)
    }
}

/// Everything that lies in the workspace, found by listing directories: far quicker than asking for each file.
#[derive(Default)]
struct Walk {
    /// Paths relative to the workspace, with `/`.
    files: HashSet<String>,
    leftovers: Vec<PathBuf>,
}

impl Walk {
    /// A directory that cannot be listed counts as empty: what should be in it is then found missing, one by one.
    fn visit(&mut self, dir: &Path, prefix: &str, depth: u32) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // Links are not followed: what is removed would be another's. Files behind one are asked for one by one.
            let is_dir = match entry.file_type() {
                Ok(kind) if kind.is_dir() || kind.is_file() => kind.is_dir(),
                _ => continue,
            };
            let ours = [IMAGES_DIR, CANDIDATES_DIR, RUNS_DIR, EXPORTS_DIR];
            if is_dir && depth < MAX_DEPTH && (depth > 0 || ours.contains(&name.as_str())) {
                self.visit(&entry.path(), &format!("{prefix}{name}/"), depth + 1);
            } else if !is_dir && is_temporary(&name) {
                self.leftovers.push(entry.path());
            } else if !is_dir && depth > 0 {
                self.files.insert(format!("{prefix}{name}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::workspace::{CandidateSet, NewCandidate, NewImage, NewReference, SamplerKey};

    fn candidate(set: &CandidateSet, image: crate::workspace::ImageId, seed: u64) -> NewCandidate {
        NewCandidate { set: set.clone(), image, seed, seconds: 0.1 }
    }

    /// For its printed times: `cargo test --release --lib large_workspace -- --nocapture --include-ignored`.
    #[test]
    #[ignore = "creates 128,000 files"]
    fn a_large_workspace_opens_quickly() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("ws");
        let ws = Workspace::create(&root, "()").unwrap();
        let reference = NewReference { backbone: "mini".into(), weights_hash: "w".into() };
        let set = CandidateSet {
            checkpoint: ws.ledger().ensure_reference(&reference).unwrap(),
            sampler: SamplerKey::new("euler/10").unwrap(),
        };
        for i in 0..2000 {
            let image = NewImage {
                name: format!("image {i}.png"),
                source: String::new(),
                source_hash: i.to_string(),
                lr_width_px: 32,
                lr_height_px: 32,
                ..NewImage::default()
            };
            let id = ws.add_image(&image, b"lr", None).unwrap();
            let dir = format!("{CANDIDATES_DIR}/{}/reference/euler-10", ws.ledger().image(id).unwrap().dir);
            fs::create_dir_all(root.join(&dir)).unwrap();
            let new: Vec<_> = (0..64)
                .map(|seed| {
                    let path = RelPath::new(format!("{dir}/{seed}.png")).unwrap();
                    fs::write(path.under(&root), b"png").unwrap();
                    (candidate(&set, id, seed), path)
                })
                .collect();
            ws.ledger().insert_candidates(new.iter().map(|(c, p)| (c, p))).unwrap();
        }
        let image = ws.ledger().images().unwrap()[0].id;
        let batch: Vec<_> = (0..16).map(|seed| (candidate(&set, image, seed), vec![7u8; 200_000])).collect();
        for _ in 0..3 {
            let start = Instant::now();
            ws.save_candidates(&batch).unwrap();
            println!("save 16 candidates of 200 kB: {:.2?}", start.elapsed());
        }
        drop(ws);
        for _ in 0..3 {
            let start = Instant::now();
            let ws = Workspace::open(&root).unwrap();
            println!("open with 128,000 candidates: {:.2?}", start.elapsed());
            assert_eq!(ws.findings(), []);
            let start = Instant::now();
            let summary = ws.summary().unwrap();
            println!("summary: {:.2?}", start.elapsed());
            assert_eq!(summary.counts.candidates, 128_000);
        }
        fs::remove_dir_all(root.join(CANDIDATES_DIR)).unwrap();
        let start = Instant::now();
        let ws = Workspace::open(&root).unwrap();
        println!("open with all candidates gone: {:.2?}", start.elapsed());
        assert_eq!(ws.findings().len(), 2000);
    }
}
