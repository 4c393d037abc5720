//! Saving to a workspace, and what a repair makes of what got lost.

use std::fs;

use dp2o_studio::fs::hash;
use dp2o_studio::workspace::{
    CandidateSet, CheckpointKind, FileOwner, Finding, NewCheckpoint, NewImage, NewRun, NewScore, RelPath, RunState,
    SamplerKey, Split, SplitChoice, Workspace,
};

use crate::support::{key, message, new_image, reference_set, save_seeds, small_workspace};

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
    assert!(found[0].to_string().contains("cat/reference/euler-10"), "{}", found[0]);
    let missing = ws.ledger().missing_candidates(&set, &[image], &[0, 1, 2, 3]).unwrap();
    assert_eq!(missing[0].seeds, [2]);
    assert_eq!(ws.ledger().group(&set, image).unwrap().len(), 3);
    assert_eq!(ws.summary().unwrap().counts.missing_candidates, 1);

    // Back from where it was, it counts again.
    drop(ws);
    fs::rename(&aside, &path).unwrap();
    let ws = Workspace::open(&root).unwrap();
    assert_eq!(ws.findings(), [Finding::FilesBack { owner: FileOwner::Candidate, count: 1 }]);
    assert_eq!(ws.ledger().group(&set, image).unwrap(), group);

    // Made again, it counts as well.
    drop(ws);
    fs::remove_file(&path).unwrap();
    let ws = Workspace::open(&root).unwrap();
    save_seeds(&ws, &set, image, &[2], 100).unwrap();
    assert_eq!(ws.ledger().missing_candidates(&set, &[image], &[0, 1, 2, 3]).unwrap(), []);
    drop(ws);
    assert_eq!(Workspace::open(&root).unwrap().findings(), []);
}

#[test]
fn leftovers_are_removed_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(small_workspace(&root));
    let leftovers = [root.join(".tmp-1-2"), root.join("candidates/cat/reference/euler-10/.tmp-77-0")];
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
    let names = ["写真.png", &"long".repeat(60), "a/../b.png", "same.png", "SAME.png", "CON.png"];
    for name in names {
        let id = ws.add_image(&new_image(name), name.as_bytes(), None).unwrap();
        assert_eq!(ws.add_image(&new_image(name), name.as_bytes(), None).unwrap(), id);
    }
    let images = ws.ledger().images().unwrap();
    assert_eq!(images.len(), names.len());
    for image in &images {
        assert_eq!(fs::read(ws.path(&image.lr_path)).unwrap(), image.name.as_bytes());
    }
    // The same source, cropped, is another image; with an HR image the first one gains it.
    let crop = NewImage { variant: "crop 2".into(), ..new_image("same.png") };
    ws.add_image(&crop, b"crop", None).unwrap();
    assert_eq!(ws.ledger().images().unwrap().len(), names.len() + 1);
    let id = ws.add_image(&new_image("same.png"), b"same.png", Some(b"hr")).unwrap();
    assert_eq!(ws.ledger().image(id).unwrap().hr_path.unwrap().as_str(), "images/same/hr.png");
    // Removed and added again: the same image is back.
    ws.ledger().set_removed(id, true).unwrap();
    assert_eq!(ws.add_image(&new_image("same.png"), b"same.png", None).unwrap(), id);
    assert!(!ws.ledger().image(id).unwrap().removed);
}

#[test]
fn a_lost_image_can_be_added_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(small_workspace(&root));
    fs::remove_dir_all(root.join("images/cat")).unwrap();
    let ws = Workspace::open(&root).unwrap();
    assert!(ws.findings()[0].to_string().contains("image file(s) missing"), "{}", ws.findings()[0]);
    assert!(ws.ledger().images().unwrap()[0].file_missing);
    ws.add_image(&new_image("cat.png"), b"lr", Some(b"hr")).unwrap();
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
    let score = NewScore { candidate, metric: 0, value: 0.5 };
    ws.ledger().record_scores("cpu", &[key("ssim")], &[score]).unwrap();
    ws.set_hr(image, b"another", None).unwrap();
    assert_eq!(ws.summary().unwrap().counts.scores, 0);
}

