//! The comparison on the screen with what is derived from it once, and the candidate that is looked at.

use std::collections::HashMap;
use std::sync::Arc;

use egui_plot::PlotPoint;

use super::choice::Choice;
use crate::app::state::{Selection, State};
use crate::engine::protocol::Compared;
use crate::method::changes::Change;
use crate::method::notes::Note;
use crate::method::recipe::Recipe;
use crate::report::plot::{self, Plot};
use crate::report::rows::{self, Row};
use crate::workspace::ImageId;

/// Points of the scatter drawn at most.
const POINTS: usize = 2000;

/// A comparison on the screen.
pub struct Shown {
    /// As the engine made it.
    source: Arc<Compared>,
    /// As it is looked at: the same, or with before and after exchanged.
    pub compared: Arc<Compared>,
    is_swapped: bool,
    pub rows: Vec<Row>,
    /// What has to be known of the figures.
    pub notes: Vec<Note>,
    pub curves: Plot,
    /// The rewards of candidates, after over before; those that rose first, then the others.
    pub risen: Vec<PlotPoint>,
    pub fallen: Vec<PlotPoint>,
    /// Every so many of the candidates is in the scatter.
    pub every: usize,
    index_of: HashMap<ImageId, usize>,
    /// The recipe it was made with.
    recipe: Option<Recipe>,
    /// Image and column looked at.
    at: (usize, usize),
    followed: Option<Selection>,
}

impl Shown {
    /// What is shown of a choice; `before` is what was shown in the last frame. `None` where it was not compared.
    pub fn of(before: Option<Self>, choice: &Choice, state: &State) -> Option<Self> {
        let names = |c: &Compared| [c.report.comparison.a.clone(), c.report.comparison.b.clone()];
        let known = state.comparisons.iter().rev().filter(|c| c.report.comparison.on == choice.on);
        let of = |wanted: [&String; 2]| known.clone().find(|c| names(c).iter().eq(wanted));
        let (source, is_swapped) = match of([&choice.a, &choice.b]) {
            Some(found) => (found, false),
            None => (of([&choice.b, &choice.a])?, true),
        };
        if let Some(before) = before {
            if Arc::ptr_eq(&before.source, source) && before.is_swapped == is_swapped {
                return Some(before);
            }
            let mut new = Self::new(source.clone(), is_swapped);
            // The other way round, or with another checkpoint, the same candidate is looked at.
            if let Some((image, seed)) = before.candidate() {
                new.go_to(image, seed);
            }
            new.followed = before.followed;
            return Some(new);
        }
        Some(Self::new(source.clone(), is_swapped))
    }

    fn new(source: Arc<Compared>, is_swapped: bool) -> Self {
        let compared = if is_swapped { Arc::new(source.swapped()) } else { source.clone() };
        let report = &compared.report;
        let every = report.changes.len().div_ceil(POINTS).max(1);
        let (risen, fallen): (Vec<&Change>, Vec<&Change>) =
            report.changes.iter().step_by(every).partition(|change| change.gain() >= 0.0);
        let points = |changes: Vec<&Change>| changes.iter().map(|c| PlotPoint::new(c.before, c.after)).collect();
        let at = report.changes.first().map_or((0, 0), |change| (change.image, change.seed));
        Self {
            rows: rows::rows(&report.comparison),
            notes: report.comparison.notes(),
            curves: plot::curves(&report.comparison),
            risen: points(risen),
            fallen: points(fallen),
            every,
            index_of: compared.images.iter().enumerate().map(|(index, &image)| (image, index)).collect(),
            recipe: Recipe::from_ron(&report.provenance.recipe, "comparison").ok(),
            at,
            followed: None,
            source,
            is_swapped,
            compared,
        }
    }

