//! The newcomer's story through the window's accessibility tree, against the real engine on tiny images: add images,
//! generate, look, tweak, train, compare, export.

mod window;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dp2o_studio::app::actions::Action;
use dp2o_studio::app::commands::CommandId;
use dp2o_studio::app::pane_kind::PaneKind;
use dp2o_studio::app::{Options, Studio};
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Job, Level};
use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::random::Random;
use eframe::App;
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use window::{done, until_within};

/// A file as it falls on the window.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|e| e.to_string())
    }
}

/// Waves and noise: something for every metric to hold on to.
fn picture(path: &Path, seed: u64) {
    let side = 128;
    let noise = Random::new(seed, 0).normal_image(3, side, side);
    let wave = |i: usize| {
        let (x, y) = ((i % side) as f32, (i / side % side) as f32);
        0.5 + 0.25 * (x * 0.2 + seed as f32).sin() * (y * 0.13).cos()
    };
    let data = noise.iter().enumerate().map(|(i, n)| (wave(i) + 0.04 * n).clamp(0.0, 1.0)).collect();
    std::fs::write(path, encode::png_bytes(&Image::new(side, side, data).unwrap()).unwrap()).unwrap();
}

fn tiny_recipe() -> Recipe {
    let mut recipe = Recipe::default();
    let small = ["crop=128", "fr=stlpips", "nr=brisque"];
    let short = ["m=4", "sampling_steps=2", "steps=3", "batch=2", "eval_every=0", "training.eval_seeds=4", "warmup=0"];
    for setting in small.into_iter().chain(short) {
        recipe.set_assignment(setting).unwrap();
    }
    recipe
}

/// An empty workspace with a recipe that is done in seconds.
fn workspace(dir: &Path) {
    let engine = Engine::start(Arc::new(|| ())).unwrap();
    done(&engine, [Job::Create { dir: dir.into(), recipe: Box::new(tiny_recipe()), example: false }]);
}

fn studio(dir: &Path) -> Harness<'static, Studio> {
    studio_after(dir, Kept::default())
}

/// The studio as it is started after a session that kept something.
fn studio_after(dir: &Path, kept: Kept) -> Harness<'static, Studio> {
    let options = Options { workspace: Some(dir.into()), ..Options::default() };
    Harness::builder().with_size([1280.0, 800.0]).build_eframe(move |cc| {
        cc.storage = Some(Box::leak(Box::new(kept)));
        Studio::new(cc, options).unwrap_or_else(|e| panic!("{e}"))
    })
}

/// What a session keeps, in memory.
#[derive(Default)]
struct Kept(HashMap<String, String>);

