//! A stream of random commands, keys, clicks, drags and wheel turns against the real engine: nothing panics, no frame
//! waits for the engine, and the workspace opens afterwards. Prints how long frames took:
//!
//!     cargo test --release --test app_fuzz -- --nocapture

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dp2o_studio::app::actions::Action;
use dp2o_studio::app::commands::{self, CommandId};
use dp2o_studio::app::{Options, Studio};
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Event, Job, JobState};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::random::Random;
use dp2o_studio::workspace::Workspace;
use egui::{Key, Modifiers, MouseWheelUnit, PointerButton, Pos2, pos2, vec2};
use egui_kittest::Harness;

const FRAMES: u32 = 4000;
const SIZE: [f32; 2] = [1280.0, 800.0];
/// What the issue asks: no frame beyond this.
const GOAL: Duration = Duration::from_millis(50);

/// Commands that leave the window: dialogs of the system, and the end.
const LEAVES: [CommandId; 22] = [
    CommandId::NewWorkspace,
    CommandId::OpenWorkspace,
    CommandId::OpenExample,
    CommandId::AddImages,
    CommandId::AddFolder,
    CommandId::LoadRecipe,
    CommandId::SaveRecipe,
    CommandId::ImportCandidates,
    CommandId::ImportTable,
    CommandId::ExportPairs,
    CommandId::ExportPairTable,
    CommandId::ExportPairsHf,
    CommandId::ExportPairsDpo,
    CommandId::ExportScores,
    CommandId::ExportVerdicts,
    CommandId::ExportRun,
    CommandId::ExportReport,
    CommandId::ExportFigure,
    CommandId::ExportCsv,
    CommandId::ExportMarkdown,
    CommandId::ExportLatex,
    CommandId::Quit,
];

fn workspace(dir: &Path) {
    let mut recipe = Recipe::default();
    for setting in [
        "crops=4",
        "data.held_out_crops=2",
        "m=4",
        "sampling_steps=1",
        "steps=3",
        "batch=2",
        "eval_every=2",
        "training.eval_seeds=2",
    ] {
        recipe.set_assignment(setting).unwrap();
    }
    let engine = Engine::start(Arc::new(|| ())).unwrap();
    let id = engine.run(Job::Create { dir: dir.into(), recipe: Box::new(recipe), example: true }).unwrap();
    let finished = engine.events().iter().find_map(|event| match event {
        Event::Job { id: of, state } if of == id && state.is_final() => Some(state),
        _ => None,
    });
    assert!(matches!(finished, Some(JobState::Done(_))), "{finished:?}");
}

/// Picks by a seeded generator, so that a failure can be met again.
struct Dice {
    random: Random,
    thrown: u32,
}

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.thrown += 1;
        (self.random.uniforms([self.thrown, 0, 0])[0] * n as f32) as usize % n
    }

    /// Anywhere in the window but the menus, behind which dialogs of the system wait.
    fn place(&mut self) -> Pos2 {
        pos2(self.below(SIZE[0] as usize) as f32, 44.0 + self.below(SIZE[1] as usize - 44) as f32)
    }
}

fn button(harness: &mut Harness<'_, Studio>, pos: Pos2, button: PointerButton, pressed: bool, modifiers: Modifiers) {
    harness.event(egui::Event::PointerButton { pos, button, pressed, modifiers });
}

