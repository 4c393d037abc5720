//! The workspace among processes: a second writer, readers beside a writer, SIGKILL, full and read-only media.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{
    Mounted, ReadOnlyDir, Second, child_task, content, copy_tree, key, new_image, reference_set, save_seeds, skipped,
    small_workspace, tree,
};
use dp2o_studio::workspace::{CheckpointKind, NewCheckpoint, NewRun, NewScore, StepRow, Workspace};

/// Size of a stand-in image: large enough that a kill can hit the middle of a write.
const LENGTH: usize = 200_000;
/// What the working child makes in all.
const IMAGES: usize = 4;
const SEEDS: u64 = 24;
const BATCH: usize = 4;

/// The second process's part; does nothing unless another test started it.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    let Some((task, root)) = child_task() else {
        return;
    };
    match task.as_str() {
        "hold" => hold(&root),
        "work" => work(&root),
        other => panic!("no task “{other}”"),
    }
}

/// Opens for writing, says so and waits.
fn hold(root: &Path) {
    let ws = Workspace::open(root).unwrap();
    let image = ws.ledger().images().unwrap()[0].id;
    save_seeds(&ws, &reference_set(&ws), image, &[100, 101], 100).unwrap();
    println!("\nholding");
    let _ = std::io::stdin().read(&mut [0]);
}

/// Does what is missing, as a verb of the command line would: sample, score, train. Says what is safely saved.
fn work(root: &Path) {
    let ws = Workspace::open(root).unwrap();
    println!("\nopened");
    let set = reference_set(&ws);
    let images: Vec<_> = (0..IMAGES)
        .map(|i| ws.add_image(&new_image(&format!("{i}.png")), &content(i as u64, LENGTH), None).unwrap())
        .collect();
    let seeds: Vec<_> = (0..SEEDS).collect();
    for missing in ws.ledger().missing_candidates(&set, &images, &seeds).unwrap() {
        for batch in missing.seeds.chunks(BATCH) {
            save_seeds(&ws, &set, missing.image, batch, LENGTH).unwrap();
            for seed in batch {
                println!("saved {} {seed}", missing.image.0);
            }
        }
    }
    let wanted = (key("niqe"), dp2o_studio::iqa::Kind::NoReference);
    for missing in ws.ledger().missing_scores(&set, std::slice::from_ref(&wanted)).unwrap() {
        let score = NewScore { candidate: missing.candidate.id, metric: 0, value: missing.candidate.seed as f64 };
        ws.ledger().record_scores("cpu", &[key("niqe")], &[score]).unwrap();
    }
    train(&ws);
    println!("done");
}

fn train(ws: &Workspace) {
    let ledger = ws.ledger();
    let run = match ledger.run_by_name("run").unwrap() {
        Some(run) => run.id,
        None => {
            let new = NewRun { name: "run".into(), recipe: "()".into(), seed: 1, parent: None, round: 0 };
            ws.begin_run(&new, b"pairs").unwrap()
        }
    };
    let start = ledger.resumable(run).unwrap().first().map_or(0, |checkpoint| checkpoint.step);
    ledger.rewind_run(run, start).unwrap();
    for step in start + 1..=20 {
        ledger.record_steps(run, &[logged(step)]).unwrap();
        let state = ws.save_training_state(run, step, |out| out.write_all(&content(u64::from(step), LENGTH))).unwrap();
        let new = NewCheckpoint {
            run,
            step,
            kind: CheckpointKind::Policy,
            backbone: "mini".into(),
            state: Some(state),
            held_out_reward: None,
        };
        ws.save_checkpoint(&new, &content(u64::from(step) + 1000, LENGTH)).unwrap();
    }
}

fn logged(step: u32) -> StepRow {
    let x = f64::from(step);
    StepRow {
        step,
        loss: 1.0 / x,
        implicit_accuracy: 0.5,
        margin: x,
        policy_winner_error: x,
        policy_loser_error: x,
        reference_winner_error: x,
        reference_loser_error: x,
        grad_norm: x,
        learning_rate: 1e-5,
        seconds: 0.1,
        extra: None,
    }
}

#[test]
fn a_second_writer_is_told_who_writes_and_readers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(small_workspace(&root));
    let mut holder = Second::start("hold", &root);
    holder.wait_for("holding");
    let text = Workspace::open(&root).unwrap_err().to_string();
    assert!(text.contains(root.to_str().unwrap()), "{text}");
    assert!(text.contains(&format!("process {} on ", holder.process.id())), "{text}");

    let reader = Workspace::open_read_only(&root).unwrap();
    assert_eq!(reader.summary().unwrap().counts.candidates, 6);
    // The system gives the lock back, whatever became of the holder.
    holder.kill();
    let ws = Workspace::open(&root).unwrap();
    assert_eq!(ws.summary().unwrap().counts.candidates, 6);
    // Within one process it is the same.
    assert!(Workspace::open(&root).is_err());
    drop(ws);
    Workspace::open(&root).unwrap();
}

