//! A command that scores is killed with the job that started it.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dp2o_studio::Permit;
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Command, Event, Job, JobId, JobState, Outcome};
use dp2o_studio::method::recipe::Recipe;

#[test]
fn a_command_that_hangs_ends_with_its_job() {
    let dir = tempfile::tempdir().unwrap();
    // SAFETY: no other thread is there yet, as this is the only test of its file.
    unsafe { std::env::set_var("XDG_DATA_HOME", dir.path().join("data")) };
    let program = dir.path().join("hangs");
    fs::write(&program, "#!/bin/sh\necho $$ > \"$(dirname \"$0\")/pid\"\nexec sleep 300\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.display();
    let recipe = format!(
        r#"(
            data: (crop_px: 64, crops: 1, held_out_crops: 1),
            sampling: (m: 2, steps: 1, method: euler),
            metrics: (external: [(name: "hangs", program: ["{program}", "{{images}}"], direction: lower, kind: nr)]),
            reward: (fr: {{"psnr": 1.0}}, nr: {{"hangs": 1.0}}, held_out: []),
        )"#
    );
    let recipe = Recipe::from_ron(&recipe, "test.ron").unwrap();
    let engine = Engine::start(Arc::new(|| ())).unwrap();
    let ended = |job: Job, meanwhile: &dyn Fn(JobId)| {
        let id = engine.run(job).unwrap();
        meanwhile(id);
        loop {
            match engine.events().recv().unwrap() {
                Event::Job { id: of, state } if of == id && state.is_final() => return state,
                _ => {}
            }
        }
    };
    let root = dir.path().join("ws");
    ended(Job::Create { dir: root, recipe: Box::new(recipe), example: true }, &|_| ());
    let sampled = ended(Job::Sample { images: None }, &|_| ());
    assert!(matches!(sampled, JobState::Done(Outcome::Sampled { .. })), "{sampled:?}");
    // The studio asks; nothing was started.
    let JobState::Refused { permit, .. } = ended(Job::Score, &|_| ()) else { panic!() };
    assert_eq!(permit, Permit::External);
    let pid = dir.path().join("pid");
    assert!(!pid.exists());
    let allowed = Job::Score.permitting(permit).unwrap();
    let began = Instant::now();
    let state = ended(allowed, &|id| {
        while !fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')) {
            assert!(began.elapsed() < Duration::from_secs(60), "it never started");
            std::thread::sleep(Duration::from_millis(10));
        }
        engine.send(Command::Cancel(id)).unwrap();
    });
    assert!(matches!(state, JobState::Cancelled), "{state:?}");
    let pid: u32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    assert!(!Path::new(&format!("/proc/{pid}/cmdline")).exists() || is_zombie(pid), "it lives on");
    assert!(began.elapsed() < Duration::from_secs(60));
}

fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z")
}
