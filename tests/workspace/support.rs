//! What the tests of the workspace share: small workspaces, a second process, media that cannot be written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use dp2o_studio::iqa::MetricKey;
use dp2o_studio::workspace::{CandidateSet, ImageId, NewCandidate, NewImage, NewReference, SamplerKey, Workspace};

/// Says that a test could not run here, past the test harness, which hides what passing tests print.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// The text of the error a call must end in.
pub fn message<T>(result: dp2o_studio::Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(e) => e.to_string(),
    }
}

pub fn new_image(name: &str) -> NewImage {
    NewImage {
        name: name.into(),
        source: name.into(),
        source_hash: format!("hash of {name}"),
        lr_width_px: 32,
        lr_height_px: 24,
        degradation: Some(r#"{"preset":"bicubic"}"#.into()),
        ..NewImage::default()
    }
}

pub fn key(metric: &str) -> MetricKey {
    MetricKey { metric: metric.into(), weights_hash: "hash".into(), crop_policy: "none".into(), version: "1".into() }
}

/// The set of the reference, which is recorded if need be.
pub fn reference_set(ws: &Workspace) -> CandidateSet {
    let reference = NewReference { backbone: "mini".into(), weights_hash: "reference weights".into() };
    CandidateSet {
        checkpoint: ws.ledger().ensure_reference(&reference).unwrap(),
        sampler: SamplerKey::new("euler/10").unwrap(),
    }
}

/// Stands for the PNG file of a candidate: different for each seed, `length` bytes.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| (seed * 31 + i * 7 + (i >> 8)) as u8).collect()
}

pub fn save_seeds(
    ws: &Workspace,
    set: &CandidateSet,
    image: ImageId,
    seeds: &[u64],
    length: usize,
) -> dp2o_studio::Result<()> {
    let new: Vec<_> = seeds
        .iter()
        .map(|&seed| {
            let candidate = NewCandidate { set: set.clone(), image, seed, seconds: 0.1 };
            (candidate, content(seed, length))
        })
        .collect();
    ws.save_candidates(&new).map(drop)
}

/// A workspace at `root` with one image of four candidates.
pub fn small_workspace(root: &Path) -> Workspace {
    let ws = Workspace::create(root, "(beta: 5000.0)").unwrap();
    let image = ws.add_image(&new_image("cat.png"), b"lr", Some(b"hr")).unwrap();
    let set = reference_set(&ws);
    save_seeds(&ws, &set, image, &[0, 1, 2, 3], 100).unwrap();
    ws
}

/// Every file below `root` with its content.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    files
}

pub fn copy_tree(from: &Path, to: &Path) {
    for (name, bytes) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A second process: this test program again, running only its test `child`.
pub struct Second {
    pub process: Child,
    lines: BufReader<ChildStdout>,
}

/// What [`Second`] is told to do; `None` in the process the user started.
pub fn child_task() -> Option<(String, PathBuf)> {
    let task = std::env::var("WORKSPACE_TEST_TASK").ok()?;
    let root = std::env::var_os("WORKSPACE_TEST_ROOT")?;
    Some((task, root.into()))
}

impl Second {
    pub fn start(task: &str, root: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["processes::child", "--exact", "--ignored", "--nocapture"])
            .env("WORKSPACE_TEST_TASK", task)
            .env("WORKSPACE_TEST_ROOT", root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// Waits for the line `word`; panics if the process ends before.
    pub fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while line.trim() != word {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the second process ended before “{word}”");
        }
    }

    /// Kills the process with SIGKILL and returns the lines it had still printed.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.lines.lines().map(Result::unwrap).collect()
    }

    /// Waits for the end of the process, which must be a success.
    pub fn finish(mut self) -> Vec<String> {
        drop(self.process.stdin.take());
        let lines = self.lines.lines().map(Result::unwrap).collect();
        assert!(self.process.wait().unwrap().success());
        lines
    }
}

/// A small file system in memory, unmounted when dropped.
pub struct Mounted(pub PathBuf);

impl Mounted {
    /// Mounts a file system of `bytes` at `dir`; `None` where this user may not.
    pub fn tmpfs(dir: &Path, bytes: u64) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let options = format!("size={bytes}");
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", dir.to_str()?]).then(|| Self(dir.to_owned()))
    }

    /// From now on nothing can be written.
    pub fn make_read_only(&self) {
        assert!(run("mount", &["-o", "remount,ro", self.0.to_str().unwrap()]));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A directory that cannot be written: by its permissions, or for a user whom those do not stop by its mount.
pub struct ReadOnlyDir {
    pub path: PathBuf,
    _mount: Option<Mounted>,
}

impl ReadOnlyDir {
    /// A copy of `from` at `to`; `None` where neither way works.
    pub fn copy_of(from: &Path, to: &Path) -> Option<Self> {
        copy_tree(from, to);
        set_writable(to, false);
        if fs::write(to.join("probe"), "").is_err() {
            return Some(Self { path: to.to_owned(), _mount: None });
        }
        set_writable(to, true);
        fs::remove_dir_all(to).unwrap();
        let mount = Mounted::tmpfs(to, 16 << 20)?;
        copy_tree(from, to);
        mount.make_read_only();
        assert!(fs::write(to.join("probe"), "").is_err());
        Some(Self { path: to.to_owned(), _mount: Some(mount) })
    }
}

impl Drop for ReadOnlyDir {
    fn drop(&mut self) {
        if self._mount.is_none() {
            set_writable(&self.path, true);
        }
    }
}

#[cfg(unix)]
fn set_writable(dir: &Path, writable: bool) {
    use std::os::unix::fs::PermissionsExt;
    let mode = if writable { 0o755 } else { 0o555 };
    let set = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(dir);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            set_writable(&path, writable);
        } else {
            set(&path);
        }
    }
}

#[cfg(not(unix))]
fn set_writable(_dir: &Path, _writable: bool) {}
