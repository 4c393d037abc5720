//! Workspaces that were tampered with or damaged: links that lead outside, ledgers that are none, files cut off.

use std::fs;
use std::path::Path;

use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::workspace::{
    CandidateSet, CheckpointKind, NewCandidate, NewCheckpoint, NewImage, NewReference, NewRun, RunState, Workspace,
};

use crate::support::{content, message, new_image, reference_set, save_seeds, small_workspace, tree};

fn png(width: usize, height: usize) -> Vec<u8> {
    let values = (0..3 * width * height).map(|i| (i as f32 * 0.37).sin().abs()).collect();
    encode::png_bytes(&Image::new(width, height, values).unwrap()).unwrap()
}

/// Two images with real pictures, three candidates each of the reference and of a run.
fn real_workspace(root: &Path) -> CandidateSet {
    let ws = Workspace::create(root, "()").unwrap();
    let set = reference_set(&ws);
    let run = NewRun { name: "mine".into(), recipe: "(m: 7)".into(), seed: 1, parent: None, round: 0 };
    let run = ws.begin_run(&run, b"pairs").unwrap();
    let (kind, backbone) = (CheckpointKind::Ema, "mini".to_owned());
    let new = NewCheckpoint { run, step: 3, kind, backbone, state: None, held_out_reward: None };
    let policy = CandidateSet { checkpoint: ws.save_checkpoint(&new, b"weights").unwrap(), ..set.clone() };
    for name in ["cat", "dog"] {
        let new = NewImage { lr_width_px: 8, lr_height_px: 6, ..new_image(name) };
        let image = ws.add_image(&new, &png(8, 6), Some(&png(32, 24))).unwrap();
        for set in [&set, &policy] {
            let candidate = |seed| NewCandidate { set: set.clone(), image, seed, seconds: 0.1 };
            let new: Vec<_> = (0..3).map(|seed| (candidate(seed), png(32, 24))).collect();
            ws.save_candidates(&new).unwrap();
        }
    }
    set
}

fn rebuild(root: &Path) -> String {
    let reference = NewReference { backbone: "mini".into(), weights_hash: "reference weights".into() };
    Workspace::rebuild(root, &reference, "(m: 4)").unwrap().join("\n")
}

#[cfg(unix)]
#[test]
fn nothing_is_written_or_deleted_through_a_link() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("ws"), dir.path().join("outside"));
    drop(small_workspace(&root));
    fs::create_dir_all(outside.join("reference/euler-10")).unwrap();
    for name in ["precious", ".dp2o-tmp-1-1", ".tmp-1-2", "reference/euler-10/0.png", "reference/euler-10/9.png"] {
        fs::write(outside.join(name), "precious").unwrap();
    }
    let before = tree(&outside);
    // The note of the lock's holder, a directory that is swept, the directory of candidates, of images, of exports.
    symlink(outside.join("precious"), root.join("writer.txt")).unwrap();
    symlink(&outside, root.join("candidates/x")).unwrap();
    fs::rename(root.join("candidates/cat"), dir.path().join("cat")).unwrap();
    symlink(&outside, root.join("candidates/cat")).unwrap();
    fs::rename(root.join("images"), dir.path().join("images")).unwrap();
    symlink(dir.path().join("images"), root.join("images")).unwrap();
    symlink(&outside, root.join("exports")).unwrap();
    symlink(&outside, root.join("runs/mine")).unwrap();
    let images = tree(&dir.path().join("images"));

    let ws = Workspace::open(&root).unwrap();
    let (set, image) = (reference_set(&ws), ws.ledger().images().unwrap()[0].id);
    assert_eq!(fs::read(ws.path(&ws.ledger().image(image).unwrap().lr_path)).unwrap(), b"lr", "links are read through");
    let run = NewRun { name: "mine".into(), recipe: "()".into(), seed: 1, parent: None, round: 0 };
    let candidate = ws.ledger().group(&set, image).unwrap().remove(0);
    for text in [
        message(save_seeds(&ws, &set, image, &[9], 10)),
        message(ws.add_image(&new_image("dog.png"), b"lr", None)),
        message(ws.export_place("sheet.png")),
        message(ws.discard_if_damaged(&candidate)),
    ] {
        assert!(text.contains("this is a link"), "{text}");
    }
    // The directory that the name would give is another's: the run gets one of its own.
    let run = ws.begin_run(&run, b"pairs").unwrap();
    assert_ne!(ws.ledger().run(run).unwrap().dir, "mine");
    drop(ws);
    assert!(tree(&outside) == before && tree(&dir.path().join("images")) == images, "something outside was touched");

    for name in ["ledger.sqlite", "writer.lock"] {
        let root = dir.path().join(name).with_extension("ws");
        drop(small_workspace(&root));
        let elsewhere = dir.path().join(format!("{name} elsewhere"));
        fs::rename(root.join(name), &elsewhere).unwrap();
        symlink(&elsewhere, root.join(name)).unwrap();
        for open in [Workspace::open, Workspace::open_read_only] {
            let text = message(open(&root));
            assert!(text.contains(name) && text.contains("this is a link"), "{text}");
        }
    }
}

