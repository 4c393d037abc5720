//! Candidates and pairs looked at and judged by keys alone: what is shown, what is recorded, that training's pairs follow, and
//! that nothing of it waits for the job that runs.

mod window;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dp2o_studio::app::actions::Action;
use dp2o_studio::app::pane_kind::PaneKind;
use dp2o_studio::app::{Options, Studio};
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{AddImages, Job, Level, TableOf};
use dp2o_studio::engine::ranking::Ranking;
use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::method::agreement::Choice;
use dp2o_studio::method::blind;
use dp2o_studio::method::overrides::Verdict;
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::random::Random;
use dp2o_studio::report::table::Form;
use dp2o_studio::workspace::{OverrideKind, Workspace};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use window::{done, press, until};

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
    let create = Job::Create { dir: root.clone(), recipe: Box::new(recipe), example: false };
    done(&engine, [create, Job::Add(add), Job::Generate { images: None }]);
    root
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
    lines_of(&studio.state.rewards.as_ref().unwrap().ranking)
}

fn lines_of(ranking: &Ranking) -> Vec<Line> {
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

/// The studio with eight pairs, and a pane in front.
fn studio(root: &Path, pane: PaneKind) -> Harness<'static, Studio> {
    let options = Options { workspace: Some(root.into()), ..Options::default() };
    let mut harness = Harness::builder()
        .with_size([1280.0, 800.0])
        .build_eframe(move |cc| Studio::new(cc, options).unwrap_or_else(|e| panic!("{e}")));
    until(&mut harness, "eight pairs", |s| s.state.rewards.as_ref().is_some_and(|r| r.ranking.summary.pairs == 8));
    harness.state_mut().act(Action::Show(pane));
    harness.run_steps(4);
    harness
}

/// Views that show a picture of this name.
fn views(harness: &Harness<'_, Studio>, name: &str) -> usize {
    harness.query_all_by_role_and_label(Role::Image, name).count()
}

#[test]
fn pairs_are_judged_by_keys_and_training_follows() {
    let home = tempfile::tempdir().unwrap();
    let mut harness = studio(&workspace(home.path()), PaneKind::Pairs);

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
    harness.get_by_label("reward agrees 0 % [0, 79] of 1 verdict");

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
    harness.get_by_label("reward agrees 100 % [21, 100] of 1 verdict");
    // The pair that was gone to is the image of all panes.
    assert_eq!(harness.state().state.selection.image.map(|image| image.0), Some(pinned.0));
    press(&mut harness, Key::K);
    press(&mut harness, Key::X);
    until(&mut harness, "the first one excluded as well", |s| verdicts(s).len() == 2);
    assert!(!lines(harness.state()).iter().any(is_heaviest));
}

#[test]
fn truth_is_a_held_key_away_and_what_decided_is_a_bar() {
    let home = tempfile::tempdir().unwrap();
    let mut harness = studio(&workspace(home.path()), PaneKind::Pairs);
    for (key, name) in [(Key::L, "LR"), (Key::G, "HR")] {
        assert_eq!(views(&harness, name), 0);
        harness.key_down(key);
        harness.run_steps(2);
        assert_eq!(views(&harness, name), 2, "{name} is not in the place of both");
        harness.key_up(key);
        harness.run_steps(2);
        assert_eq!(views(&harness, name), 0, "{name} stays");
    }
    // The same crop of LR and HR beside winner and loser.
    for name in ["LR", "HR"] {
        harness.get_by_role_and_label(Role::Button, name).click();
        harness.run_steps(3);
        assert_eq!(views(&harness, name), 1);
    }
    // What the metrics add is there for each of the reward, and sums to the gap. Held-out metrics add nothing.
    let ranking = harness.state().state.rewards.as_ref().unwrap().ranking.clone();
    let plan = ranking.plan.as_ref().unwrap();
    let table = &ranking.scores.train.table;
    for seed in 0..4 {
        let parts = plan.parts(table, 0, seed);
        let names: Vec<_> = parts.iter().map(|(column, _)| table.columns()[*column].name.to_string()).collect();
        assert_eq!(names, ["stlpips", "brisque"]);
        let sum: f64 = parts.iter().map(|(_, part)| part).sum();
        assert!((sum - ranking.rewards.get(0, seed).unwrap()).abs() < 1e-12);
    }
    assert_eq!(harness.query_all_by_label_contains("stlpips adds").count(), 1);
    assert_eq!(harness.query_all_by_label_contains("psnr adds").count(), 0);
    // Ranked regardless of a score, what follows it is one more part.
    let mut recipe = harness.state().state.recipe.edited.clone();
    recipe.set_assignment("regardless=psnr").unwrap();
    harness.state_mut().act(Action::EditRecipe { recipe: Box::new(recipe), what: "regardless of psnr".into() });
    let before = ranking.rewards.get(0, 0);
    until(&mut harness, "another ranking", |s| {
        s.state.rewards.as_ref().is_some_and(|r| r.ranking.rewards.get(0, 0) != before)
    });
    harness.run_steps(3);
    assert_eq!(harness.query_all_by_label_contains("psnr taken out adds").count(), 1);
}

