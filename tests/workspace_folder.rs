//! The workspace as a folder: made, moved, opened again, damaged, of another version.

#[path = "workspace_support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use dp2o_studio::workspace::{
    CheckpointKind, FileOwner, Finding, NewCheckpoint, NewRun, RelPath, RunState, Workspace,
};
use support::{content, new_image, reference_set, save_seeds, scorer, small_workspace, tree};

fn message<T>(result: dp2o_studio::Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn a_workspace_survives_being_closed_and_moved() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("first place"), dir.path().join("élsewhere"));
    let ws = small_workspace(&here);
    let set = reference_set(&ws);
    drop(ws);
    fs::rename(&here, &there).unwrap();

    // Nothing inside knows where it was.
    for (name, bytes) in tree(&there) {
        let found = bytes.windows(11).any(|w| w == b"first place");
        assert!(!found, "{} names the old place", name.display());
    }
    let ws = Workspace::open(&there).unwrap();
    assert_eq!(ws.findings(), []);
    assert_eq!(ws.recipe_text().unwrap(), "(beta: 5000.0)");
    let image = &ws.ledger().images().unwrap()[0];
    assert_eq!(fs::read(ws.path(&image.lr_path)).unwrap(), b"lr");
    assert_eq!(
        fs::read(ws.path(image.hr_path.as_ref().unwrap())).unwrap(),
        b"hr"
    );
    let group = ws.ledger().group(&set, image.id).unwrap();
    assert_eq!(group.len(), 4);
    for candidate in group {
        assert_eq!(
            fs::read(ws.path(&candidate.path)).unwrap(),
            content(candidate.seed, 100)
        );
    }
}

#[test]
fn a_workspace_needs_a_directory_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(Workspace::create(&root, "()").unwrap());
    assert!(message(Workspace::create(&root, "()")).contains("workspace already"));
    assert!(message(Workspace::create(dir.path(), "()")).contains("“ws”"));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(message(Workspace::create(&file, "()")).contains("file"));
    assert!(message(Workspace::create(dir.path().join("bad"), "(oops")).contains("recipe"));
}

#[test]
fn a_creation_that_was_cut_off_can_be_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(Workspace::create(&root, "()").unwrap());
    fs::remove_file(root.join("workspace.ron")).unwrap();
    assert!(message(Workspace::open(&root)).contains("not a workspace"));
    drop(Workspace::create(&root, "(a: 1)").unwrap());
    assert_eq!(
        Workspace::open(&root).unwrap().recipe_text().unwrap(),
        "(a: 1)"
    );
}

#[test]
fn what_is_no_workspace_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let parent = dir.path().to_owned();
    let root = dir.path().join("ws");
    for open in [Workspace::open, Workspace::open_read_only] {
        let text = message(open(&root));
        assert!(text.contains("ws: there is no such directory"), "{text}");
        let text = message(open(&parent));
        assert!(text.contains("not a workspace"), "{text}");
    }
    drop(Workspace::create(&root, "()").unwrap());
    fs::remove_file(root.join("ledger.sqlite")).unwrap();
    let text = message(Workspace::open(&root));
    assert!(
        text.contains("ledger.sqlite: the ledger of this workspace is missing"),
        "{text}"
    );
    assert!(!root.join("ledger.sqlite").exists());
}

#[test]
fn a_typo_in_the_ron_file_is_reported_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(Workspace::create(&root, "(\n    beta: 5000.0,\n    samples: 64,\n)").unwrap());
    let path = root.join("workspace.ron");
    let broken = fs::read_to_string(&path)
        .unwrap()
        .replace("5000.0,", "5000.0");
    fs::write(&path, &broken).unwrap();
    let line = 1 + broken
        .lines()
        .position(|line| line.contains("samples"))
        .unwrap();
    for open in [Workspace::open, Workspace::open_read_only] {
        let text = message(open(&root));
        assert!(
            text.contains(&format!("workspace.ron: line {line}, column ")),
            "{text}"
        );
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), broken);
}

