//! The runs side by side: what came of each, and what their recipes differ in.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Align2, Rect, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};

use super::runs::{color_of, menu};
use crate::app::actions::Cx;
use crate::app::{format, widgets};
use crate::engine::protocol::Library;
use crate::method::fields;
use crate::method::recipe::Recipe;
use crate::workspace::RunId;

/// Height of a row and of the heads, in points.
const ROW: f32 = 24.0;
/// Width of the name, which stays with the pinned columns while the rest scrolls, and of a column.
const NAME: f32 = 132.0;
const COLUMN: f32 = 96.0;
/// What a column is called, and what it tells.
type Head = (&'static str, &'static str);
/// Columns before those of the recipe.
const RESULTS: [Head; 4] = [
    ("state", "How the run stands"),
    ("steps", "Steps made"),
    ("best R", "Best mean reward on the validation images"),
    ("Mean gain", "Gain of Mean@M in σ from the start to the last evaluation"),
];

/// A value of a cell: what it is ordered by, and what is written.
#[derive(Clone, Debug, Default)]
struct Cell {
    number: Option<f64>,
    text: String,
}

impl Cell {
    fn number(value: Option<f64>, text: impl Fn(f64) -> String) -> Self {
        let value = value.filter(|value| value.is_finite());
        Self { number: value, text: value.map_or("–".into(), text) }
    }

    fn text(text: String) -> Self {
        Self { number: text.parse().ok(), text }
    }

    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (self.number, other.number) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) if a.is_some() != b.is_some() => b.is_some().cmp(&a.is_some()),
            _ => self.text.cmp(&other.text),
        }
    }
}

/// The table and how it is ordered.
#[derive(Default)]
pub struct RunTable {
    /// By which column, counted from the name; and whether the largest comes first.
    sort: (usize, bool),
    /// Columns that stay beside the name, by the hint of their heads: what a setting is called everywhere.
    pinned: BTreeSet<&'static str>,
    /// The recipes of the runs, read once for each library.
    recipes: Option<Recipes>,
}

/// The library they are of, what they are, and the settings in which they differ.
type Recipes = (Arc<Library>, HashMap<RunId, Recipe>, Vec<&'static str>);

impl RunTable {
    /// Draws it; a click selects a run.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx, library: &Arc<Library>, selected: &mut Option<RunId>) {
        if self.recipes.as_ref().is_none_or(|(known, ..)| !Arc::ptr_eq(known, library)) {
            let (recipes, keys) = recipes_of(library);
            self.recipes = Some((library.clone(), recipes, keys));
        }
        let Some((_, recipes, keys)) = &self.recipes else { return };
        let heads: Vec<Head> = RESULTS.into_iter().chain(keys.iter().map(|key| (label_of(key), *key))).collect();
        let mut rows: Vec<(RunId, Vec<Cell>)> = Vec::new();
        for run in &library.runs {
            cx.state.curves_of(run.id);
            if cx.state.curves.get(&run.id).is_some_and(|curves| curves.start_and_last().is_some())
                && !cx.state.learning.contains_key(&run.id)
                && !cx.state.asked.values().any(|asked| *asked == crate::app::state::Asked::Learning(run.id))
            {
                cx.state.wants.learning.insert(run.id);
            }
            let steps =
                cx.state.curves.get(&run.id).and_then(|curves| curves.steps.last()).map(|row| f64::from(row.step));
            let of_run = library.checkpoints.iter().filter(|c| c.run == Some(run.id));
            let best = of_run.filter_map(|c| c.held_out_reward).reduce(f64::max);
            let gain = cx.state.learning.get(&run.id).and_then(|learning| learning.gain_in_sigma);
            let mut cells = vec![
                // By when they were made: as text, run-10 comes before run-2.
                Cell::number(Some(run.id.0 as f64), |_| run.name.clone()),
                Cell::text(run.state.to_string()),
                Cell::number(steps, |steps| format!("{steps:.0}")),
                Cell::number(best, format::reward),
                Cell::number(gain, |gain| format!("{gain:+.2} σ").replace('-', "−")),
            ];
            let recipe = recipes.get(&run.id);
            let value = |key: &&str| recipe.and_then(|recipe| recipe.get(key).ok()).unwrap_or_else(|| "–".into());
            cells.extend(keys.iter().map(|key| Cell::text(value(key))));
            rows.push((run.id, cells));
        }
        let (by, descending) = (self.sort.0.min(heads.len()), self.sort.1);
        rows.sort_by(|(_, a), (_, b)| if descending { b[by].cmp(&a[by]) } else { a[by].cmp(&b[by]) });
        let are_alike = keys.is_empty();
        let (pinned, others): (Vec<usize>, Vec<usize>) =
            (0..heads.len()).partition(|&column| self.pinned.contains(heads[column].1));
        ScrollArea::vertical().id_salt("run table").auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing = egui::Vec2::ZERO;
            ui.horizontal_top(|ui| {
                ui.vertical(|ui| {
                    head_ui(&mut self.sort, ui, cx, 0, ("run", "In the order they were made"), NAME);
                    for (run, cells) in &rows {
                        name_ui(ui, cx, *run, &cells[0].text, selected);
                    }
                });
                self.columns_ui(ui, cx, &heads, &rows, &pinned, *selected);
                ScrollArea::horizontal().id_salt("run columns").auto_shrink(false).show(ui, |ui| {
                    self.columns_ui(ui, cx, &heads, &rows, &others, *selected);
                });
            });
            if are_alike {
                ui.weak("The recipes of these runs are alike.");
            }
        });
    }

    /// Some columns of all rows, one beside the other.
    fn columns_ui(
        &mut self,
        ui: &mut Ui,
        cx: &Cx,
        heads: &[Head],
        rows: &[(RunId, Vec<Cell>)],
        columns: &[usize],
        selected: Option<RunId>,
    ) {
        ui.vertical(|ui| {
            ui.horizontal(|ui| {
                for &column in columns {
                    let head = heads[column];
                    let response = head_ui(&mut self.sort, ui, cx, column + 1, head, COLUMN);
                    response.context_menu(|ui| self.pin_ui(ui, head.1));
                }
            });
            for (run, cells) in rows {
                cells_ui(ui, cx, selected == Some(*run), columns.iter().map(|column| &cells[column + 1]));
            }
        });
    }

    fn pin_ui(&mut self, ui: &mut Ui, column: &'static str) {
        let is_pinned = self.pinned.contains(column);
        if ui.button(if is_pinned { "Unpin the column" } else { "Pin the column beside the name" }).clicked() {
            if is_pinned {
                self.pinned.remove(column);
            } else {
                self.pinned.insert(column);
            }
            ui.close();
        }
    }
}

