//! What drawing costs, without the graphics card: egui's pass and the tessellation of each frame.
//!
//!     cargo bench --bench ui
//!
//! Prints the 95th percentile of frames while something scrolls or is dragged, and what is held in memory.

#[path = "../tests/made_up/mod.rs"]
mod made_up;

use std::sync::Arc;
use std::time::Instant;

use dp2o_studio::app::Studio;
use dp2o_studio::app::actions::Action;
use dp2o_studio::app::commands::CommandId;
use dp2o_studio::app::pane_kind::PaneKind;
use dp2o_studio::app::state::Asked;
use dp2o_studio::engine::protocol::{Answer, Event as EngineEvent, QueryId};
use eframe::App;
use egui::{Context, Event, MouseWheelUnit, Pos2, RawInput, Rect, pos2, vec2};
use made_up::Size;

/// Frames before the first one that counts.
const WARM_UP: usize = 60;

/// A studio and the frames it has drawn.
struct Drawn {
    ctx: Context,
    studio: Studio,
    frames: usize,
}

impl Drawn {
    fn new(size: Size, tab: PaneKind) -> Self {
        let ctx = Context::default();
        let mut studio = made_up::studio(&eframe::CreationContext::_new_kittest(ctx.clone()), size);
        studio.act(Action::Show(tab));
        Self { ctx, studio, frames: 0 }
    }

    /// Draws a frame; milliseconds it took.
    fn frame(&mut self, events: Vec<Event>) -> f64 {
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, vec2(1920.0, 1080.0))),
            time: Some(self.frames as f64 / 60.0),
            events,
            ..RawInput::default()
        };
        self.frames += 1;
        made_up::answer(&mut self.studio);
        let mut frame = eframe::Frame::_new_kittest();
        let began = Instant::now();
        let studio = &mut self.studio;
        let output = self.ctx.run_ui(input, |ui| {
            studio.state.pictures.upload(ui.ctx());
            studio.ui(ui, &mut frame);
        });
        let shapes = self.ctx.tessellate(output.shapes, output.pixels_per_point);
        std::hint::black_box(shapes);
        began.elapsed().as_secs_f64() * 1e3
    }

    /// Scrolls up and down at a place.
    fn scroll(&mut self, at: Pos2, frames: usize) -> Vec<f64> {
        let events = |n: usize| {
            let down = if (n / 120).is_multiple_of(2) { -60.0 } else { 60.0 };
            let wheel = Event::MouseWheel {
                unit: MouseWheelUnit::Point,
                delta: vec2(0.0, down),
                source: egui::MouseWheelSource::Wheel,
                phase: egui::TouchPhase::Move,
                modifiers: Default::default(),
            };
            vec![Event::PointerMoved(at), wheel]
        };
        (0..frames).map(|n| self.frame(events(n))).collect()
    }
}

/// Prints median and 95th percentile of what came after the warm-up.
fn report(what: &str, mut times_ms: Vec<f64>, goal_ms: f64) {
    let mut settled = times_ms.split_off(WARM_UP.min(times_ms.len() / 2));
    settled.sort_by(f64::total_cmp);
    let at = |share: usize| settled[settled.len() * share / 100];
    println!("{what:<58} median {:>6.2} ms   p95 {:>6.2} ms   goal {goal_ms} ms", at(50), at(95));
}