#[test]
fn a_newer_ledger_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(small_workspace(&root));
    set_version(&root, 99);
    let before = tree(&root);
    for open in [Workspace::open, Workspace::open_read_only] {
        let text = message(open(&root));
        assert!(
            text.contains("ledger.sqlite: this ledger was written by a newer version"),
            "{text}"
        );
        assert!(text.contains("99"), "{text}");
        assert!(tree(&root) == before, "something was touched");
    }
}

#[test]
fn an_older_ledger_wants_a_writer_first() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(small_workspace(&root));
    set_version(&root, 0);
    let text = message(Workspace::open_read_only(&root));
    assert!(text.contains("older version"), "{text}");
}

#[test]
fn a_newer_workspace_file_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(small_workspace(&root));
    fs::write(
        root.join("workspace.ron"),
        "(format: 2, recipe: (), more: 1)",
    )
    .unwrap();
    let before = tree(&root);
    assert!(message(Workspace::open(&root)).contains("newer version"));
    assert!(tree(&root) == before, "something was touched");
}

#[test]
fn a_candidate_whose_file_is_gone_is_reported_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    let ws = small_workspace(&root);
    let (set, image) = (reference_set(&ws), ws.ledger().images().unwrap()[0].id);
    let group = ws.ledger().group(&set, image).unwrap();
    let path = ws.path(&group[2].path);
    let aside = path.with_extension("aside");
    drop(ws);
    fs::rename(&path, &aside).unwrap();

    let reader = Workspace::open_read_only(&root).unwrap();
    assert_eq!(reader.check().unwrap().len(), 1);
    drop(reader);
    let ws = Workspace::open(&root).unwrap();
    let found = ws.findings();
    assert!(
        matches!(found, [Finding::FilesMissing { owner: FileOwner::Candidate, missing: 1, example, .. }] if *example == group[2].path),
        "{found:?}"
    );
    assert!(
        found[0].to_string().contains("cat/reference/euler-10"),
        "{}",
        found[0]
    );
    let missing = ws
        .ledger()
        .missing_candidates(&set, &[image], &[0, 1, 2, 3])
        .unwrap();
    assert_eq!(missing[0].seeds, [2]);
    assert_eq!(ws.ledger().group(&set, image).unwrap().len(), 3);
    assert_eq!(ws.summary().unwrap().counts.missing_candidates, 1);

    // Back from where it was, it counts again.
    drop(ws);
    fs::rename(&aside, &path).unwrap();
    let ws = Workspace::open(&root).unwrap();
    assert_eq!(
        ws.findings(),
        [Finding::FilesBack {
            owner: FileOwner::Candidate,
            count: 1
        }]
    );
    assert_eq!(ws.ledger().group(&set, image).unwrap(), group);

    // Made again, it counts as well.
    drop(ws);
    fs::remove_file(&path).unwrap();
    let ws = Workspace::open(&root).unwrap();
    save_seeds(&ws, &set, image, &[2], 100).unwrap();
    assert_eq!(
        ws.ledger()
            .missing_candidates(&set, &[image], &[0, 1, 2, 3])
            .unwrap(),
        []
    );
    drop(ws);
    assert_eq!(Workspace::open(&root).unwrap().findings(), []);
}

#[test]
fn leftovers_are_removed_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(small_workspace(&root));
    let leftovers = [
        root.join(".tmp-1-2"),
        root.join("candidates/cat/reference/euler-10/.tmp-77-0"),
    ];
    for path in &leftovers {
        fs::write(path, "half").unwrap();
    }
    let ws = Workspace::open(&root).unwrap();
    assert_eq!(ws.findings().len(), 2);
    for (path, finding) in leftovers.iter().zip(ws.findings()) {
        assert!(!path.exists());
        assert!(finding.to_string().contains(".tmp-"), "{finding}");
    }
}