impl eframe::Storage for Kept {
    fn get_string(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn set_string(&mut self, key: &str, value: String) {
        self.0.insert(key.into(), value);
    }

    fn remove_string(&mut self, key: &str) {
        self.0.remove(key);
    }

    fn flush(&mut self) {}
}

/// Draws frames until something is the case.
fn press(harness: &mut Harness<'_, Studio>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.run_steps(3);
}

fn errors(studio: &Studio) -> Vec<&str> {
    studio.state.log.lines.iter().filter(|l| l.level == Level::Error).map(|l| l.text.as_str()).collect()
}

#[test]
fn the_newcomers_story() {
    let home = tempfile::tempdir().unwrap();
    let (root, photos) = (home.path().join("ws"), home.path().join("photos"));
    workspace(&root);
    std::fs::create_dir(&photos).unwrap();
    for seed in 0..3 {
        picture(&photos.join(format!("wave {seed}.png")), seed);
    }

    // An empty workspace says what to do.
    let mut harness = studio(&root);
    until_within(&mut harness, "the workspace is open", 20, |s| s.state.library.is_some());
    harness.get_by_label("No images yet");

    // Files dropped on the window are asked about, then added.
    let files = (0..3).map(|seed| photos.join(format!("wave {seed}.png")));
    harness.input_mut().dropped_files = files.map(|path| Arc::new(Dropped(path)) as _).collect();
    harness.step();
    harness.input_mut().dropped_files.clear();
    harness.run_steps(6);
    harness.get_by_label("Bring in");
    harness.get_by_label("Add to the workspace").click();
    until_within(&mut harness, "three images", 30, |s| s.state.images_count() == 3);

    // One is held out, another removed, and that is undone.
    harness.get_by_role_and_label(Role::ListItem, "wave 2 1").click();
    harness.run_steps(2);
    press(&mut harness, Modifiers::NONE, Key::H);
    let held_out = |s: &Studio| s.state.library.as_ref().unwrap().images.iter().filter(|i| i.is_held_out()).count();
    until_within(&mut harness, "one image held out", 10, |s| held_out(s) == 1);
    harness.get_by_role_and_label(Role::ListItem, "wave 1 1").click();
    harness.run_steps(2);
    press(&mut harness, Modifiers::NONE, Key::Delete);
    until_within(&mut harness, "one image removed", 10, |s| s.state.images_count() == 2);
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    until_within(&mut harness, "the image is back", 10, |s| s.state.images_count() == 3);

    // Candidates, then scores, then pairs.
    press(&mut harness, Modifiers::COMMAND, Key::G);
    until_within(&mut harness, "all candidates sampled and scored", 120, |s| {
        s.state.candidates_done() == (12, 12) && s.state.jobs.current().is_none()
    });
    until_within(&mut harness, "two groups of pairs", 20, |s| {
        s.state.rewards.as_ref().is_some_and(|r| r.ranking.summary.groups_with_pairs == 2)
    });
    harness.get_by_role_and_label(Role::ListItem, "wave 0 1").click();
    until_within(&mut harness, "the group of the image", 10, |s| {
        s.state.selected_image().is_some_and(|i| i.name == "wave 0 1" && s.state.groups.contains_key(&i.id))
    });
    assert_eq!((0..4).filter(|n| harness.query_by_label(&format!("Candidate of seed {n}")).is_some()).count(), 4);

    // An edit re-ranks at once, says what it changed, and can be taken back.
    let pairs = |s: &Studio| s.state.rewards.as_ref().unwrap().ranking.summary.pairs;
    assert_eq!(pairs(harness.state()), 2);
    harness.get_by_label("1/2").scroll_to_me();
    harness.run_steps(20);
    harness.get_by_label("1/2").click();
    until_within(&mut harness, "four pairs a group", 10, |s| pairs(s) == 8);
    let change = harness.state().state.rewards.as_ref().unwrap().ranking.change.unwrap();
    assert_eq!((change.added, change.removed), (6, 0));
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    until_within(&mut harness, "one pair a group again", 10, |s| pairs(s) == 2);

    // A human's word on a pair.
    let image = harness.state().state.selection.image.unwrap();
    let (winner, loser) = {
        let rewards = harness.state().state.rewards.clone().unwrap();
        let pair = rewards.ranking.curation.pairs_of(rewards.place(image).unwrap().group)[0];
        (u64::from(pair.winner), u64::from(pair.loser))
    };
    let verdict = Some(dp2o_studio::method::overrides::Verdict::Exclude);
    harness.state_mut().act(Action::Judge { image, winner, loser, verdict });
    until_within(&mut harness, "the pair is excluded", 10, |s| pairs(s) == 1);
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    until_within(&mut harness, "the verdict is taken back", 10, |s| pairs(s) == 2);

    // Training leaves a run with curves; comparing says which is better.
    press(&mut harness, Modifiers::COMMAND, Key::T);
    until_within(&mut harness, "three steps", 180, |s| {
        s.state.curves.values().any(|c| c.steps.len() == 3) && s.state.jobs.current().is_none()
    });
    press(&mut harness, Modifiers::COMMAND, Key::R);
    until_within(&mut harness, "a comparison", 120, |s| !s.state.comparisons.is_empty());

    // Everything that leaves the Compare tab.
    for (id, name, holds) in [
        (CommandId::ExportCsv, "table.csv", "stlpips"),
        (CommandId::ExportMarkdown, "table.md", "| stlpips"),
        (CommandId::ExportLatex, "table.tex", "\\toprule"),
        (CommandId::ExportReport, "report.html", "</html>"),
    ] {
        let path = home.path().join(name);
        harness.state_mut().answer_next_dialog(path.clone());
        harness.state_mut().act(Action::Command(id));
        until_within(&mut harness, name, 60, |_| path.is_file());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(holds), "{name}: {text}");
    }
    let figure = home.path().join("figure.png");
    harness.state_mut().answer_next_dialog(figure.clone());
    harness.state_mut().act(Action::Command(CommandId::ExportFigure));
    until_within(&mut harness, "the figure", 60, |_| figure.is_file());
    let figure = dp2o_studio::imaging::decode::read(&figure).unwrap();
    assert!(figure.width() > 400 && figure.height() > 300, "{}×{}", figure.width(), figure.height());

    let exported = home.path().join("pairs");
    harness.state_mut().act(Action::Start(Job::ExportPairs {
        dir: exported.clone(),
        layout: Default::default(),
        allow_partial: false,
        overwrite: false,
    }));
    until_within(&mut harness, "pairs written", 30, |_| exported.join("w").is_dir());
    until_within(&mut harness, "nothing left to do", 30, |s| s.state.jobs.active().next().is_none());
    assert_eq!(errors(harness.state()), Vec::<&str>::new());