#[test]
fn a_reader_beside_a_writer_sees_whole_batches() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    drop(Workspace::create(&root, "()").unwrap());
    let mut writer = Second::start("work", &root);
    writer.wait_for("opened");
    let reader = Workspace::open_read_only(&root).unwrap();
    let (mut version, mut count, mut changes) = (0, 0, 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while reader.ledger().runs().unwrap().is_empty() {
        assert!(Instant::now() < deadline);
        let now = reader.ledger().data_version().unwrap();
        if now != version {
            version = now;
            changes += 1;
            for (set, _) in reader.ledger().candidate_sets().unwrap() {
                let candidates = reader.ledger().candidates(&set).unwrap();
                assert!(candidates.len() >= count && candidates.len().is_multiple_of(BATCH));
                for new in &candidates[candidates.len() - BATCH..] {
                    assert_eq!(fs::read(reader.path(&new.path)).unwrap(), content(new.seed, LENGTH));
                }
                count = candidates.len();
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(changes > 3, "the reader saw only {changes} changes");
    assert_eq!(count, IMAGES * SEEDS as usize);
    assert_eq!(writer.finish().iter().filter(|line| *line == "done").count(), 1);
}

/// The files a finished `work` leaves, without the ledger, whose pages depend on its history.
fn finished(root: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let lines = Second::start("work", root).finish();
    assert!(lines.iter().any(|line| line == "done"));
    tree(root)
        .into_iter()
        .filter(|(path, _)| !path.starts_with("ledger.sqlite") && path.extension().is_some_and(|e| e != "lock"))
        .collect()
}

/// Everything of the ledger that time does not decide.
fn recorded(root: &Path) -> Vec<String> {
    let conn = rusqlite::Connection::open(root.join("ledger.sqlite")).unwrap();
    let mut lines = Vec::new();
    for sql in [
        "SELECT dir || lr_path FROM images ORDER BY 1",
        "SELECT candidates.path || ' ' || value FROM candidates JOIN scores ON candidate_id = candidates.id ORDER BY 1",
        "SELECT step || ' ' || loss FROM steps ORDER BY step",
        "SELECT name || path || state_path || weights_hash FROM checkpoints WHERE run_id IS NOT NULL ORDER BY 1",
    ] {
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        lines.extend(rows.map(|row| -> String { row.unwrap() }));
    }
    lines
}

#[test]
fn killed_at_any_moment_it_resumes_to_the_same_result() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    drop(Workspace::create(&whole, "()").unwrap());
    drop(Workspace::create(&killed, "()").unwrap());
    let start = Instant::now();
    let expected = finished(&whole);
    let duration = start.elapsed();

    let mut acknowledged = Vec::new();
    for kill in 0..20u32 {
        let mut worker = Second::start("work", &killed);
        worker.wait_for("opened");
        // Spread over the whole work, though each round has less of it left.
        let wait = duration.mul_f64(f64::from((kill * 7919) % 100) / 100.0 / 7.0);
        std::thread::sleep(wait);
        acknowledged.extend(worker.kill().into_iter().filter(|line| line.starts_with("saved")));

        // As it was left, before any repair: no row without its whole file, and the database is sound.
        let reader = Workspace::open_read_only(&killed).unwrap();
        let mut known = Vec::new();
        for (set, _) in reader.ledger().candidate_sets().unwrap() {
            for row in reader.ledger().candidates(&set).unwrap() {
                let bytes = fs::read(reader.path(&row.path)).unwrap();
                assert!(bytes == content(row.seed, LENGTH), "{} is not whole", row.path);
                known.push(format!("saved {} {}", row.image.0, row.seed));
            }
        }
        for checkpoint in reader.ledger().checkpoints().unwrap() {
            for path in checkpoint.path.iter().chain(&checkpoint.state_path) {
                assert_eq!(fs::metadata(reader.path(path)).unwrap().len(), LENGTH as u64);
            }
        }
        for line in &acknowledged {
            assert!(known.contains(line), "“{line}” was lost");
        }
        let conn = rusqlite::Connection::open(killed.join("ledger.sqlite")).unwrap();
        let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
    let steps = Workspace::open_read_only(&killed).unwrap().summary().unwrap().counts.steps;
    println!(
        "uninterrupted in {duration:.2?}; {} candidates and {steps} steps before the last kill",
        acknowledged.len()
    );
    assert!(!acknowledged.is_empty());
    assert!(finished(&killed) == expected, "the files differ");
    assert_eq!(recorded(&killed), recorded(&whole));
}

#[test]
fn media_that_cannot_be_written_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (root, cut_off) = (dir.path().join("ws"), dir.path().join("cut off"));
    drop(small_workspace(&root));
    // A copy whose writer was killed, so that the last rows are only in the log.
    copy_tree(&root, &cut_off);
    let mut holder = Second::start("hold", &cut_off);
    holder.wait_for("holding");
    holder.kill();
    assert!(fs::metadata(cut_off.join("ledger.sqlite-wal")).unwrap().len() > 0);
    let log_only = dir.path().join("log only");
    copy_tree(&cut_off, &log_only);
    fs::remove_file(log_only.join("ledger.sqlite-shm")).unwrap();

    for (name, from, candidates) in [("closed", &root, 4), ("log and index", &cut_off, 6), ("log", &log_only, 6)] {
        let to = dir.path().join(format!("read-only {name}"));
        let Some(media) = ReadOnlyDir::copy_of(from, &to) else {
            return skipped("read-only media: permissions do not stop this user, and it may not mount");
        };
        let ws = Workspace::open_read_only(&media.path).unwrap();
        assert_eq!(ws.summary().unwrap().counts.candidates, candidates, "{name}");
        assert_eq!(ws.recipe_text().unwrap(), "(beta: 5000.0)");
        assert_eq!(ws.check().unwrap(), [], "{name}");
        let text = Workspace::open(&media.path).unwrap_err().to_string();
        assert!(text.contains("cannot be written") && text.contains("reading"), "{text}");
        let text = Workspace::create(media.path.join("new"), "()").unwrap_err().to_string();
        assert!(text.contains("new: "), "{text}");
    }
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::tmpfs(&dir.path().join("disk"), 4 << 20) else {
        return skipped("full disk: this user may not mount a small file system");
    };
    let root = disk.0.join("ws");
    let ws = small_workspace(&root);
    let (set, image) = (reference_set(&ws), ws.ledger().images().unwrap()[0].id);

    // Full while candidates are saved, but for what this file sets aside.
    let reserve = disk.0.join("reserve");
    fs::write(&reserve, vec![0; 1 << 20]).unwrap();
    let mut saved = Vec::from([0, 1, 2, 3]);
    let text = loop {
        let seed = 10 + saved.len() as u64;
        match save_seeds(&ws, &set, image, &[seed], LENGTH) {
            Ok(()) => saved.push(seed),
            Err(e) => {
                assert!(e.ends_job(), "the next file would fail too");
                break e.to_string();
            }
        }
    };
    assert!(text.contains(".png: the disk is full"), "{text}");
    let seeds =
        |ws: &Workspace| -> Vec<u64> { ws.ledger().group(&set, image).unwrap().iter().map(|row| row.seed).collect() };
    assert_eq!(seeds(&ws), saved);

    // Full to the last byte: neither ledger nor recipe can be written, all can be read.
    let filler = disk.0.join("filler");
    let _ = fs::write(&filler, vec![0; 4 << 20]);
    let new = NewRun { name: "run".into(), recipe: "x".repeat(100_000), seed: 1, parent: None, round: 0 };
    let text = ws.begin_run(&new, b"").unwrap_err().to_string();
    assert!(text.contains(": the disk is full"), "{text}");
    let text = ws.set_recipe_text("(beta: 1.0)").unwrap_err().to_string();
    assert!(text.contains("workspace.ron: the disk is full"), "{text}");
    assert_eq!(ws.recipe_text().unwrap(), "(beta: 5000.0)");
    assert_eq!(seeds(&ws), saved);
    assert_eq!(ws.ledger().runs().unwrap(), []);

    // With room again it goes on, also after a restart.
    fs::remove_file(&filler).unwrap();
    fs::remove_file(&reserve).unwrap();
    ws.begin_run(&new, b"").unwrap();
    drop(ws);
    let ws = Workspace::open(&root).unwrap();
    assert_eq!(seeds(&ws), saved);
    for row in ws.ledger().group(&set, image).unwrap() {
        let length = if row.seed < 10 { 100 } else { LENGTH };
        assert!(fs::read(ws.path(&row.path)).unwrap() == content(row.seed, length));
    }
}