#[test]
fn checkpoints_and_states_are_saved_found_and_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    let ws = small_workspace(&root);
    let new = NewRun { name: "My-run".into(), recipe: "()".into(), seed: 7, parent: None, round: 0 };
    let run = ws.begin_run(&new, b"pairs").unwrap();
    for step in [100, 200, 300] {
        let state = ws.save_training_state(run, step, |out| out.write_all(b"state")).unwrap();
        for kind in [CheckpointKind::Policy, CheckpointKind::Ema] {
            let new = NewCheckpoint {
                run,
                step,
                kind,
                backbone: "mini".into(),
                state: Some(state.clone()),
                held_out_reward: Some(0.5 + f64::from(step) / 1000.0),
            };
            ws.save_checkpoint(&new, b"weights").unwrap();
        }
    }
    let last = ws.ledger().resumable(run).unwrap().remove(0);
    assert_eq!(last.path, Some(RelPath::new("runs/My-run/checkpoints/step-000300.safetensors").unwrap()));
    assert_eq!((last.step, last.kind, last.name.as_str()), (300, CheckpointKind::Policy, "My-run-000300"));
    assert_eq!(last.weights_hash, hash::hash_bytes(b"weights"));
    ws.prune_training_states(run, 1).unwrap();
    let states = || fs::read_dir(root.join("runs/My-run/states")).unwrap().count();
    assert_eq!(states(), 1);
    assert_eq!(ws.ledger().resumable(run).unwrap().remove(0).step, 300);
    assert_eq!(ws.ledger().chosen_checkpoint(run).unwrap().unwrap().0.step, 300);

    // The process dies while the run runs, and somebody deletes the training state.
    drop(ws);
    fs::remove_dir_all(root.join("runs/My-run/states")).unwrap();
    let ws = Workspace::open(&root).unwrap();
    let text: Vec<_> = ws.findings().iter().map(ToString::to_string).collect();
    assert!(text[0].contains("training state file(s) missing"), "{text:?}");
    assert!(text[1].contains("run “My-run” was interrupted"), "{text:?}");
    assert_eq!(ws.ledger().run(run).unwrap().state, RunState::Paused);
    assert_eq!(ws.ledger().resumable(run).unwrap(), []);
    assert!(ws.ledger().chosen_checkpoint(run).unwrap().is_some());
}

#[test]
fn the_summary_counts_and_measures() {
    let dir = tempfile::tempdir().unwrap();
    let ws = small_workspace(&dir.path().join("ws"));
    let summary = ws.summary().unwrap();
    assert_eq!((summary.counts.images, summary.counts.images_with_hr), (1, 1));
    assert_eq!((summary.counts.candidates, summary.counts.checkpoints), (4, 1));
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
    let set = CandidateSet {
        checkpoint: reader.ledger().checkpoints().unwrap()[0].id,
        sampler: SamplerKey::new("euler/10").unwrap(),
    };
    let image = reader.ledger().images().unwrap()[0].id;
    for text in [
        message(reader.set_recipe_text("()")),
        message(reader.add_image(&new_image("dog.png"), b"", None)),
        message(save_seeds(&reader, &set, image, &[9], 1)),
        message(reader.ledger().set_splits(&[(image, SplitChoice::ByRule)])),
    ] {
        assert!(text.contains("open for reading only"), "{text}");
    }
}

#[test]
fn an_image_to_train_on_does_not_become_held_out_by_being_added_again() {
    let dir = tempfile::tempdir().unwrap();
    let ws = small_workspace(&dir.path().join("ws"));
    let image = new_image("dog");
    let id = ws.add_image(&image, b"lr", None).unwrap();
    assert_eq!(ws.add_image(&image, b"lr", None).unwrap(), id);
    let refused = message(ws.add_image(&NewImage { split: SplitChoice::ByRule, ..image.clone() }, b"lr", None));
    assert!(refused.contains("dog is here already, to train on"), "{refused}");
    assert_eq!(ws.ledger().image(id).unwrap().split, Split::Train);

    // Removed, nobody sees it in the library: it comes back as it is added.
    ws.ledger().set_removed(id, true).unwrap();
    assert_eq!(ws.add_image(&NewImage { split: SplitChoice::ByRule, ..image }, b"lr", None).unwrap(), id);
    let back = ws.ledger().image(id).unwrap();
    assert!(back.is_held_out() && !back.removed);
}