    /// Goes where another pane went, if it is a candidate of this comparison.
    pub fn follow(&mut self, selection: &Selection) {
        if self.followed.as_ref() == Some(selection) {
            return;
        }
        self.followed = Some(selection.clone());
        let Some(image) = selection.image.filter(|image| self.index_of.contains_key(image)) else { return };
        let seed = selection.seed.or(self.candidate().map(|(_, seed)| seed));
        if let Some(seed) = seed {
            self.go_to(image, seed);
        }
    }

    fn go_to(&mut self, image: ImageId, seed: u64) {
        let column = self.compared.report.provenance.seeds.iter().position(|&s| s == seed);
        if let Some(&index) = self.index_of.get(&image) {
            self.at = (index, column.unwrap_or(self.at.1));
        }
    }

    /// Goes to a candidate by its place in the comparison.
    pub fn go(&mut self, image: usize, seed: usize) {
        self.at = (image, seed);
    }

    /// Goes some images and seeds further, staying within.
    pub fn step(&mut self, images: isize, seeds: isize) {
        let within = |at: usize, by: isize, count: usize| at.saturating_add_signed(by).min(count.saturating_sub(1));
        let report = &self.compared.report;
        self.at.0 = within(self.at.0, images, self.compared.images.len());
        self.at.1 = within(self.at.1, seeds, report.provenance.seeds.len());
    }

    /// Tells all panes where this one is.
    pub fn select(&mut self, selection: &mut Selection) {
        if let Some((image, seed)) = self.candidate() {
            selection.candidate(image, seed);
            self.followed = Some(selection.clone());
        }
    }

    /// Image and column looked at.
    pub fn at(&self) -> (usize, usize) {
        self.at
    }

    /// Image and seed looked at.
    pub fn candidate(&self) -> Option<(ImageId, u64)> {
        Some((self.compared.images.get(self.at.0).copied()?, self.compared.seed(self.at.1)?))
    }

    /// Name of the image looked at.
    pub fn image_name(&self) -> &str {
        self.compared.report.comparison.by_image.get(self.at.0).map_or("", |image| &image.name)
    }

    /// Which image it is, from 1, and how many there are.
    pub fn image_number(&self) -> (usize, usize) {
        (self.at.0 + 1, self.compared.images.len())
    }

    /// Rewards of the candidate looked at, before and after.
    pub fn rewards(&self) -> Option<[f64; 2]> {
        let image = self.compared.report.comparison.by_image.get(self.at.0)?;
        let reward = |side: &[Option<f64>]| side.get(self.at.1).copied().flatten();
        Some([reward(&image.reference)?, reward(&image.policy)?])
    }

    /// The change nearest to a point of the scatter, and how far it is in units of `scale`.
    pub fn nearest(&self, point: PlotPoint, scale: [f64; 2]) -> Option<(Change, f64)> {
        let distance = |c: &Change| {
            let [dx, dy] = [(c.before - point.x) / scale[0], (c.after - point.y) / scale[1]];
            dx.hypot(dy)
        };
        let changes = self.compared.report.changes.iter().step_by(self.every);
        changes.map(|c| (*c, distance(c))).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// What has changed since the comparison was made, so that it no longer says what another one would.
    pub fn is_outdated(&self, state: &State) -> Option<&'static str> {
        let library = state.library.as_ref()?;
        let on = self.compared.report.comparison.on;
        let images = library.images.iter().filter(|image| image.split.is_in(on)).map(|image| image.id);
        if !images.eq(self.compared.images.iter().copied()) {
            return Some("it would be of other images now");
        }
        let (made, now) = (self.recipe.as_ref()?, &state.recipe.edited);
        if made.reward != now.reward {
            return Some("the reward was changed since");
        }
        if made.sampling.first_seed != now.sampling.first_seed || made.sampling.steps != now.sampling.steps {
            return Some("the sampling was changed since");
        }
        None
    }
}

/// A gain in reward, with its sign.
pub fn signed(gain: f64) -> String {
    if gain.is_finite() { format!("{gain:+.3}").replace('-', "−") } else { "–".into() }
}
