//! The workspace as a folder: made, moved, opened again, damaged, of another version.

use std::fs;
use std::path::Path;

use dp2o_studio::workspace::Workspace;

use crate::support::{content, message, reference_set, small_workspace, tree};

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
    assert_eq!(fs::read(ws.path(image.hr_path.as_ref().unwrap())).unwrap(), b"hr");
    let group = ws.ledger().group(&set, image.id).unwrap();
    assert_eq!(group.len(), 4);
    for candidate in group {
        assert_eq!(fs::read(ws.path(&candidate.path)).unwrap(), content(candidate.seed, 100));
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
    assert_eq!(Workspace::open(&root).unwrap().recipe_text().unwrap(), "(a: 1)");
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
    assert!(text.contains("ledger.sqlite: the ledger of this workspace is missing"), "{text}");
    assert!(!root.join("ledger.sqlite").exists());
}

#[test]
fn a_typo_in_the_ron_file_is_reported_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(Workspace::create(&root, "(\n    beta: 5000.0,\n    samples: 64,\n)").unwrap());
    let path = root.join("workspace.ron");
    let broken = fs::read_to_string(&path).unwrap().replace("5000.0,", "5000.0");
    fs::write(&path, &broken).unwrap();
    let line = 1 + broken.lines().position(|line| line.contains("samples")).unwrap();
    for open in [Workspace::open, Workspace::open_read_only] {
        let text = message(open(&root));
        assert!(text.contains(&format!("workspace.ron: line {line}, column ")), "{text}");
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
        assert!(text.contains("ledger.sqlite: this ledger was written by a newer version"), "{text}");
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
    fs::write(root.join("workspace.ron"), "(format: 2, recipe: (), more: 1)").unwrap();
    let before = tree(&root);
    assert!(message(Workspace::open(&root)).contains("newer version"));
    assert!(tree(&root) == before, "something was touched");
}

fn set_version(root: &Path, version: u32) {
    let conn = rusqlite::Connection::open(root.join("ledger.sqlite")).unwrap();
    conn.pragma_update(None, "user_version", version).unwrap();
}