#[test]
fn images_of_one_file_are_for_one_thing_whole_cropped_degraded_otherwise_or_as_hr() {
    let dir = tempfile::tempdir().unwrap();
    let ws = Workspace::create(dir.path().join("ws"), "()").unwrap();
    let whole = new_image("x");
    let crop = NewImage { variant: "crop 0,0 192px light_x4".into(), split: SplitChoice::ByRule, ..whole.clone() };
    let id = ws.add_image(&whole, b"lr", Some(b"hr")).unwrap();
    let refused = message(ws.add_image(&crop, b"lr", Some(b"hr")));
    assert!(refused.contains("x is here already, to train on"), "{refused}");
    // As the HR image of another file.
    let other = NewImage { split: SplitChoice::Fixed(Split::Test), ..new_image("y") };
    let hr_of = NewImage { hr_source_hash: Some(whole.source_hash.clone()), ..other.clone() };
    assert!(message(ws.add_image(&hr_of, b"lr", Some(b"hr"))).contains("x is here already"));
    let other = ws.add_image(&other, b"lr", None).unwrap();
    assert!(message(ws.set_hr(other, b"hr", Some(&whole.source_hash))).contains("x is here already"));
    assert_eq!(ws.ledger().image(other).unwrap().hr_path, None);

    // Moved, all of its images move; then the crop is welcome, and is for what the others are for.
    assert_eq!(ws.ledger().set_splits(&[(id, SplitChoice::Fixed(Split::Validation))]).unwrap(), 1);
    let crop = ws.add_image(&crop, b"lr", Some(b"hr")).unwrap();
    assert_eq!(ws.ledger().image(crop).unwrap().split, Split::Validation);
    assert_eq!(ws.ledger().set_splits(&[(crop, SplitChoice::default())]).unwrap(), 2);
    assert_eq!(ws.ledger().image(id).unwrap().split, Split::Train);
    // And the other way round.
    let to_train_on = NewImage { split: SplitChoice::default(), ..hr_of };
    assert!(message(ws.add_image(&to_train_on, b"lr", Some(b"hr"))).contains("y is here already, held out for test"));
    // A removed image follows, also one that comes after, so that its coming back is no leak.
    let later = new_image("later");
    let removed = ws.add_image(&later, b"lr", None).unwrap();
    ws.ledger().set_removed(removed, true).unwrap();
    let crop_of_later = NewImage { variant: "crop".into(), split: SplitChoice::Fixed(Split::Test), ..later };
    ws.add_image(&crop_of_later, b"lr", None).unwrap();
    ws.ledger().set_removed(removed, false).unwrap();
    assert_eq!(ws.ledger().image(removed).unwrap().split, Split::Test);
    ws.ledger().set_removed(id, true).unwrap();
    ws.ledger().set_splits(&[(crop, SplitChoice::ByRule)]).unwrap();
    ws.ledger().set_removed(id, false).unwrap();
    assert!(ws.ledger().image(id).unwrap().is_held_out());
}

#[test]
fn held_out_images_are_split_by_source_and_a_person_has_the_last_word() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    let ws = Workspace::create(&root, "()").unwrap();
    let add = |name: &str, crop: u32, split| {
        let image = NewImage { variant: format!("crop {crop}"), split, ..new_image(name) };
        ws.add_image(&image, b"lr", None).unwrap()
    };
    let split = |id| ws.ledger().image(id).unwrap().split;
    let first = add("first", 0, SplitChoice::ByRule);
    assert_eq!(split(first), Split::Test);
    let ids: Vec<_> =
        (0..12).map(|i| [0, 1].map(|crop| add(&format!("photo {i}"), crop, SplitChoice::ByRule))).collect();
    assert!(ids.iter().all(|[a, b]| split(*a) == split(*b)));
    let counts = ws.ledger().counts().unwrap();
    assert_eq!(counts.validation_images + counts.test_images, 25);
    assert!(counts.validation_images >= 2 && counts.test_images >= 2, "{counts:?}");
    let [a, b] = ids[0];
    let other = if split(a) == Split::Test { Split::Validation } else { Split::Test };
    ws.ledger().set_splits(&[(a, SplitChoice::Fixed(other))]).unwrap();
    add("another", 0, SplitChoice::ByRule);
    assert_eq!((split(a), split(b)), (other, other));
    drop(ws);

    // The rule has nothing to say at the next start; of a ledger from before it, it has.
    let ws = Workspace::open(&root).unwrap();
    assert_eq!(ws.findings(), []);
    let before = ws.ledger().images().unwrap();
    drop(ws);
    let ledger = rusqlite::Connection::open(root.join("ledger.sqlite")).unwrap();
    ledger.execute_batch("UPDATE images SET split = 'test' WHERE split_by_rule = 1").unwrap();
    drop(ledger);
    let ws = Workspace::open(&root).unwrap();
    assert!(matches!(ws.findings(), [Finding::Split { images }] if *images >= 1), "{:?}", ws.findings());
    assert_eq!(ws.ledger().images().unwrap(), before);
    drop(ws);

    // What older versions allowed is told.
    let ledger = rusqlite::Connection::open(root.join("ledger.sqlite")).unwrap();
    ledger.execute("UPDATE images SET split = 'train', split_by_rule = 0 WHERE id = ?1", [b.0]).unwrap();
    drop(ledger);
    let findings = Workspace::open(&root).unwrap().findings().to_vec();
    assert!(
        matches!(&findings[..], [Finding::Leak { images }] if images[..] == ["photo 0", "photo 0"]),
        "{findings:?}"
    );
}
