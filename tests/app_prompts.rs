//! The studio with a backbone of latents that reads prompts: a prompt said in the library and taken back, a model checked.

use std::path::Path;
use std::sync::Arc;

use dp2o_studio::app::actions::Action;
use dp2o_studio::app::commands::CommandId;
use dp2o_studio::app::{Options, Studio};
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{AddImages, Job};
use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::random::Random;
use dp2o_studio::weights::Store;
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

/// Only registered here.
#[allow(dead_code)]
mod toy;
mod window;

use window::{done, until};

const RECIPE: &str = r#"(
    data: (crop_px: 64),
    sampling: (backbone: "toy-noise", m: 2, steps: 1, solver: ddpm),
    reward: (fr: {"psnr": 1.0}, nr: {}, held_out: []),
)"#;

/// A workspace with one image.
fn workspace(home: &Path) -> std::path::PathBuf {
    let root = home.join("ws");
    let recipe = Recipe::from_ron(RECIPE, "toy.ron").unwrap();
    let noise = Random::new(1, 0).normal_image(3, 64, 64);
    let image = Image::new(64, 64, noise.iter().map(|n| (0.5 + 0.1 * n).clamp(0.0, 1.0)).collect()).unwrap();
    encode::write_png(home.join("wall.png"), &image).unwrap();
    let engine = Engine::start(Arc::new(|| ())).unwrap();
    let add = AddImages { paths: vec![home.join("wall.png")], crops: 1, ..AddImages::default() };
    let create = Job::Create { dir: root.clone(), recipe: Box::new(recipe), example: false };
    done(&engine, [create, Job::Add(add)]);
    root
}

fn prompt_of(studio: &Studio) -> Option<String> {
    Some(studio.state.library.as_ref()?.images.first()?.prompt.clone())
}

fn studio(root: std::path::PathBuf) -> Harness<'static, Studio> {
    studio_of(Options { workspace: Some(root), ..Options::default() })
}

fn studio_of(options: Options) -> Harness<'static, Studio> {
    Harness::builder()
        .with_size([1280.0, 800.0])
        .build_eframe(move |cc| Studio::new(cc, options).unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn a_model_is_checked_in_a_window_and_the_recipe_says_what_it_takes_of_memory() {
    toy::register();
    let home = tempfile::tempdir().unwrap();
    let mut harness = studio(workspace(home.path()));
    until(&mut harness, "the memory that it takes", |s| s.state.memory.is_some());
    harness.state_mut().act(Action::Command(CommandId::CheckModel));
    harness.run_steps(4);
    harness.get_by_label("Check").click();
    until(&mut harness, "what was found", |s| {
        // What is found comes line by line; the reward is looked at last.
        s.state.model_check.as_ref().is_some_and(|check| check.findings.iter().any(|found| found.what == "reward"))
    });
    if let Ok(path) = std::env::var("DP2O_SHOT_MODEL") {
        harness.render().unwrap().save(path).unwrap();
    }
    let found = harness.state().state.model_check.clone().unwrap();
    assert!(found.findings.iter().any(|finding| finding.what == "round trip"), "{found:?}");
    // Each line is there to be read.
    assert!(found.findings.iter().all(|finding| harness.query_all_by_label(&finding.text).next().is_some()));
    harness.get_by_label("Close").click();
    harness.run_steps(4);
    assert!(harness.query_by_label("Close").is_none());
}

#[test]
fn a_prompt_is_typed_in_the_library_and_undone() {
    toy::register();
    let home = tempfile::tempdir().unwrap();
    let root = workspace(home.path());
    let mut harness = studio(root);
    until(&mut harness, "an image", |s| prompt_of(s).is_some());
    harness.get_by_role_and_label(Role::ListItem, "wall").click_secondary();
    harness.run_steps(4);
    let field = harness.get_by_label("Prompt");
    field.focus();
    field.type_text("stone  wall");
    harness.run_steps(3);
    if let Ok(path) = std::env::var("DP2O_SHOT") {
        harness.render().unwrap().save(path).unwrap();
    }
    harness.key_press_modifiers(Modifiers::NONE, Key::Enter);
    until(&mut harness, "the prompt", |s| prompt_of(s).as_deref() == Some("stone wall"));
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    until(&mut harness, "no prompt", |s| prompt_of(s).as_deref() == Some(""));
}

#[test]
fn the_tag_model_writes_a_prompt_that_is_shown_and_edited() {
    toy::register();
    let home = tempfile::tempdir().unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ram");
    let workspace = Some(workspace(home.path()));
    let mut harness =
        studio_of(Options { workspace, store: Some(Store::of_folders(&[files], true)), ..Options::default() });
    until(&mut harness, "an image", |s| prompt_of(s).is_some());
    let open = |harness: &mut Harness<'_, Studio>| {
        harness.get_by_role_and_label(Role::ListItem, "wall").click_secondary();
        harness.run_steps(4);
    };
    open(&mut harness);
    harness.get_by_label("Prompts by the tag model").click();
    until(&mut harness, "tags", |s| prompt_of(s).as_deref() == Some("tag 3, tag 5"));
    open(&mut harness);
    let field = harness.get_by_label("Prompt");
    assert_eq!(field.value().as_deref(), Some("tag 3, tag 5"));
    field.focus();
    harness.run_steps(2);
    harness.get_by_label("Prompt").type_text(", moss");
    harness.run_steps(3);
    harness.key_press_modifiers(Modifiers::NONE, Key::Enter);
    until(&mut harness, "the prompt as it was edited", |s| prompt_of(s).is_some_and(|prompt| prompt.contains("moss")));
    assert!(prompt_of(harness.state()).is_some_and(|prompt| prompt.contains("tag 3")));
}