#[test]
fn a_candidate_is_looked_at_closely_and_the_arrows_go_on() {
    let home = tempfile::tempdir().unwrap();
    let mut harness = studio(&workspace(home.path()), PaneKind::Seeds);
    let seed = |harness: &Harness<'_, Studio>| harness.state().state.selection.seed;
    press(&mut harness, Key::ArrowRight);
    let first = seed(&harness).expect("the arrow selects a candidate");
    press(&mut harness, Key::Enter);
    harness.get_by_label("Back to the grid");
    assert!(harness.query_by_label(&format!("Seed {first}")).is_some());
    press(&mut harness, Key::ArrowRight);
    let second = seed(&harness).unwrap();
    assert_ne!(first, second);
    assert!(harness.query_by_label(&format!("Seed {second}")).is_some());
    harness.get_by_label("Beside the best").click();
    harness.run_steps(3);
    assert_eq!(harness.query_all_by_label_contains("stlpips adds").count(), 1);
    press(&mut harness, Key::Escape);
    assert!(harness.query_by_label("Back to the grid").is_none());
    assert_eq!(harness.query_all_by_label_contains("Candidate of seed").count(), 4);
}

#[test]
fn pairs_are_judged_blindly_on_shuffled_sides() {
    let home = tempfile::tempdir().unwrap();
    let root = workspace(home.path());
    let mut harness = studio(&root, PaneKind::Pairs);
    press(&mut harness, Key::A);
    assert_eq!((views(&harness, "A"), views(&harness, "B")), (1, 1));
    // Neither names nor rewards.
    assert_eq!(harness.query_all_by_label_contains("▲ winner").count(), 0);
    assert_eq!(harness.query_all_by_label_contains(" R 0.").count(), 0);

    let judgements = |studio: &Studio| studio.state.judgements.all().to_vec();
    let answers = [(Key::Num1, Choice::Left), (Key::Num2, Choice::Right), (Key::Num3, Choice::Unsure)];
    for (count, (key, choice)) in answers.into_iter().enumerate() {
        // In one frame, and the next pair is there.
        press(&mut harness, key);
        let all = judgements(harness.state());
        assert_eq!((all.len(), all[count].choice), (count + 1, choice));
    }
    press(&mut harness, Key::ArrowUp);
    let said = judgements(harness.state());
    assert_eq!(said[3].choice, Choice::BothBad);
    let keys: std::collections::HashSet<_> = said.iter().map(|judgement| judgement.key()).collect();
    assert_eq!(keys.len(), 4, "a pair was shown twice");
    let mut places = Vec::new();
    for judgement in &said {
        let (image, a, b, _) = judgement.key();
        let (place, is_swapped) = blind::place(judgement.shuffle, image.0, [a, b]);
        assert_eq!(judgement.seeds, if is_swapped { [b, a] } else { [a, b] });
        places.push(place);
    }
    assert!(places.is_sorted(), "{places:?}");

    // U takes the last one back, and its pair is the next one again.
    press(&mut harness, Key::U);
    assert_eq!(judgements(harness.state()).len(), 3);
    press(&mut harness, Key::Num2);
    assert_eq!(judgements(harness.state())[3].key(), said[3].key());

    // What was said is how far the reward agrees, and on whom it does not can be looked at.
    let view = harness.state().state.rewards.clone().unwrap();
    let agreement = harness.state().state.judgements.agreement(&view, None);
    assert_eq!(agreement.judged, 3);
    harness.get_by_label("Results").click();
    harness.run_steps(3);
    assert_eq!(harness.query_all_by_label_contains("of 3 verdicts").count(), 1);
    let disputed = harness.state().state.judgements.disputed(&view).len();
    assert_eq!(disputed, 3 - agreement.agreeing as usize);
    harness.get_by_label("Disputed").click();
    harness.run_steps(4);
    assert_eq!(harness.query_all_by_role(Role::Row).count(), disputed);

    // All of it is in the workspace, and leaves it as a table.
    let table = home.path().join("verdicts.csv");
    harness.state_mut().act(Action::Start(Job::ExportTable {
        of: TableOf::Verdicts,
        form: Form::Csv,
        path: table.clone(),
        overwrite: false,
    }));
    until(&mut harness, "the verdicts", |_| table.is_file());
    let text = std::fs::read_to_string(&table).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "image,winner_seed,loser_seed,verdict,rater,left_seed,right_seed,shuffle,decided_at_secs");
    assert_eq!(lines.len(), 5);
    assert_eq!(lines.iter().filter(|line| line.contains(",prefer,")).count(), 3);
    assert_eq!(lines.iter().filter(|line| line.contains(",,unsure,")).count(), 1);
}