#[test]
fn images_of_any_name_are_added_once() {
    let dir = tempfile::tempdir().unwrap();
    let ws = Workspace::create(dir.path().join("ws"), "()").unwrap();
    let names = [
        "写真.png",
        &"long".repeat(60),
        "a/../b.png",
        "same.png",
        "SAME.png",
        "CON.png",
    ];
    for name in names {
        let id = ws
            .add_image(&new_image(name), name.as_bytes(), None)
            .unwrap();
        assert_eq!(
            ws.add_image(&new_image(name), name.as_bytes(), None)
                .unwrap(),
            id
        );
    }
    let images = ws.ledger().images().unwrap();
    assert_eq!(images.len(), names.len());
    for image in &images {
        assert_eq!(
            fs::read(ws.path(&image.lr_path)).unwrap(),
            image.name.as_bytes()
        );
    }
    // The same source, cropped, is another image; with an HR image the first one gains it.
    let crop = dp2o_studio::workspace::NewImage {
        variant: "crop 2".into(),
        ..new_image("same.png")
    };
    ws.add_image(&crop, b"crop", None).unwrap();
    assert_eq!(ws.ledger().images().unwrap().len(), names.len() + 1);
    let id = ws
        .add_image(&new_image("same.png"), b"same.png", Some(b"hr"))
        .unwrap();
    assert_eq!(
        ws.ledger().image(id).unwrap().hr_path.unwrap().as_str(),
        "images/same/hr.png"
    );
    // Removed and added again: the same image is back.
    ws.ledger().set_removed(id, true).unwrap();
    assert_eq!(
        ws.add_image(&new_image("same.png"), b"same.png", None)
            .unwrap(),
        id
    );
    assert!(!ws.ledger().image(id).unwrap().removed);
}

#[test]
fn a_lost_image_can_be_added_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(small_workspace(&root));
    fs::remove_dir_all(root.join("images/cat")).unwrap();
    let ws = Workspace::open(&root).unwrap();
    assert!(
        ws.findings()[0]
            .to_string()
            .contains("image file(s) missing"),
        "{}",
        ws.findings()[0]
    );
    assert!(ws.ledger().images().unwrap()[0].file_missing);
    ws.add_image(&new_image("cat.png"), b"lr", Some(b"hr"))
        .unwrap();
    assert!(!ws.ledger().images().unwrap()[0].file_missing);
    drop(ws);
    assert_eq!(Workspace::open(&root).unwrap().findings(), []);
}

#[test]
fn another_hr_image_forgets_the_scores_against_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let ws = small_workspace(&dir.path().join("ws"));
    let (set, image) = (reference_set(&ws), ws.ledger().images().unwrap()[0].id);
    let candidate = ws.ledger().group(&set, image).unwrap()[0].id;
    let score = dp2o_studio::workspace::NewScore {
        candidate,
        scorer: 0,
        value: 0.5,
    };
    ws.ledger()
        .record_scores("cpu", &[scorer("ssim")], &[score])
        .unwrap();
    ws.set_hr(image, b"another").unwrap();
    assert_eq!(ws.summary().unwrap().counts.scores, 0);
}