#[test]
fn names_in_a_ledger_never_lead_outside() {
    let dir = tempfile::tempdir().unwrap();
    for sql in [
        "UPDATE images SET dir = '../../evil' WHERE name = 'cat'",
        "UPDATE images SET lr_path = '../evil.png' WHERE name = 'cat'",
        "UPDATE runs SET dir = '..'",
        "UPDATE checkpoints SET name = '/etc' WHERE run_id IS NULL",
    ] {
        let root = dir.path().join("ws");
        real_workspace(&root);
        rusqlite::Connection::open(root.join("ledger.sqlite")).unwrap().execute(sql, []).unwrap();
        let text = message(Workspace::open(&root).and_then(|ws| ws.ledger().checkpoints()));
        assert!(text.contains("workspace"), "{sql}: {text}");
        fs::remove_dir_all(&root).unwrap();
    }
}

#[test]
fn an_unusable_ledger_is_refused_and_rebuilt_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    drop(Workspace::create(&other, "()").unwrap());
    type Spoil = fn(&Path, &Path);
    let ways: [(&str, Spoil, &str); 5] = [
        ("missing", |ledger, _| fs::remove_file(ledger).unwrap(), "is missing"),
        ("empty", |ledger, _| fs::write(ledger, "").unwrap(), "is empty"),
        ("no database", |ledger, _| fs::write(ledger, "text ".repeat(1000)).unwrap(), "is damaged"),
        (
            "another workspace's",
            |ledger, other| {
                fs::copy(other, ledger).unwrap();
            },
            "knows none of the 2 images",
        ),
        (
            "another program's",
            |ledger, _| {
                fs::remove_file(ledger).unwrap();
                rusqlite::Connection::open(ledger).unwrap().execute("CREATE TABLE bookmarks (url TEXT)", []).unwrap();
            },
            "another program's",
        ),
    ];
    for (name, spoil, cause) in ways {
        let root = dir.path().join(name);
        real_workspace(&root);
        let cut_off = root.join("candidates/cat/reference/euler-10/1.png");
        fs::write(&cut_off, &fs::read(&cut_off).unwrap()[..50]).unwrap();
        let files = tree(&root.join("images"));
        spoil(&root.join("ledger.sqlite"), &other.join("ledger.sqlite"));
        for open in [Workspace::open, Workspace::open_read_only] {
            let text = message(open(&root));
            assert!(text.contains(cause) && text.contains("dp2o-studio repair"), "{name}: {text}");
        }
        let said = rebuild(&root);
        assert!(
            said.contains("2 image(s) found") && said.contains("11 candidate(s) found, 1 damaged"),
            "{name}: {said}"
        );
        assert_eq!(root.join("ledger.old-1.sqlite").exists(), name != "missing", "{name}");

        let ws = Workspace::open(&root).unwrap();
        assert_eq!(ws.findings(), [], "{name}");
        assert!(ws.ledger().images().unwrap().iter().all(|image| image.is_held_out() && image.hr_path.is_some()));
        let (set, image) = (reference_set(&ws), ws.ledger().images().unwrap()[0].id);
        let missing = ws.ledger().missing_candidates(&set, &[image], &[0, 1, 2]).unwrap();
        assert_eq!(missing[0].seeds, [1], "{name}");
        let run = ws.ledger().run_by_name("mine").unwrap().unwrap();
        assert_eq!((run.state, ws.ledger().checkpoints_of_run(run.id).unwrap()[0].step), (RunState::Cancelled, 3));
        drop(ws);
        assert!(rebuild(&root).contains("works and is kept"), "{name}");
        assert!(tree(&root.join("images")) == files, "{name}");
    }
}

#[test]
fn an_image_that_was_cut_off_before_its_row_is_no_foreign_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(Workspace::create(&root, "()").unwrap());
    fs::create_dir(root.join("images/cat")).unwrap();
    fs::write(root.join("images/cat/lr.png"), "lr").unwrap();
    let ws = Workspace::open(&root).unwrap();
    ws.add_image(&new_image("cat.png"), b"lr again", None).unwrap();
    assert_eq!(fs::read(root.join("images/cat/lr.png")).unwrap(), b"lr again");
}