fn main() {
    // `cargo bench` and `cargo test --benches` both run this; the latter only wants to see that it does.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let frames = if is_test { 8 } else { 600 };
    let size = |images, seeds, runs, steps| match is_test {
        true => Size { images: 10, seeds: 4, runs, steps: 40 },
        false => Size { images, seeds, runs, steps },
    };

    let began = Instant::now();
    let mut drawn = Drawn::new(size(200, 64, 0, 0), PaneKind::Seeds);
    drawn.frame(Vec::new());
    println!("a studio of 200 images × 64 seeds drawn first after {:.0} ms", began.elapsed().as_secs_f64() * 1e3);

    for (runs, what) in [(1, "a run of 20,000 steps, all its charts"), (10, "ten of them overlaid, all their charts")] {
        let mut drawn = Drawn::new(size(40, 16, runs, 20_000), PaneKind::Training);
        drawn.frame(Vec::new());
        if runs > 1 {
            drawn.studio.act(Action::Command(CommandId::OverlayRuns));
        }
        report(what, drawn.scroll(pos2(1100.0, 500.0), frames), 4.0);
    }

    let middle = pos2(900.0, 600.0);
    for (tab, command, at, what) in [
        (PaneKind::Seeds, None, pos2(150.0, 600.0), "library"),
        (PaneKind::Seeds, None, middle, "grid of seeds"),
        (PaneKind::Seeds, None, pos2(1750.0, 500.0), "recipe"),
        (PaneKind::Heatmaps, Some(CommandId::ShowMatrix), middle, "matrix"),
        (PaneKind::Heatmaps, Some(CommandId::ShowMaps), middle, "maps"),
        (PaneKind::Heatmaps, Some(CommandId::ShowRewards), middle, "heat map"),
        (PaneKind::Heatmaps, Some(CommandId::ShowFrNr), middle, "FR × NR scatter"),
        (PaneKind::Heatmaps, Some(CommandId::ShowCorrelation), middle, "correlation"),
        (PaneKind::Pairs, None, pos2(900.0, 900.0), "list of pairs"),
        (PaneKind::Compare, None, pos2(1350.0, 300.0), "comparison"),
    ] {
        let runs = usize::from(tab == PaneKind::Compare);
        let mut drawn = Drawn::new(size(2000, 64, runs, 100), tab);
        command.into_iter().for_each(|command| drawn.studio.act(Action::Command(command)));
        report(&format!("2,000 images × 64 seeds, the {what} scrolling"), drawn.scroll(at, frames), 4.0);
    }

    drag(size(1000, 64, 0, 0), frames.min(200));

    let mut drawn = Drawn::new(size(2000, 64, 0, 0), PaneKind::Seeds);
    for at in [pos2(150.0, 600.0), pos2(900.0, 600.0)] {
        drawn.scroll(at, frames);
    }
    let mib = |bytes: usize| bytes >> 20;
    println!("2,000 images × 64 seeds browsed: {} MiB of pictures", mib(drawn.studio.state.pictures.bytes()));
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        for line in status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")) {
            println!("{}", line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    drag(size(2000, 64, 0, 0), frames.min(20));
}

/// A slider dragged: everything ranked, paired and weighted anew, as the engine's thread does it, and the frame that takes this
/// in and shows it, which is all that the thread does that draws.
fn drag(size: Size, frames: usize) {
    let what = format!("{} images × {} seeds, a slider dragged", size.images, size.seeds);
    let mut drawn = Drawn::new(size, PaneKind::Seeds);
    drawn.frame(Vec::new());
    let (mut ranked, mut shown) = (Vec::new(), Vec::new());
    for n in 0..frames {
        let began = Instant::now();
        let state = &mut drawn.studio.state;
        let mut recipe = state.recipe.edited.clone();
        recipe.reward.fr_balance = n as f64 / frames as f64;
        state.edit_recipe(recipe);
        let edited = began.elapsed();
        let Some(scores) = state.rewards.as_ref().map(|rewards| rewards.ranking.scores.clone()) else { return };
        let began = Instant::now();
        let ranking = scores.rank(&state.recipe.edited).expect("the scores rank");
        ranked.push(began.elapsed().as_secs_f64() * 1e3);
        let began = Instant::now();
        let id = QueryId(1000 + n as u64);
        state.asked.insert(id, Asked::Ranking);
        state.apply(EngineEvent::Answer { id, answer: Ok(Answer::Ranking(Arc::new(ranking))) });
        let taken_in = began.elapsed();
        shown.push((edited + taken_in).as_secs_f64() * 1e3 + drawn.frame(Vec::new()));
    }
    report(&format!("{what}: the frame"), shown, 4.0);
    report(&format!("{what}: ranked beside it"), ranked, 16.0);
}