    // The next start compares nothing by itself: the tab offers to.
    let mut kept = Kept::default();
    harness.state_mut().save(&mut kept);
    drop(harness);
    let mut harness = studio_after(&root, kept);
    until_within(&mut harness, "the workspace is open again", 20, |s| s.state.library.is_some());
    harness.state_mut().act(Action::Show(PaneKind::Compare));
    harness.run_steps(20);
    assert!(harness.state().state.jobs.active().next().is_none() && harness.state().state.comparisons.is_empty());
}

#[test]
fn closing_the_window_in_the_middle_of_a_job_leaves_a_workspace_that_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("ws");
    workspace(&root);
    picture(&home.path().join("one.png"), 1);
    picture(&home.path().join("two.png"), 2);
    let mut harness = studio(&root);
    until_within(&mut harness, "the workspace is open", 20, |s| s.state.library.is_some());
    let mut request = dp2o_studio::engine::protocol::AddImages {
        paths: vec![home.path().join("one.png"), home.path().join("two.png")],
        crops: 1,
        degradation: Some("bicubic_x4".into()),
        ..Default::default()
    };
    request.crop_px = 128;
    harness.state_mut().act(Action::Add(request));
    until_within(&mut harness, "two images", 30, |s| s.state.images_count() == 2);
    press(&mut harness, Modifiers::COMMAND, Key::G);
    until_within(&mut harness, "the first candidates", 60, |s| s.state.candidates_done().0 > 0);
    drop(harness);

    let mut harness = studio(&root);
    until_within(&mut harness, "the workspace is open again", 20, |s| s.state.library.is_some());
    press(&mut harness, Modifiers::COMMAND, Key::G);
    until_within(&mut harness, "all candidates", 120, |s| {
        s.state.candidates_done() == (8, 8) && s.state.jobs.current().is_none()
    });
    assert_eq!(errors(harness.state()), Vec::<&str>::new());
}

#[test]
fn a_run_is_started_paused_resumed_and_stopped_and_goes_on_later() {
    let home = tempfile::tempdir().unwrap();
    let (root, photo) = (home.path().join("ws"), home.path().join("one.png"));
    workspace(&root);
    picture(&photo, 1);
    let mut harness = studio(&root);
    until_within(&mut harness, "the workspace is open", 20, |s| s.state.library.is_some());
    let mut recipe = tiny_recipe();
    recipe.set_assignment("training.steps=12").unwrap();
    recipe.set_assignment("training.checkpoint_every=2").unwrap();
    harness.state_mut().act(Action::EditRecipe { recipe: Box::new(recipe), what: "twelve steps".into() });
    let request = dp2o_studio::engine::protocol::AddImages {
        paths: vec![photo],
        crops: 1,
        crop_px: 128,
        degradation: Some("bicubic_x4".into()),
        ..Default::default()
    };
    harness.state_mut().act(Action::Add(request));
    until_within(&mut harness, "an image", 30, |s| s.state.images_count() == 1);
    press(&mut harness, Modifiers::COMMAND, Key::G);
    until_within(&mut harness, "all candidates", 120, |s| {
        s.state.candidates_done() == (4, 4) && s.state.jobs.active().next().is_none()
    });
    // Until the ranking says that there are pairs, no Train button can be pressed.
    until_within(&mut harness, "a group of pairs", 20, |s| {
        s.state.rewards.as_ref().is_some_and(|r| r.ranking.summary.groups_with_pairs == 1)
    });

    let steps = |s: &Studio| s.state.curves.values().next().map_or(0, |curves| curves.steps.len());
    harness.state_mut().act(Action::Show(PaneKind::Training));
    harness.run_steps(3);
    harness.get_all_by_role_and_label(Role::Button, "Train").last().unwrap().click();
    until_within(&mut harness, "a step", 120, |s| steps(s) > 0);
    harness.get_by_label("Pause run").click();
    until_within(&mut harness, "paused", 60, |s| s.state.is_paused());
    // What was under way when it was asked to pause may still arrive.
    std::thread::sleep(Duration::from_millis(300));
    harness.run_steps(5);
    let held = steps(harness.state());
    std::thread::sleep(Duration::from_millis(700));
    harness.run_steps(5);
    assert_eq!(steps(harness.state()), held, "a paused run goes on");

    harness.get_by_label("Resume run").click();
    until_within(&mut harness, "another step", 60, |s| steps(s) > held);
    harness.get_by_label("Stop run").click();
    until_within(&mut harness, "stopped", 60, |s| s.state.jobs.active().next().is_none());
    assert!(steps(harness.state()) < 12, "the run was over before it could be stopped");

    // Train goes on with the same run, from its last checkpoint.
    press(&mut harness, Modifiers::COMMAND, Key::T);
    until_within(&mut harness, "twelve steps", 120, |s| steps(s) == 12 && s.state.jobs.current().is_none());
    assert_eq!(harness.state().state.library.as_ref().unwrap().runs.len(), 1);
    assert_eq!(errors(harness.state()), Vec::<&str>::new());
}