/// The recipes of the runs, and the settings in which they differ.
fn recipes_of(library: &Library) -> (HashMap<RunId, Recipe>, Vec<&'static str>) {
    let read = |run: &crate::workspace::RunRow| Some((run.id, Recipe::from_ron(&run.recipe, &run.name).ok()?));
    let recipes: HashMap<RunId, Recipe> = library.runs.iter().filter_map(read).collect();
    let mut keys = Vec::new();
    if let Some(first) = library.runs.iter().find_map(|run| recipes.get(&run.id)) {
        let differs = |key: &str| recipes.values().any(|recipe| first.diff(recipe).contains(&key));
        keys = fields::fields().iter().map(|field| field.key).filter(|key| differs(key)).collect();
    }
    (recipes, keys)
}

fn label_of(key: &'static str) -> &'static str {
    fields::fields().iter().find(|field| field.key == key).map_or(key, |field| field.label)
}

fn name_ui(ui: &mut Ui, cx: &mut Cx, run: RunId, name: &str, selected: &mut Option<RunId>) {
    let p = cx.palette;
    let (rect, response) = ui.allocate_exact_size(vec2(NAME, ROW), Sense::click());
    widgets::name(&response, Role::Row, &format!("Run {name}"));
    if *selected == Some(run) {
        ui.painter().rect_filled(rect, 0.0, p.selected);
    } else if response.hovered() {
        ui.painter().rect_filled(rect, 0.0, p.raised);
    }
    let mark = Rect::from_center_size(pos2(rect.left() + 9.0, rect.center().y), vec2(8.0, 8.0));
    ui.painter().rect_filled(mark, 3.0, color_of(p, run));
    let text = rect.with_min_x(rect.left() + 20.0);
    widgets::paint_text(ui, text, Align2::LEFT_CENTER, name, TextStyle::Body.resolve(ui.style()), p.text);
    if response.clicked() {
        *selected = Some(run);
    }
    menu(&response, cx, name);
}

fn cells_ui<'a>(ui: &mut Ui, cx: &Cx, is_selected: bool, cells: impl ExactSizeIterator<Item = &'a Cell>) {
    let p = cx.palette;
    let (row, _) = ui.allocate_exact_size(vec2(COLUMN * cells.len() as f32, ROW), Sense::hover());
    if is_selected {
        ui.painter().rect_filled(row, 0.0, p.selected);
    }
    let font = TextStyle::Body.resolve(ui.style());
    for (column, cell) in cells.enumerate() {
        let min = pos2(row.left() + column as f32 * COLUMN, row.top());
        let rect = Rect::from_min_size(min, vec2(COLUMN, ROW));
        let response = ui.interact(rect, ui.scope_id().with((row.top() as i32, column)), Sense::hover());
        widgets::paint_text(ui, rect.shrink2(vec2(4.0, 0.0)), Align2::LEFT_CENTER, &cell.text, font.clone(), p.text);
        widgets::name(&response, Role::Cell, &cell.text);
        response.on_hover_text(&cell.text);
    }
}

fn head_ui(
    sort: &mut (usize, bool),
    ui: &mut Ui,
    cx: &Cx,
    column: usize,
    (head, hint): Head,
    width: f32,
) -> egui::Response {
    let (rect, response) = ui.allocate_exact_size(vec2(width, ROW), Sense::click());
    widgets::name(&response, Role::ColumnHeader, head);
    let is_sorted = sort.0 == column;
    let arrow = match (is_sorted, sort.1) {
        (false, _) => "",
        (true, true) => " ▼",
        (true, false) => " ▲",
    };
    let color = if is_sorted || response.hovered() { cx.palette.text } else { cx.palette.text_weak };
    let font = TextStyle::Small.resolve(ui.style());
    let inside = rect.shrink2(vec2(4.0, 0.0));
    widgets::paint_text(ui, inside, Align2::LEFT_CENTER, &format!("{head}{arrow}"), font, color);
    ui.painter().hline(rect.x_range(), rect.bottom(), egui::Stroke::new(1.0, cx.palette.line));
    let response = response.on_hover_text(match column {
        0 => format!("{hint}\na click sorts"),
        _ => format!("{hint}\na click sorts, a right click pins"),
    });
    if response.clicked() {
        // Numbers are looked at from the largest, names from the first.
        *sort = (column, if is_sorted { !sort.1 } else { column > 1 });
    }
    response
}