#[test]
fn a_recipe_that_cannot_be_read_is_replaced_by_the_last_runs() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    real_workspace(&root);
    fs::write(root.join("workspace.ron"), "(format: 1, reci").unwrap();
    assert!(message(Workspace::open(&root)).contains("workspace.ron"));
    let said = rebuild(&root);
    assert!(said.contains("workspace.old-1.ron") && said.contains("the recipe of mine"), "{said}");
    assert_eq!(Workspace::open(&root).unwrap().recipe_text().unwrap(), "(m: 7)");
    // A newer version's is not touched.
    fs::write(root.join("workspace.ron"), "(format: 99, other: 1)").unwrap();
    let reference = NewReference { backbone: "mini".into(), weights_hash: "w".into() };
    assert!(message(Workspace::rebuild(&root, &reference, "()")).contains("newer version"));
}

#[test]
fn a_damaged_candidate_is_discarded_and_an_image_added_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    let set = real_workspace(&root);
    let ws = Workspace::open(&root).unwrap();
    let image = ws.ledger().images().unwrap()[0].clone();
    let group = ws.ledger().group(&set, image.id).unwrap();
    let mut bytes = fs::read(ws.path(&group[1].path)).unwrap();
    bytes[60] ^= 1;
    fs::write(ws.path(&group[1].path), bytes).unwrap();
    assert_eq!(ws.discard_if_damaged(&group[0]).unwrap(), None);
    assert!(ws.discard_if_damaged(&group[1]).unwrap().unwrap().contains("checksum"));
    assert!(!ws.path(&group[1].path).exists());
    assert_eq!(ws.ledger().missing_candidates(&set, &[image.id], &[0, 1, 2]).unwrap()[0].seeds, [1]);

    fs::write(ws.path(&image.lr_path), "half").unwrap();
    let new = NewImage { lr_width_px: 8, lr_height_px: 6, ..new_image("cat") };
    ws.add_image(&new, &png(8, 6), Some(&png(32, 24))).unwrap();
    assert_eq!(fs::read(ws.path(&image.lr_path)).unwrap(), png(8, 6));
}

#[test]
fn states_that_no_checkpoint_has_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    let ws = small_workspace(&root);
    let new = NewRun { name: "mine".into(), recipe: "()".into(), seed: 1, parent: None, round: 0 };
    let run = ws.begin_run(&new, b"pairs").unwrap();
    let state = ws.save_training_state(run, 1, |out| out.write_all(&content(1, 10))).unwrap();
    let new = NewCheckpoint {
        run,
        step: 1,
        kind: CheckpointKind::Policy,
        backbone: "mini".into(),
        state: Some(state.clone()),
        held_out_reward: None,
    };
    ws.save_checkpoint(&new, b"weights").unwrap();
    // Killed between state and row; and in the directory of what is no run of the ledger.
    let cut_off = ws.save_training_state(run, 2, |out| out.write_all(&content(2, 10))).unwrap();
    fs::create_dir_all(root.join("runs/other/states")).unwrap();
    fs::write(root.join("runs/other/states/step-000001.safetensors"), "other").unwrap();
    drop(ws);
    let ws = Workspace::open(&root).unwrap();
    assert!(ws.findings()[0].to_string().contains("step-000002"), "{:?}", ws.findings());
    assert!(ws.path(&state).exists() && !ws.path(&cut_off).exists());
    assert!(root.join("runs/other/states/step-000001.safetensors").exists());
}

#[test]
fn a_run_never_takes_over_the_files_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let ws = small_workspace(&dir.path().join("ws"));
    let runs = ws.root().join("runs");
    // Cut off before its row, and what a lost ledger left.
    for (name, file) in [("run-1", "pairs.jsonl"), ("run-2", "training.state")] {
        fs::create_dir(runs.join(name)).unwrap();
        fs::write(runs.join(name).join(file), "old").unwrap();
    }
    let dir_of = |name: &str| {
        let new = NewRun { name: name.into(), recipe: "()".into(), seed: 1, parent: None, round: 0 };
        let run = ws.ledger().run(ws.begin_run(&new, b"new").unwrap()).unwrap();
        assert_eq!(fs::read(ws.path(&ws.pairs_file(&run).unwrap())).unwrap(), b"new");
        run.dir
    };
    assert_eq!(dir_of("run-1"), "run-1");
    assert_ne!(dir_of("run-2"), "run-2");
}

#[test]
fn a_task_is_known_until_it_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    let ws = Workspace::create_for(&root, "()", Some(("example", "{}"))).unwrap();
    assert_eq!(ws.ledger().incomplete_task("example").unwrap().as_deref(), Some("{}"));
    ws.ledger().complete_task("example").unwrap();
    assert_eq!(ws.ledger().incomplete_task("example").unwrap(), None);
    drop(ws);
    // Creation that was cut off and is done again without the task.
    fs::remove_file(root.join("workspace.ron")).unwrap();
    drop(Workspace::create_for(&root, "()", Some(("example", "{}"))).unwrap());
    fs::remove_file(root.join("workspace.ron")).unwrap();
    assert_eq!(Workspace::create(&root, "()").unwrap().ledger().incomplete_task("example").unwrap(), None);
}
