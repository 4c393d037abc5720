//! The studio in a window without a screen: what its tests have in common.

#![allow(dead_code)]

use std::time::{Duration, Instant};

use dp2o_studio::app::Studio;
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Event, Job, JobState};
use egui::{Key, Modifiers};
use egui_kittest::Harness;

/// Draws until something is so; fails with the log where that takes longer than a minute.
pub fn until(harness: &mut Harness<'_, Studio>, what: &str, is: impl Fn(&Studio) -> bool) {
    until_within(harness, what, 60, is);
}

/// [`until`], for so many seconds.
pub fn until_within(harness: &mut Harness<'_, Studio>, what: &str, secs: u64, is: impl Fn(&Studio) -> bool) {
    let began = Instant::now();
    while !is(harness.state()) {
        let log: Vec<_> = harness.state().state.log.lines.iter().map(|line| line.text.clone()).collect();
        assert!(began.elapsed() < Duration::from_secs(secs), "not in {secs} s: {what}; the log: {log:#?}");
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    harness.run_steps(3);
}

/// Presses a key, and draws what comes of it.
pub fn press(harness: &mut Harness<'_, Studio>, key: Key) {
    harness.key_press_modifiers(Modifiers::NONE, key);
    harness.run_steps(3);
}

/// Runs jobs one after the other, each to its good end.
pub fn done(engine: &Engine, jobs: impl IntoIterator<Item = Job>) {
    for job in jobs {
        let id = engine.run(job).unwrap();
        loop {
            match engine.events().recv().unwrap() {
                Event::Job { id: of, state } if of == id && state.is_final() => {
                    assert!(matches!(state, JobState::Done(_)), "{state:?}");
                    break;
                }
                _ => {}
            }
        }
    }
}
