//! Commands that score, and commands that misbehave in every way: each is one line of error that names the metric.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::iqa::info::{Direction, Kind};

/// A folder with a program in it.
struct Program {
    folder: TempDir,
    path: PathBuf,
}

fn program(script: &str) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metric");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Program { folder, path }
}

impl Program {
    fn command(&self, arguments: &[&str]) -> External {
        let program = std::iter::once(self.path.to_str().unwrap()).chain(arguments.iter().copied());
        let kind = match arguments.iter().any(|argument| argument.contains("{reference}")) {
            true => Kind::FullReference,
            false => Kind::NoReference,
        };
        External {
            name: "mine".into(),
            program: program.map(str::to_owned).collect(),
            direction: Direction::Higher,
            kind,
            range: (0.0, 1.0),
            min_size_px: 4,
            timeout_secs: 20,
            at_once: 3,
        }
    }
}

fn image(value: f32) -> Arc<Image> {
    Arc::new(Image::new(6, 5, vec![value; 90]).unwrap())
}

/// Scores of images of these values, against a reference of 0.5.
fn scores(command: &External, values: &[f32]) -> Vec<Result<f64, String>> {
    let features = Features::default();
    let scorer = ExternalMetric::new(command).open(&Store::of_folders(&[], false), &Compute::cpu()).unwrap();
    let bound = scorer.bind(Some(&image(0.5)), &features).unwrap();
    let images: Vec<_> = values.iter().map(|value| image(*value)).collect();
    let scores = bound.scores(&images, &features);
    assert_eq!(bound.map(&images[0], &features).unwrap(), None);
    scores.into_iter().map(|score| score.map_err(|e| e.to_string())).collect()
}

/// The one error of a program that is given one image.
fn fault(script: &str) -> String {
    let program = program(script);
    let error = scores(&program.command(&["{image}"]), &[0.0]).remove(0).unwrap_err();
    assert!(error.starts_with("mine: ") && error.lines().count() == 1 && error.len() < 300, "{error:?}");
    error
}