#[test]
fn a_verdict_beside_a_job_is_kept_when_the_window_closes_and_places_wait_for_candidates() {
    let home = tempfile::tempdir().unwrap();
    let root = workspace(home.path());
    let mut harness = studio(&root, PaneKind::Seeds);
    let third = home.path().join("picture 2.png");
    picture(&third, 2);
    let degradation = Some("bicubic_x4".into());
    let add = AddImages { paths: vec![third], crops: 1, crop_px: 128, degradation, ..AddImages::default() };
    harness.state_mut().act(Action::Add(add));
    until(&mut harness, "three images", |s| s.state.images_count() == 3 && s.state.jobs.active().next().is_none());
    let new = harness.state().state.library.as_ref().unwrap().images.last().unwrap().id;
    harness.state_mut().state.selection.image = Some(new);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::G);
    harness.run_steps(2);
    // From the first frame on, whatever the sampler does meanwhile.
    let places = harness.query_all_by_label_contains("Place of seed").count();
    let there = harness.query_all_by_label_contains("Candidate of seed").count();
    assert_eq!(places + there, 4);

    // A job that is held cannot end: what is said now is written beside it.
    harness.key_press_modifiers(Modifiers::NONE, Key::F8);
    until(&mut harness, "paused", |s| s.state.is_paused() || s.state.jobs.current().is_none());
    harness.state_mut().act(Action::Show(PaneKind::Pairs));
    harness.run_steps(3);
    let said = Instant::now();
    press(&mut harness, Key::F);
    press(&mut harness, Key::A);
    press(&mut harness, Key::Num1);
    assert_eq!(harness.state().state.judgements.all().len(), 1);
    let set = harness.state().state.library.as_ref().unwrap().set.clone().unwrap();
    let kept = || {
        let workspace = Workspace::open_read_only(&root).unwrap();
        let verdicts = workspace.ledger().overrides(&set).unwrap();
        (
            verdicts.iter().filter(|v| v.kind == OverrideKind::Flip).count(),
            workspace.ledger().judgements(&set).unwrap().len(),
        )
    };
    while kept() != (1, 1) {
        assert!(said.elapsed() < Duration::from_secs(10), "not written beside the job: {:?}", kept());
        std::thread::sleep(Duration::from_millis(2));
    }
    println!("both on disk {:?} after the first key", said.elapsed());
    press(&mut harness, Key::Num2);
    drop(harness);
    assert_eq!(kept(), (1, 2), "what was said last is lost with the window");
}