#[test]
fn checkpoints_and_states_are_saved_found_and_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    let ws = small_workspace(&root);
    let new = NewRun {
        name: "My run".into(),
        recipe: "()".into(),
        seed: 7,
        parent: None,
        round: 0,
    };
    let run = ws.ledger().create_run(&new).unwrap();
    let write = |bytes: &'static str| {
        move |path: &Path| fs::write(path, bytes).map_err(|e| dp2o_studio::Error::file(path, e))
    };
    for step in [100, 200, 300] {
        let state = ws.save_training_state(run, step, write("state")).unwrap();
        for kind in [CheckpointKind::Policy, CheckpointKind::Ema] {
            let new = NewCheckpoint {
                run,
                step,
                kind,
                backbone: "mini".into(),
                state: Some(state.clone()),
                held_out_reward: Some(0.5 + f64::from(step) / 1000.0),
            };
            ws.save_checkpoint(&new, write("weights")).unwrap();
        }
    }
    let last = ws.ledger().latest_resumable(run).unwrap().unwrap();
    assert_eq!(
        last.path,
        Some(RelPath::new("runs/My-run/checkpoints/step-000300.safetensors").unwrap())
    );
    assert_eq!(
        (last.step, last.kind, last.name.as_str()),
        (300, CheckpointKind::Policy, "My-run-000300")
    );
    assert_eq!(
        last.weights_hash,
        dp2o_studio::workspace::hash::hash_bytes(b"weights")
    );
    ws.prune_training_states(run, 1).unwrap();
    let states = || {
        fs::read_dir(root.join("runs/My-run/states"))
            .unwrap()
            .count()
    };
    assert_eq!(states(), 1);
    assert_eq!(
        ws.ledger().latest_resumable(run).unwrap().unwrap().step,
        300
    );
    assert_eq!(ws.ledger().best_checkpoint(run).unwrap().unwrap().step, 300);

    // A failing save leaves neither file nor row.
    let broken = NewCheckpoint {
        run,
        step: 400,
        kind: CheckpointKind::Policy,
        backbone: "mini".into(),
        state: None,
        held_out_reward: None,
    };
    assert!(
        ws.save_checkpoint(&broken, |_| Err(dp2o_studio::Error::Cancelled))
            .is_err()
    );
    assert_eq!(ws.ledger().checkpoints_of_run(run).unwrap().len(), 6);

    // The process dies while the run runs, and somebody deletes the training state.
    drop(ws);
    fs::remove_dir_all(root.join("runs/My-run/states")).unwrap();
    let ws = Workspace::open(&root).unwrap();
    let text: Vec<_> = ws.findings().iter().map(ToString::to_string).collect();
    assert!(
        text[0].contains("training state file(s) missing"),
        "{text:?}"
    );
    assert!(text[1].contains("run “My run” was interrupted"), "{text:?}");
    assert_eq!(ws.ledger().run(run).unwrap().state, RunState::Paused);
    assert_eq!(ws.ledger().latest_resumable(run).unwrap(), None);
    assert!(ws.ledger().best_checkpoint(run).unwrap().is_some());
}

#[test]
fn the_summary_counts_and_measures() {
    let dir = tempfile::tempdir().unwrap();
    let ws = small_workspace(&dir.path().join("ws"));
    let summary = ws.summary().unwrap();
    assert_eq!(
        (summary.counts.images, summary.counts.images_with_hr),
        (1, 1)
    );
    assert_eq!(
        (summary.counts.candidates, summary.counts.checkpoints),
        (4, 1)
    );
    assert_eq!((summary.images_bytes, summary.candidates_bytes), (4, 400));
    assert!(summary.ledger_bytes > 0);
}

#[test]
fn a_reader_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(small_workspace(&root));
    let reader = Workspace::open_read_only(&root).unwrap();
    assert!(!reader.is_writable());
    let set = dp2o_studio::workspace::CandidateSet {
        checkpoint: reader.ledger().checkpoints().unwrap()[0].id,
        sampler: dp2o_studio::workspace::SamplerKey::new("euler/10").unwrap(),
    };
    let image = reader.ledger().images().unwrap()[0].id;
    for text in [
        message(reader.set_recipe_text("()")),
        message(reader.add_image(&new_image("dog.png"), b"", None)),
        message(save_seeds(&reader, &set, image, &[9], 1)),
        message(reader.ledger().set_held_out(image, true)),
    ] {
        assert!(text.contains("open for reading only"), "{text}");
    }
}

fn set_version(root: &Path, version: u32) {
    let conn = rusqlite::Connection::open(root.join("ledger.sqlite")).unwrap();
    conn.pragma_update(None, "user_version", version).unwrap();
}