#[test]
fn a_program_scores_one_by_one_or_several_at_once() {
    // The number of bytes in which the PNG of the image differs from the reference's.
    let one = program(r#"test "$3" = "a b;\$(exit 3)" || exit 9; cmp -l "${1#--image=}" "$2" | wc -l"#);
    let command = one.command(&["--image={image}", "{reference}", "a b;$(exit 3)"]);
    let got = scores(&command, &[0.5, 0.0, 0.5]);
    assert_eq!((&got[0], &got[2]), (&Ok(0.0), &Ok(0.0)));
    assert!(got[1].as_ref().is_ok_and(|score| *score > 0.0), "{got:?}");

    // Seven images, three at once: the number of arguments tells the batch.
    let several = program(r#"for i in "$@"; do echo; echo "  $#e0 "; done; echo $# >> "$(dirname "$0")/starts""#);
    let got = scores(&several.command(&["{images}"]), &[0.1; 7]);
    assert_eq!(got, [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0].map(Ok));
    let starts = std::fs::read_to_string(several.folder.path().join("starts")).unwrap();
    assert_eq!(starts, "3\n3\n1\n");
}

#[test]
fn what_a_program_does_wrong_is_said_in_one_line() {
    for (script, cause) in [
        ("echo nan", "printed `nan`, which is no score"),
        ("echo inf", "printed `inf`"),
        ("echo good; echo 'much worse' >&2", "printed `good` where a number is wanted"),
        ("true", "printed 0 lines for 1 image"),
        ("echo 1; echo 2", "printed 2 lines for 1 image, the last `2`"),
        (
            "echo 1; echo first >&2; echo 'no\x1b[31m GPU' >&2; echo >&2; exit 3",
            "it failed (exit status: 3): no [31m GPU",
        ),
        ("kill -SEGV $$", "it failed (signal: 11"),
        ("printf '\\377\\n'", "is no text"),
        ("head -c 3000000 /dev/zero | tr '\\0' 7", "printed `777"),
        ("exit 1", "it said nothing on standard error"),
    ] {
        let error = fault(script);
        assert!(error.contains(cause) && !error.contains('\x1b'), "{script}: {error}");
    }
    // A fault of one image is no other's, where the program can tell them apart.
    let program = program("echo 1; echo none; echo 3");
    let got = scores(&program.command(&["{images}"]), &[0.1; 3]);
    assert_eq!((&got[0], &got[2]), (&Ok(1.0), &Ok(3.0)));
    assert!(got[1].as_ref().is_err_and(|error| error.contains("`none`")));
    let too_few = scores(&program.command(&["{images}"]), &[0.1; 2]);
    assert!(
        too_few.iter().all(|error| error.as_ref().is_err_and(|e| e.contains("3 lines for 2 images"))),
        "{too_few:?}"
    );
}

#[test]
fn a_program_that_hangs_is_killed_with_its_children() {
    let began = Instant::now();
    // The child would hold the pipes open for a minute.
    let hanging = program(r#"sleep 60 & echo $! > "$(dirname "$0")/child"; wait"#);
    let command = External { timeout_secs: 1, ..hanging.command(&["{image}"]) };
    let error = scores(&command, &[0.1]).remove(0).unwrap_err();
    assert!(error.contains("longer than 1 s and was killed"), "{error}");
    let child: i32 = std::fs::read_to_string(hanging.folder.path().join("child")).unwrap().trim().parse().unwrap();
    let is_gone = || {
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z")
    };
    while cfg!(target_os = "linux") && !is_gone() {
        assert!(began.elapsed() < Duration::from_secs(20), "the child lives on");
        std::thread::sleep(Duration::from_millis(5));
    }

    // The same when nobody waits any more, long before its time.
    let stop = Arc::new(AtomicBool::new(false));
    let features = Features::until(stop.clone());
    let scorer = ExternalMetric::new(&hanging.command(&["{image}"]))
        .open(&Store::of_folders(&[], false), &Compute::cpu())
        .unwrap();
    let bound = scorer.bind(None, &features).unwrap();
    let scores = std::thread::scope(|scope| {
        let scoring = scope.spawn(|| bound.scores(&[image(0.1), image(0.2)], &features));
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
        scoring.join().unwrap()
    });
    assert!(scores.iter().all(|score| matches!(score, Err(Error::Cancelled))), "{scores:?}");
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_process_left_behind_does_not_hold_up_for_long() {
    let began = Instant::now();
    let error = fault("sleep 20 & echo 1");
    assert!(error.contains("left a process behind"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn images_are_checked_like_those_of_any_metric() {
    let program = program("for i in \"$@\"; do echo 1; done");
    let command = program.command(&["{image}", "{reference}"]);
    let metric = ExternalMetric::new(&command);
    let small = Image::new(3, 5, vec![0.0; 45]).unwrap();
    let score = |image: &Image, reference: Option<&Image>| {
        let metric: &dyn Metric = &metric;
        metric.score(image, reference).unwrap_err().to_string()
    };
    assert!(score(&small, Some(&small)).contains("mine needs at least 4×4"));
    assert!(score(&image(0.1), None).contains("needs a reference"));
    let other = Image::new(7, 5, vec![0.0; 105]).unwrap();
    assert!(score(&other, Some(&image(0.1))).contains("7×5"));
}

#[test]
fn a_changed_program_is_another_metric() {
    let program = program("echo 1");
    let command = program.command(&["{image}"]);
    let key = |command: &External| ExternalMetric::new(command).key(&Store::default());
    let before = key(&command);
    assert_eq!((before.metric.as_str(), before.weights_hash.len()), ("mine", 16));
    assert!(before.version.ends_with("metric {image}"), "{}", before.version);
    assert_eq!(key(&command), before);
    // Its file, another argument, and a script among the arguments.
    std::fs::write(&program.path, "#!/bin/sh\necho 2\n").unwrap();
    assert_ne!(key(&command).weights_hash, before.weights_hash);
    assert_ne!(key(&program.command(&["-v", "{image}"])).version, before.version);
    let script = program.folder.path().join("model.txt");
    std::fs::write(&script, "a").unwrap();
    let with_script = program.command(&[script.to_str().unwrap(), "{image}"]);
    let first = key(&with_script);
    std::fs::write(&script, "b").unwrap();
    assert_ne!(key(&with_script).weights_hash, first.weights_hash);
    std::fs::remove_file(&program.path).unwrap();
    assert_eq!(key(&command).weights_hash, "missing");
    let error =
        ExternalMetric::new(&command).open(&Store::of_folders(&[], false), &Compute::cpu()).err().unwrap().to_string();
    assert!(error.starts_with("mine: ") && error.contains("no program is there"), "{error}");
}

#[test]
fn a_command_is_written_as_one_line_and_read_back() {
    for parts in [
        &["sh", "{image}"][..],
        &[r"C:\Program Files\a.exe", "", "a \"b\" \\ c", "{images}"],
        &["/usr/bin/prog", "--at=x y", r"back\slash"],
    ] {
        let program: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let line = External { program: program.clone(), ..program_less() }.template();
        assert_eq!(External::parts(&line), Some(program), "{line}");
    }
    assert_eq!(External::parts(r#"  a "b c"d  "#).unwrap(), ["a", "b cd"]);
    assert_eq!((External::parts("a \"b"), External::parts(" ")), (None, Some(vec![])));
}

fn program_less() -> External {
    External::from_ron(r#"(name: "mine", program: ["sh", "{image}"], direction: higher, kind: nr)"#).unwrap()
}

#[test]
fn a_description_that_cannot_be_is_refused() {
    let described =
        |fields: &str| External::from_ron(&format!("(name: \"mine\", {fields})")).map_err(|e| e.to_string());
    let good = r#"program: ["sh", "{image}"], direction: Higher, kind: NR"#;
    let command = described(good).unwrap();
    assert_eq!((command.timeout_secs, command.at_once, command.min_size_px), (60, 16, 0));
    let ron = ron::to_string(&command).unwrap();
    assert_eq!(External::from_ron(&ron).unwrap(), command);
    assert!(!ron.contains("timeout"), "{ron}");
    for (fields, cause) in [
        (r#"program: [""], direction: higher, kind: nr"#, "names no program"),
        (r#"program: ["./prog", "{image}"], direction: higher, kind: nr"#, "absolute path"),
        (r#"program: ["sh"], direction: higher, kind: nr"#, "{image}"),
        (r#"program: ["sh", "{image}", "{image}"], direction: higher, kind: nr"#, "{image}"),
        (r#"program: ["sh", "a{images}"], direction: higher, kind: nr"#, "{images}"),
        (r#"program: ["sh", "{image}"], direction: higher, kind: fr"#, "needs {reference}"),
        (r#"program: ["sh", "{image}", "{reference}"], direction: higher, kind: nr"#, "has no {reference}"),
        (r#"program: ["sh", "{image}"], direction: sideways, kind: nr"#, "line 1"),
        (r#"program: ["sh", "{image}"], direction: higher, kind: nr, timeout_secs: 0"#, "above 0"),
        (r#"program: ["sh", "{image}"], direction: higher, kind: nr, range: (1, 0)"#, "range"),
        (r#"program: ["sh", "{image}"], direction: higher, kind: nr, shell: true"#, "shell"),
    ] {
        let error = described(fields).unwrap_err();
        assert!(error.contains(cause), "{fields}: {error}");
    }
    let named = |name: &str| External { name: name.into(), ..command.clone() };
    assert!(fault_of(&[named("a b")]).unwrap().contains("letters"));
    assert!(fault_of(&[named("psnr")]).unwrap().contains("already"));
    assert!(fault_of(&[named("one"), named("two"), named("one")]).unwrap().contains("already"));
    assert_eq!(fault_of(&[named("one"), named("two")]), None);
    let nowhere = External { program: vec!["no-such-program-7".into(), "{image}".into()], ..command };
    assert!(nowhere.resolve().unwrap_err().to_string().contains("on PATH"));
}