#[test]
fn candidates_deleted_under_the_window_no_longer_count_and_a_broken_image_is_named() {
    let home = tempfile::tempdir().unwrap();
    let root = workspace(home.path());
    let mut harness = studio(&root, PaneKind::Library);
    let library = harness.state().state.library.clone().unwrap();
    assert_eq!(library.sampled, [4, 4]);
    // The window began with the first image: what it has drawn it does not read again.
    let (set, [first, second]) = (library.set.clone().unwrap(), [1, 0].map(|at| library.images[at].clone()));
    let reader = Workspace::open_read_only(&root).unwrap();
    for seed in [1, 3] {
        let candidates = reader.ledger().group(&set, first.id).unwrap();
        let candidate = candidates.iter().find(|candidate| candidate.seed == seed).unwrap();
        std::fs::remove_file(reader.path(&candidate.path)).unwrap();
    }
    // Looked at, they are found gone: the counts, the pairs and the ledger follow.
    harness.state_mut().state.selection.image = Some(first.id);
    harness.state_mut().act(Action::Show(PaneKind::Seeds));
    until(&mut harness, "counts of what is there", |s| {
        s.state.library.as_ref().is_some_and(|l| l.sampled == [4, 2]) && s.state.jobs.active().next().is_none()
    });
    assert_eq!(reader.ledger().group(&set, first.id).unwrap().len(), 2);
    // No pair names what is gone.
    until(&mut harness, "pairs of what is there", |s| {
        let is_gone = |line: &Line| {
            line.image == first.id.0 && [1, 3].iter().any(|seed| [line.winner, line.loser].contains(seed))
        };
        s.state.rewards.as_ref().is_some_and(|r| !lines_of(&r.ranking).iter().any(is_gone))
    });

    // The LR image of the other one is no picture any more: training names it.
    std::fs::write(reader.path(&second.lr_path), b"no picture").unwrap();
    harness.state_mut().act(Action::Start(Job::Train { run: None, allow_partial: true }));
    let said = |s: &Studio| s.state.log.lines.iter().any(|l| l.level == Level::Error && l.text.contains(&second.dir));
    until(&mut harness, "its name", said);
    // What is whole again is trained on as before.
    harness.state_mut().act(Action::Start(Job::SetRemoved { images: vec![second.id], removed: true }));
    harness.state_mut().act(Action::Start(Job::Generate { images: None }));
    until(&mut harness, "four again", |s| {
        s.state.library.as_ref().is_some_and(|l| l.sampled == [4]) && s.state.jobs.active().next().is_none()
    });
}

#[test]
fn undo_of_a_preset_brings_back_its_name_and_takes_back_what_it_changed() {
    let home = tempfile::tempdir().unwrap();
    let mut harness = studio(&workspace(home.path()), PaneKind::Pairs);
    let named = |s: &Studio| s.state.recipe.preset_name.clone();
    let before = (named(harness.state()), harness.state().state.recipe.edited.clone());
    let other = dp2o_studio::method::presets::preset_names().find(|name| *name != before.0).unwrap();
    harness.state_mut().act(Action::TakePreset(other.to_owned()));
    harness.run_steps(2);
    assert_eq!(named(harness.state()), other);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    assert_eq!((named(harness.state()), harness.state().state.recipe.edited.clone()), before);
    harness.key_press_modifiers(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
    harness.run_steps(3);
    assert_eq!(named(harness.state()), other);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    until(&mut harness, "eight pairs again", |s| {
        s.state.rewards.as_ref().is_some_and(|r| r.ranking.summary.pairs == 8 && r.ranking.change.is_none())
    });
}
