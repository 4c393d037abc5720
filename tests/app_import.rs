//! What comes from elsewhere, in the window: candidates of another model, imported and compared; scores dropped on it; and paths typed
//! where the system opens no dialog.

mod window;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dp2o_studio::app::actions::Action;
use dp2o_studio::app::commands::{self, CommandId};
use dp2o_studio::app::pane_kind::PaneKind;
use dp2o_studio::app::{Options, Studio};
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::previews::Preview;
use dp2o_studio::engine::protocol::{ImportCandidates, Job, Level};
use dp2o_studio::imaging::resize::{Filter, resize};
use dp2o_studio::imaging::{Image, decode, encode};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::random::Random;
use dp2o_studio::workspace::{Split, SplitChoice, Workspace};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use window::{done, until};

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

fn picture(path: PathBuf, side: usize, seed: u64, noise: f32) {
    let drawn = Random::new(seed, 0).normal_image(3, side, side);
    let wave = |i: usize| 0.5 + 0.3 * ((i % side) as f32 * 6.0 / side as f32).sin();
    let data = drawn.iter().enumerate().map(|(i, n)| (wave(i) + noise * n).clamp(0.0, 1.0)).collect();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    encode::write_png(path, &Image::new(side, side, data).unwrap()).unwrap();
}

/// HR and LR of two pictures, and candidates of two models: the second's are better.
fn made_elsewhere(home: &Path) {
    for image in 0..2u64 {
        let hr = home.join(format!("hr/cat{image}.png"));
        picture(hr.clone(), 64, image, 0.2);
        let small = resize(&decode::read(hr).unwrap(), 16, 16, Filter::Area).unwrap();
        std::fs::create_dir_all(home.join("lr")).unwrap();
        encode::write_png(home.join(format!("lr/cat{image}.png")), &small).unwrap();
        for seed in 0..3u64 {
            for (model, noise) in [("before", 0.2), ("after", 0.05)] {
                let noise = noise * (1.0 + seed as f32);
                let hr = decode::read(home.join(format!("hr/cat{image}.png"))).unwrap();
                let drawn = Random::new(7 * seed + image + 50, 0).normal_image(3, 64, 64);
                let data = hr.data().iter().zip(&drawn).map(|(v, n)| (v + noise * n).clamp(0.0, 1.0)).collect();
                let path = home.join(format!("{model}/cat{image}_{seed}.png"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                encode::write_png(path, &Image::new(64, 64, data).unwrap()).unwrap();
            }
        }
    }
}

fn workspace(dir: &Path) {
    let mut recipe = Recipe::default();
    for setting in ["crop=64", "fr=psnr", "nr=", "balance=1", "held_out=ssim", "m=3"] {
        recipe.set_assignment(setting).unwrap();
    }
    let engine = Engine::start(Arc::new(|| ())).unwrap();
    done(&engine, [Job::Create { dir: dir.into(), recipe: Box::new(recipe), example: false }]);
}

fn studio(options: Options) -> Harness<'static, Studio> {
    Harness::builder()
        .with_size([1280.0, 800.0])
        .build_eframe(move |cc| Studio::new(cc, options).unwrap_or_else(|e| panic!("{e}")))
}

fn is_idle(studio: &Studio) -> bool {
    studio.state.jobs.active().next().is_none()
}

fn type_into(harness: &mut Harness<'_, Studio>, field: &str, text: &str) {
    harness.run_steps(6);
    harness.get_by_role_and_label(Role::TextInput, field).focus();
    harness.run_steps(2);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    harness.run_steps(1);
    harness.get_by_role_and_label(Role::TextInput, field).type_text(text);
    harness.run_steps(2);
}

#[test]
fn candidates_of_other_models_are_imported_scored_and_compared_in_the_window() {
    let home = tempfile::tempdir().unwrap();
    made_elsewhere(home.path());
    let root = home.path().join("ws");
    workspace(&root);
    let mut harness = studio(Options { workspace: Some(root), asks_for_paths: true, ..Options::default() });
    until(&mut harness, "the workspace", |s| s.state.library.is_some());

    // By the command, the path typed, the window filled in.
    harness.state_mut().act(Action::Command(CommandId::ImportCandidates));
    harness.run_steps(3);
    type_into(&mut harness, "Path", &home.path().join("before").display().to_string());
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    type_into(&mut harness, "Name of the candidates", "base");
    type_into(&mut harness, "Folder of their LR images", &home.path().join("lr").display().to_string());
    type_into(&mut harness, "Folder of their HR images", &home.path().join("hr").display().to_string());
    until(
        &mut harness,
        "what was recognised",
        |s| matches!(&s.state.preview, Some((_, Ok(found))) if format!("{found:?}").contains("lr: 2, hr: 2")),
    );
    harness.get_by_label_contains("6 candidates of 2 images");
    harness.get_by_label_contains("3 seeds by the pattern {image}_{seed}");
    harness.get_by_label("Import").click();
    until(&mut harness, "the import", |s| is_idle(s) && s.state.library.as_ref().is_some_and(|l| l.set.is_some()));
    let sampled = |s: &Studio| s.state.library.as_ref().map(|l| l.sampled.iter().sum::<u32>());
    until(&mut harness, "its candidates", |s| sampled(s) == Some(6));
    assert_eq!(harness.state().state.recipe.edited.imported(), Some("base"));
    // What needs the network is off, with the reason.
    let refusal = (commands::command(CommandId::Train).enabled)(&harness.state().state).unwrap_err();
    assert!(refusal.contains("imported"), "{refusal}");

    // To evaluate on, then another model's, by its own action as a drop of a folder would.
    let images = harness.state().state.library.as_ref().unwrap().images.iter().map(|image| image.id).collect();
    let split = SplitChoice::Fixed(Split::Test);
    harness.state_mut().act(Action::SetSplit { images, split });
    until(&mut harness, "held out", is_idle);
    harness.state_mut().act(Action::OfferCandidates(home.path().join("after")));
    harness.run_steps(3);
    harness.get_by_label("Import").click();
    until(&mut harness, "the other import", |s| {
        is_idle(s) && s.state.library.as_ref().is_some_and(|l| l.others_imported().count() == 1)
    });
    // Looked at, it waits to be asked for.
    harness.state_mut().act(Action::Show(PaneKind::Compare));
    harness.run_steps(10);
    assert!(is_idle(harness.state()) && harness.state().state.comparisons.is_empty());
    harness.state_mut().act(Action::Command(CommandId::Compare));
    until(&mut harness, "the comparison", |s| !s.state.comparisons.is_empty());
    let comparison = harness.state().state.comparisons[0].report.comparison.clone();
    assert_eq!((comparison.a.as_str(), comparison.b.as_str()), ("base", "after"));
    assert!(comparison.policy.mean_reward() > comparison.reference.mean_reward());

    // Scores of people, dropped on the window.
    let table = home.path().join("people.csv");
    let lines: Vec<String> = (0..3).map(|seed| format!("cat0,{seed},people,{seed},higher,nr\n")).collect();
    std::fs::write(&table, format!("image,seed,metric,value,direction,kind\n{}", lines.concat())).unwrap();
    harness.input_mut().dropped_files.push(Arc::new(Dropped(table)));
    until(&mut harness, "the scores", |s| s.state.recipe.edited.metrics.external.iter().any(|m| m.name == "people"));
}

#[test]
fn without_a_dialog_of_the_system_a_path_is_typed_and_completed() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("my workspace");
    workspace(&root);
    let options = Options { is_idle: true, asks_for_paths: true, ..Options::default() };
    let mut harness = studio(options);
    harness.run_steps(4);
    harness.state_mut().act(Action::Command(CommandId::OpenWorkspace));
    harness.run_steps(3);
    type_into(&mut harness, "Path", &home.path().join("nowhere").display().to_string());
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    harness.get_by_label_contains("is no folder that is there");
    // Its name from its beginning.
    type_into(&mut harness, "Path", &home.path().join("my").display().to_string());
    let began = Instant::now();
    while harness.query_by_label_contains("my workspace/").is_none() {
        assert!(began.elapsed() < Duration::from_secs(20), "no suggestion");
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    harness.key_press(Key::Tab);
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    until(&mut harness, "the workspace", |s| s.state.opened.as_ref().is_some_and(|o| o.root.ends_with("my workspace")));

    // Several files in one go: one by one, then all that fit a pattern; one is put back.
    for index in 0..5 {
        picture(home.path().join(format!("photos/p{index}.png")), 64, index, 0.2);
    }
    harness.state_mut().act(Action::Command(CommandId::AddImages));
    harness.run_steps(3);
    type_into(&mut harness, "Path", &home.path().join("photos/p4.png").display().to_string());
    harness.get_by_label("And another").click();
    harness.run_steps(3);
    type_into(&mut harness, "Path", &home.path().join("photos/none*.png").display().to_string());
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    harness.get_by_label_contains("nothing fits this pattern");
    type_into(&mut harness, "Path", &home.path().join("photos/p?.png").display().to_string());
    harness.get_by_label("And another").click();
    harness.run_steps(3);
    harness.get_by_label(&format!("Not {}", home.path().join("photos/p4.png").display())).click();
    harness.run_steps(3);
    harness.get_by_label("Open").click();
    until(
        &mut harness,
        "what was recognised",
        |s| matches!(&s.state.preview, Some((_, Ok(found))) if matches!(&**found, Preview::Images(images) if images.hr_alone.len() == 4)),
    );
    harness.get_by_label("Cancel").click();
    harness.run_steps(3);

    // A window that was closed asks again; the question is not lost, nor is the window locked.
    for _ in 0..2 {
        harness.state_mut().act(Action::Command(CommandId::SaveRecipe));
        harness.run_steps(3);
        harness.get_by_label("Cancel").click();
        harness.run_steps(3);
        assert!(harness.query_by_role_and_label(Role::TextInput, "Path").is_none());
    }
    // What is there is replaced only when that is said twice.
    let file = home.path().join("recipe.ron");
    std::fs::write(&file, "old").unwrap();
    harness.state_mut().act(Action::Command(CommandId::SaveRecipe));
    harness.run_steps(3);
    type_into(&mut harness, "Path", &file.display().to_string());
    harness.get_by_label("Save").click();
    harness.run_steps(3);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
    harness.get_by_label("Save").click();
    until(&mut harness, "the recipe", |_| std::fs::read_to_string(&file).unwrap() != "old");
    let errors = harness.state().state.log.lines.iter().filter(|line| line.level == Level::Error).count();
    assert_eq!(errors, 0);
}

#[test]
fn a_failed_open_keeps_what_is_open_and_one_in_use_is_looked_at_until_it_is_free() {
    let home = tempfile::tempdir().unwrap();
    let [root, held] = ["ws", "held"].map(|name| home.path().join(name));
    workspace(&root);
    workspace(&held);
    let mut harness = studio(Options { workspace: Some(root.clone()), ..Options::default() });
    until(&mut harness, "the workspace", |s| s.state.library.is_some());
    harness.state_mut().act(Action::OpenWorkspace(home.path().join("nowhere")));
    until(&mut harness, "the failure", |s| {
        s.state.log.lines.iter().any(|line| line.text.contains("no such directory"))
    });
    assert_eq!(harness.state().state.opened.as_ref().unwrap().root, root);
    assert!((commands::command(CommandId::AddImages).enabled)(&harness.state().state).is_ok());

    // Written elsewhere: everything can be looked at, nothing changed; written here as soon as that ends.
    let other = Workspace::open(&held).unwrap();
    harness.state_mut().act(Action::OpenWorkspace(held.clone()));
    let is_held = |s: &Studio| s.state.opened.as_ref().is_some_and(|o| o.root == held && o.held_by.is_some());
    until(&mut harness, "to look at", is_held);
    harness.get_by_label("read only");
    let refusal = (commands::command(CommandId::ImportCandidates).enabled)(&harness.state().state).unwrap_err();
    assert!(refusal.contains("another process"), "{refusal}");
    drop(other);
    until(&mut harness, "to write", |s| s.state.is_writable());
}

/// The time from the start to the first picture, of a workspace that 2,000 × 64 candidates were imported into. That takes minutes;
/// with `DP2O_LARGE_IMPORT=DIR` it is made in a folder that is kept, and not again.
///
/// `cargo test --release --test app_import -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, of a machine with nothing else to do, on 128,000 files"]
fn the_first_picture_of_a_large_import_is_there_within_a_second() {
    let home = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("DP2O_LARGE_IMPORT").map_or_else(|| home.path().into(), PathBuf::from);
    let root = dir.join("ws");
    if !root.exists() {
        large_import(&dir, &root);
    }
    let began = Instant::now();
    let mut harness = studio(Options { workspace: Some(root), ..Options::default() });
    let mut reached = |what: &str, is: fn(&Studio) -> bool| {
        while !is(harness.state()) {
            assert!(began.elapsed() < Duration::from_secs(60), "not in a minute: {what}");
            harness.step();
        }
        let after = began.elapsed();
        println!("{what} after {:.0} ms", after.as_secs_f64() * 1e3);
        after
    };
    reached("open", |s| s.state.opened.is_some());
    reached("the list of images", |s| s.state.images_count() == 2000);
    let first = reached("the first picture", |s| s.state.pictures.bytes() > 0);
    reached("the rewards", |s| s.state.rewards.as_ref().is_some_and(|r| r.ranking.summary.pairs > 0));
    assert!(first < Duration::from_secs(1));
}

/// 64 candidates of each of 2,000 images under the name of a model, with a score of each.
fn large_import(dir: &Path, root: &Path) {
    let (lr, all) = (dir.join("lr"), dir.join("all"));
    let candidate = |seed: u64| dir.join(format!("one/{seed}.png"));
    (0..64).for_each(|seed| picture(candidate(seed), 64, 9000 + seed, 0.2));
    let mut table = String::from("image,seed,metric,value,direction,kind\n");
    for image in 0..2000 {
        picture(lr.join(format!("i{image}.png")), 16, image, 0.2);
        std::fs::create_dir_all(all.join(format!("i{image}"))).unwrap();
        for (seed, score) in (0..64).zip(Random::new(image, 1).normal_image(1, 64, 1)) {
            std::fs::hard_link(candidate(seed), all.join(format!("i{image}/{seed}.png"))).unwrap();
            table += &format!("i{image},{seed},people,{score},higher,nr\n");
        }
    }
    let scores = dir.join("people.csv");
    std::fs::write(&scores, table).unwrap();
    workspace(root);
    let engine = Engine::start(Arc::new(|| ())).unwrap();
    let request = ImportCandidates {
        dir: all,
        name: "other".into(),
        pattern: None,
        lr: Some(lr),
        hr: None,
        split: SplitChoice::Fixed(Split::Train),
    };
    let open = Job::Open { dir: root.into(), or_look: false };
    done(&engine, [open, Job::ImportCandidates(request), Job::ImportScores { path: scores }]);
    let mut recipe: Recipe = Workspace::open_read_only(root).unwrap().recipe().unwrap();
    ["fr=", "nr=people", "balance=0"].iter().for_each(|setting| recipe.set_assignment(setting).unwrap());
    done(&engine, [Job::SetRecipe(Box::new(recipe))]);
}
