//! The arrangement of the panes: a tree of tiles, saved under a versioned key.

use eframe::Storage;
use egui_tiles::{Container, Linear, LinearDir, Tile, TileId, Tiles, Tree};

use super::pane_kind::PaneKind;

/// The width of the window, in points, for which the shares of [`default_tree`] are made.
pub const DEFAULT_WIDTH: f32 = 1280.0;
/// How much of what a window is wider goes to the panes at its sides, as a power: their text gains little from it.
const SIDES_GROW: f32 = 0.35;

/// A layout of another version falls back to the default.
const KEY: &str = "layout_v1";
/// Id of the tree in egui's memory.
const TREE: &str = "studio tiles";

/// The arrangement a new user gets: the library on the left, the recipe on the right, the tabs between, the log below
/// them and hidden.
pub fn default_tree() -> Tree<PaneKind> {
    let mut tiles = Tiles::default();
    let library = tiles.insert_pane(PaneKind::Library);
    let tabs = PaneKind::TABS.map(|kind| tiles.insert_pane(kind)).to_vec();
    let seeds = tabs[0];
    let tabs = tiles.insert_tab_tile(tabs);
    if let Some(Tile::Container(Container::Tabs(container))) = tiles.get_mut(tabs) {
        container.set_active(seeds);
    }
    let log = tiles.insert_pane(PaneKind::Log);
    let centre = linear(&mut tiles, LinearDir::Vertical, &[(tabs, 0.76), (log, 0.24)]);
    let recipe = tiles.insert_pane(PaneKind::Recipe);
    let root = linear(&mut tiles, LinearDir::Horizontal, &[(library, 0.215), (centre, 0.535), (recipe, 0.25)]);
    let mut tree = Tree::new(egui::Id::unique(TREE), root, tiles);
    tree.set_visible(log, false);
    tree
}

fn linear(tiles: &mut Tiles<PaneKind>, dir: LinearDir, children: &[(TileId, f32)]) -> TileId {
    let mut linear = Linear::new(dir, children.iter().map(|(id, _)| *id).collect());
    for (id, share) in children {
        linear.shares.set_share(*id, *share);
    }
    tiles.insert_container(Container::Linear(linear))
}

/// The arrangement of the last start, or the default.
pub fn load(storage: Option<&dyn Storage>) -> Tree<PaneKind> {
    let text = storage.and_then(|storage| storage.get_string(KEY));
    text.and_then(|text| parse(&text)).unwrap_or_else(default_tree)
}

/// Keeps the arrangement.
pub fn save(tree: &Tree<PaneKind>, storage: &mut dyn Storage) {
    if let Ok(text) = ron::to_string(tree) {
        storage.set_string(KEY, text);
    }
}

/// Follows a window from one width to another: beyond [`DEFAULT_WIDTH`] the panes at the sides widen less than the middle.
/// What a person has arranged otherwise is left alone.
pub fn follow(tree: &mut Tree<PaneKind>, from: f32, to: f32) {
    let sides = [PaneKind::Library, PaneKind::Recipe].map(|kind| tree.tiles.find_pane(&kind));
    let Some(Tile::Container(Container::Linear(linear))) = tree.root().and_then(|root| tree.tiles.get_mut(root)) else {
        return;
    };
    let is_side = |id: &TileId| sides.contains(&Some(*id));
    let (at_sides, between): (Vec<TileId>, Vec<TileId>) = linear.children.iter().copied().partition(is_side);
    if linear.dir != LinearDir::Horizontal || between.is_empty() {
        return;
    }
    let width = |of: f32| of.min(DEFAULT_WIDTH) * (of / DEFAULT_WIDTH).max(1.0).powf(SIDES_GROW);
    let scale = width(to) / width(from) * from / to;
    let sum = |ids: &[TileId]| ids.iter().map(|id| linear.shares[*id]).sum::<f32>();
    let (before, rest) = (sum(&at_sides), sum(&between));
    let after = before * scale;
    if !scale.is_finite() || rest <= 0.0 || before + rest <= after {
        return;
    }
    at_sides.iter().for_each(|id| linear.shares[*id] *= scale);
    between.iter().for_each(|id| linear.shares[*id] *= (before + rest - after) / rest);
}

/// A tree from text, if it can be read and holds every pane once.
fn parse(text: &str) -> Option<Tree<PaneKind>> {
    let tree: Tree<PaneKind> = ron::from_str(text).ok()?;
    tree.root()?;
    let count = |kind: PaneKind| tree.tiles.tiles().filter(|tile| matches!(tile, Tile::Pane(k) if *k == kind)).count();
    PaneKind::ALL.iter().all(|&kind| count(kind) == 1).then_some(tree)
}

/// Brings a pane to the front.
pub fn show(tree: &mut Tree<PaneKind>, kind: PaneKind) {
    if let Some(id) = tree.tiles.find_pane(&kind) {
        tree.set_visible(id, true);
        tree.make_active(|other, _| other == id);
    }
}

/// Hides a pane, or shows it.
pub fn toggle(tree: &mut Tree<PaneKind>, kind: PaneKind) {
    if let Some(id) = tree.tiles.find_pane(&kind) {
        let visible = tree.is_visible(id);
        tree.set_visible(id, !visible);
    }
}

/// Whether a pane is not hidden.
pub fn is_visible(tree: &Tree<PaneKind>, kind: PaneKind) -> bool {
    tree.tiles.find_pane(&kind).is_some_and(|id| tree.is_visible(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_at_the_sides_widen_less_than_the_window_and_come_back() {
        let mut tree = default_tree();
        let share = |tree: &Tree<PaneKind>, kind| {
            let id = tree.tiles.find_pane(&kind).unwrap();
            let Some(Tile::Container(Container::Linear(linear))) = tree.tiles.get(tree.root().unwrap()) else {
                panic!("the root is no row")
            };
            linear.shares[id]
        };
        let library = share(&tree, PaneKind::Library);
        follow(&mut tree, DEFAULT_WIDTH, 1920.0);
        let wide = share(&tree, PaneKind::Library) * 1920.0;
        assert!((300.0..330.0).contains(&wide), "{wide}");
        follow(&mut tree, 1920.0, 1000.0);
        assert!((share(&tree, PaneKind::Library) - library).abs() < 1e-5, "narrower than usual all shrink alike");
    }

    #[test]
    fn a_layout_survives_being_saved_and_a_stale_one_does_not() {
        let text = ron::to_string(&default_tree()).unwrap();
        assert!(parse(&text).is_some());
        assert!(parse(&text.replace("Heatmaps", "Seeds")).is_none());
        assert!(parse(&text.replace("Heatmaps", "Weather")).is_none());
        assert!(parse("").is_none());
    }
}
