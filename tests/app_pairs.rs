//! The Pairs tab driven by keys alone: what is recorded, and that training's pairs follow.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dp2o_studio::app::actions::Action;
use dp2o_studio::app::pane_kind::PaneKind;
use dp2o_studio::app::{Options, Studio};
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{AddImages, Event, Job, JobState};
use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::method::overrides::Verdict;
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::random::Random;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

fn picture(path: &Path, seed: u64) {
    let side = 128;
    let noise = Random::new(seed, 0).normal_image(3, side, side);
    let data = noise.iter().enumerate().map(|(i, n)| (0.5 + 0.2 * (i as f32 * 0.2).sin() + 0.05 * n).clamp(0.0, 1.0));
    std::fs::write(path, encode::png_bytes(&Image::new(side, side, data.collect()).unwrap()).unwrap()).unwrap();
}

/// A workspace with two images of four scored candidates each.
fn workspace(home: &Path) -> std::path::PathBuf {
    let root = home.join("ws");
    let mut recipe = Recipe::default();
    for setting in ["m=4", "sampling_steps=2", "ratio=0.5", "crop=128", "fr=stlpips", "nr=brisque"] {
        recipe.set_assignment(setting).unwrap();
    }
    let files: Vec<_> = (0..2).map(|seed| home.join(format!("picture {seed}.png"))).collect();
    for (seed, file) in (0..).zip(&files) {
        picture(file, seed);
    }
    let engine = Engine::start(Arc::new(|| ())).unwrap();
    let add = AddImages {
        paths: files,
        crops: 1,
        crop_px: 128,
        degradation: Some("bicubic_x4".into()),
        ..AddImages::default()
    };
    for job in [
        Job::Create { dir: root.clone(), recipe: Box::new(recipe), example: false },
        Job::Add(add),
        Job::Generate { images: None },
    ] {
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
    root
}

fn until(harness: &mut Harness<'_, Studio>, what: &str, is: impl Fn(&Studio) -> bool) {
    let began = Instant::now();
    while !is(harness.state()) {
        assert!(began.elapsed() < Duration::from_secs(60), "not in time: {what}");
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    harness.run_steps(3);
}

fn press(harness: &mut Harness<'_, Studio>, key: Key) {
    harness.key_press_modifiers(Modifiers::NONE, key);
    harness.run_steps(3);
}

fn verdicts(studio: &Studio) -> Vec<Verdict> {
    let rewards = studio.state.rewards.as_ref().unwrap();
    rewards.ranking.scores.overrides.all().iter().map(|o| o.verdict).collect()
}

/// A pair that would be trained on.
#[derive(Clone, Copy)]
struct Line {
    image: i64,
    winner: u64,
    loser: u64,
    weight: f32,
}

fn lines(studio: &Studio) -> Vec<Line> {
    let ranking = studio.state.rewards.as_ref().unwrap().ranking.clone();
    let (scores, curation) = (&ranking.scores, &ranking.curation);
    let seed = |column: u16| scores.seeds[usize::from(column)];
    let groups = (0..curation.len()).flat_map(|group| curation.pairs_of(group).iter().map(move |pair| (group, pair)));
    groups
        .map(|(group, pair)| Line {
            image: scores.train.images[group].0,
            winner: seed(pair.winner),
            loser: seed(pair.loser),
            weight: pair.weight,
        })
        .collect()
}

#[test]
fn pairs_are_judged_by_keys_and_training_follows() {
    let home = tempfile::tempdir().unwrap();
    let root = workspace(home.path());
    let options = Options { workspace: Some(root), ..Options::default() };
    let mut harness = Harness::builder()
        .with_size([1280.0, 800.0])
        .build_eframe(move |cc| Studio::new(cc, options).unwrap_or_else(|e| panic!("{e}")));
    until(&mut harness, "eight pairs", |s| s.state.rewards.as_ref().is_some_and(|r| r.ranking.summary.pairs == 8));
    harness.state_mut().act(Action::Show(PaneKind::Pairs));
    harness.run_steps(4);

    // The heaviest pair is in front; what is said of it holds for the pair of that name.
    let heaviest = lines(harness.state()).into_iter().max_by(|a, b| a.weight.total_cmp(&b.weight)).unwrap();
    press(&mut harness, Key::X);
    until(&mut harness, "excluded", |s| verdicts(s) == [Verdict::Exclude]);
    let is_heaviest = |l: &Line| (l.image, l.winner, l.loser) == (heaviest.image, heaviest.winner, heaviest.loser);
    assert!(!lines(harness.state()).iter().any(is_heaviest), "the excluded pair would be trained on");
    assert_eq!(lines(harness.state()).len(), 7);

    // U takes it back.
    press(&mut harness, Key::U);
    until(&mut harness, "taken back", |s| verdicts(s).is_empty());
    assert!(lines(harness.state()).iter().any(is_heaviest));

    // F trains it the other way round, and the reward no longer agrees.
    press(&mut harness, Key::F);
    until(&mut harness, "flipped", |s| verdicts(s) == [Verdict::Flip]);
    let is_flipped = |l: &Line| (l.image, l.winner, l.loser) == (heaviest.image, heaviest.loser, heaviest.winner);
    assert!(lines(harness.state()).iter().any(is_flipped));
    assert!(!lines(harness.state()).iter().any(is_heaviest));
    harness.get_by_label("reward agrees 0 % of 1 verdict");

    // The same key again takes the verdict back.
    press(&mut harness, Key::F);
    until(&mut harness, "taken back by the same key", |s| verdicts(s).is_empty());

    // J goes on to another pair, P pins that one.
    press(&mut harness, Key::J);
    press(&mut harness, Key::P);
    until(&mut harness, "pinned", |s| verdicts(s) == [Verdict::Pin]);
    let pinned = {
        let rewards = harness.state().state.rewards.clone().unwrap();
        let scores = &rewards.ranking.scores;
        let known = scores.overrides.all()[0];
        (
            scores.train.images[known.group].0,
            scores.seeds[usize::from(known.winner)],
            scores.seeds[usize::from(known.loser)],
        )
    };
    assert_ne!(pinned, (heaviest.image, heaviest.winner, heaviest.loser));
    harness.get_by_label("reward agrees 100 % of 1 verdict");
    press(&mut harness, Key::K);
    press(&mut harness, Key::X);
    until(&mut harness, "the first one excluded as well", |s| verdicts(s).len() == 2);
    assert!(!lines(harness.state()).iter().any(is_heaviest));
}