/// One random thing.
fn disturb(harness: &mut Harness<'_, Studio>, dice: &mut Dice) -> String {
    const KEYS: [Key; 18] = [
        Key::J,
        Key::K,
        Key::X,
        Key::F,
        Key::P,
        Key::U,
        Key::H,
        Key::Tab,
        Key::Escape,
        Key::ArrowUp,
        Key::ArrowDown,
        Key::ArrowLeft,
        Key::ArrowRight,
        Key::Space,
        Key::Plus,
        Key::Minus,
        Key::Delete,
        Key::Num5,
    ];
    let modifiers = [Modifiers::NONE, Modifiers::NONE, Modifiers::SHIFT, Modifiers::COMMAND][dice.below(4)];
    match dice.below(10) {
        0..=2 => {
            let allowed: Vec<CommandId> =
                commands::all().iter().map(|c| c.id).filter(|id| !LEAVES.contains(id)).collect();
            let id = allowed[dice.below(allowed.len())];
            harness.state_mut().act(Action::Command(id));
            format!("{id:?}")
        }
        3..=5 => {
            let pos = dice.place();
            let which = [PointerButton::Primary, PointerButton::Primary, PointerButton::Secondary][dice.below(3)];
            harness.event(egui::Event::PointerMoved(pos));
            button(harness, pos, which, true, modifiers);
            button(harness, pos, which, false, modifiers);
            format!("{which:?} click at {pos}")
        }
        6 => {
            let (from, to) = (dice.place(), dice.place());
            harness.event(egui::Event::PointerMoved(from));
            button(harness, from, PointerButton::Primary, true, modifiers);
            harness.step();
            harness.event(egui::Event::PointerMoved(to));
            harness.step();
            button(harness, to, PointerButton::Primary, false, modifiers);
            format!("drag from {from} to {to}")
        }
        7 => {
            let pos = dice.place();
            harness.event(egui::Event::PointerMoved(pos));
            let delta = vec2(0.0, dice.below(400) as f32 - 200.0);
            harness.event(egui::Event::MouseWheel {
                unit: MouseWheelUnit::Point,
                delta,
                source: egui::MouseWheelSource::Wheel,
                phase: egui::TouchPhase::Move,
                modifiers,
            });
            format!("wheel {} at {pos}", delta.y)
        }
        8 => {
            let text = ["0.5", "-1", "1e9", "nan", "", "é€", "1/8"][dice.below(7)];
            harness.event(egui::Event::Text(text.into()));
            format!("text {text}")
        }
        _ => {
            let key = KEYS[dice.below(KEYS.len())];
            harness.key_press_modifiers(modifiers, key);
            format!("{modifiers:?} {key:?}")
        }
    }
}

#[test]
fn random_input_neither_panics_nor_blocks() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("ws");
    workspace(&root);
    let options = Options { workspace: Some(root.clone()), ..Options::default() };
    let mut harness = Harness::builder()
        .with_size(SIZE)
        .build_eframe(move |cc| Studio::new(cc, options).unwrap_or_else(|e| panic!("{e}")));
    let mut dice = Dice { random: Random::new(2026, 7), thrown: 0 };
    let mut frames: Vec<(Duration, u32, String)> = Vec::new();
    for frame in 0..FRAMES {
        let did = disturb(&mut harness, &mut dice);
        let began = Instant::now();
        harness.step();
        frames.push((began.elapsed(), frame, did));
        // Leaves the cores to the engine now and then, so that its answers arrive in between.
        if frame % 8 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    frames.sort_by_key(|(took, ..)| std::cmp::Reverse(*took));
    let ms = |share: usize| frames[frames.len() * (100 - share) / 100].0.as_secs_f64() * 1e3;
    let beyond = frames.iter().filter(|(took, ..)| *took > GOAL).count();
    println!(
        "{FRAMES} frames: median {:.2} ms, p95 {:.2} ms, p99 {:.2} ms; {beyond} beyond {GOAL:?}",
        ms(50),
        ms(95),
        ms(99)
    );
    for (took, frame, did) in &frames[..5] {
        println!("{:.1} ms at frame {frame}: {did}", took.as_secs_f64() * 1e3);
    }
    // A machine busy elsewhere may hold a frame up; a frame that waits for the engine is held up far longer.
    assert!(frames[0].0 < Duration::from_secs(2), "a frame took {:?} after {}", frames[0].0, frames[0].2);
    drop(harness);
    Workspace::open(&root).unwrap();
}
