//! What the window answers about a workspace as a whole: where rewards lie, where the halves disagree.

mod made_up;

use dp2o_studio::app::Studio;
use dp2o_studio::app::actions::Action;
use dp2o_studio::app::commands::CommandId;
use dp2o_studio::engine::grid::{GridOf, Order, Subject};
use dp2o_studio::workspace::ImageId;
use eframe::{App, Frame};
use egui::accesskit::Role;
use egui::{Key, Modifiers, Pos2, Rect, Ui, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use made_up::Size;

/// The studio with what an engine would have answered.
struct Still(Studio);

impl App for Still {
    fn ui(&mut self, ui: &mut Ui, frame: &mut Frame) {
        made_up::answer(&mut self.0);
        self.0.state.pictures.upload(ui.ctx());
        self.0.ui(ui, frame);
    }
}

fn studio(size: Size, command: CommandId) -> Harness<'static, Still> {
    let mut harness = Harness::builder().with_size([1280.0, 800.0]).build_eframe(|cc| {
        let mut studio = made_up::studio(cc, size);
        studio.act(Action::Command(command));
        Still(studio)
    });
    harness.run_steps(6);
    harness
}

/// Where the one image is whose name begins so.
fn place(harness: &Harness<'_, Still>, begins: &str) -> Rect {
    let is_it = |node: &egui_kittest::Node<'_>| {
        node.accesskit_node().role() == Role::Image
            && node.accesskit_node().label().is_some_and(|label| label.starts_with(begins))
    };
    harness.root().children_recursive().find(is_it).unwrap_or_else(|| panic!("nothing is called {begins}")).rect()
}

fn click(harness: &mut Harness<'_, Still>, at: Pos2) {
    harness.hover_at(at);
    harness.run_steps(2);
    for pressed in [true, false] {
        let button = egui::PointerButton::Primary;
        harness.event(egui::Event::PointerButton { pos: at, button, pressed, modifiers: Modifiers::NONE });
        harness.run_steps(2);
    }
}

#[test]
fn the_heat_map_says_its_cells_moves_by_keys_and_opens_what_is_clicked() {
    let mut harness = studio(Size { images: 15, seeds: 8, runs: 0, steps: 0 }, CommandId::ShowRewards);
    let grid = harness.state().0.state.grid.clone().unwrap();
    assert_eq!(grid.of, GridOf { subject: Subject::Reward, order: Order::Spread, by_rank: false });
    assert_eq!((grid.rows.len(), grid.values.len()), (15, 120));
    let map = place(&harness, "Heat map of R, 15 × 8");
    let center = |row: usize, column: usize| {
        let cell = vec2(map.width() / 8.0, map.height() / 15.0);
        map.min + vec2((column as f32 + 0.5) * cell.x, (row as f32 + 0.5) * cell.y)
    };
    click(&mut harness, center(2, 3));
    let selected = |harness: &Harness<'_, Still>| {
        let selection = &harness.state().0.state.selection;
        (selection.image, selection.seed)
    };
    assert_eq!(selected(&harness), (Some(grid.rows[2].image), Some(grid.seeds[3])));
    harness.get_by_label("Candidate of seed 3");

    // By rank the best comes first, and the arrows move from where the selection is.
    harness.state_mut().0.act(Action::Command(CommandId::ShowRewards));
    harness.run_steps(3);
    harness.get_by_label("Rank").click();
    harness.run_steps(4);
    let ranked = harness.state().0.state.grid.clone().unwrap();
    assert!(ranked.of.by_rank && ranked.values[..8].is_sorted_by(|a, b| a >= b));
    let [row, column] = ranked.find(grid.rows[2].image, 3).unwrap();
    harness
        .get_all_by_role(Role::Image)
        .find(|node| node.accesskit_node().label().is_some_and(|label| label.starts_with("Heat map")))
        .unwrap()
        .focus();
    harness.run_steps(2);
    harness.key_press(Key::ArrowDown);
    harness.run_steps(2);
    let (_, seed) = ranked.cell(row + 1, column).unwrap();
    assert_eq!(selected(&harness), (Some(ranked.rows[row + 1].image), Some(ranked.seeds[seed])));
    // What is selected is said with its value.
    let value = ranked.cell(row + 1, column).unwrap().0;
    let said = dp2o_studio::app::format::number(value.into());
    place(
        &harness,
        &format!("Heat map of R, 15 × 8: {}, seed {seed}: R {said}", name(&harness, ranked.rows[row + 1].image)),
    );

    // Another subject is another grid.
    harness.get_by_label("Shows R").click();
    harness.run_steps(3);
    harness.get_by_label("niqe").click();
    harness.run_steps(4);
    assert_eq!(harness.state().0.state.grid.as_ref().unwrap().of.subject, Subject::Metric("niqe".into()));
}

fn name(harness: &Harness<'_, Still>, image: ImageId) -> String {
    harness.state().0.state.image(image).unwrap().name.clone()
}

#[test]
fn a_rectangle_over_the_scatter_picks_candidates_out_in_all_panes() {
    let mut harness = studio(Size { images: 15, seeds: 8, runs: 0, steps: 0 }, CommandId::ShowFrNr);
    harness.get_by_label("All images").click();
    harness.run_steps(3);
    let plot = place(&harness, "FR half against NR half of all images, 120 candidates");
    let (from, to) = (plot.center(), plot.right_top() + vec2(-2.0, 2.0));
    harness.hover_at(from);
    harness.run_steps(2);
    let button = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    harness.event(button(from, true));
    harness.run_steps(2);
    harness.hover_at(to);
    harness.run_steps(2);
    harness.event(button(to, false));
    harness.run_steps(3);
    let state = &harness.state().0.state;
    let (brush, rewards) = (state.selection.brush.unwrap(), state.rewards.clone().unwrap());
    let halves = |image: i64, column| rewards.halves_of(rewards.place(ImageId(image)).unwrap(), column);
    let all = (1..=15).flat_map(|image| (0..8).map(move |column| (image, column)));
    let inside = all.filter(|&(image, column)| brush.holds(halves(image, column))).count();
    assert!((1..60).contains(&inside), "{inside}");
    harness.get_by_label(&format!("{inside} of 120 candidates inside"));
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert_eq!(harness.state().0.state.selection.brush, None);
}

/// What the rows with this role are called.
fn called(harness: &Harness<'_, Still>, role: Role) -> Vec<String> {
    let nodes = harness.root().children_recursive();
    let of_role = nodes.filter(|node| node.accesskit_node().role() == role);
    // What a label says is its value.
    of_role.filter_map(|node| node.accesskit_node().value().or(node.accesskit_node().label())).collect()
}

#[test]
fn a_comparison_says_what_is_more_than_noise() {
    let harness = studio(Size { images: 30, seeds: 8, runs: 1, steps: 80 }, CommandId::ShowCompare);
    let rows = called(&harness, Role::Row);
    let row = |begins: &str| rows.iter().find(|row| row.starts_with(begins)).unwrap_or_else(|| panic!("{rows:#?}"));
    let mean = row("Mean@8");
    assert!(mean.contains("+3.50 σ [+") && mean.ends_with("], better"), "{mean}");
    assert!(row("psnr, held out").ends_with("], worse"), "{rows:#?}");
}

#[test]
fn the_training_tab_says_whether_a_run_learns_and_its_table_sorts() {
    let mut harness = studio(Size { images: 30, seeds: 8, runs: 3, steps: 80 }, CommandId::ShowTraining);
    harness.run_steps(3);
    let line = called(&harness, Role::Label).into_iter().find(|label| label.contains("Mean@8"));
    let line = line.expect("a line over the curves");
    assert!(line.starts_with("Learning: Mean@8 +4.0 σ [+") && line.contains("]; PSNR −0.4 dB"), "{line}");
    harness.get_by_label("Loss: This plot alone, large").click();
    harness.run_steps(3);
    let plots = || -> Vec<String> {
        let images = called(&harness, Role::Image);
        images.into_iter().filter(|image| ["Loss", "Margin"].contains(&image.as_str())).collect()
    };
    assert_eq!(plots(), ["Loss"]);

    harness.get_by_label("Table").click();
    harness.run_steps(6);
    let names = |harness: &Harness<'_, Still>| {
        let rows: Vec<String> =
            called(harness, Role::Row).into_iter().filter(|row| row.starts_with("Run run-")).collect();
        rows
    };
    assert_eq!(names(&harness), ["Run run-1", "Run run-2", "Run run-3"]);
    // β differs, and the largest comes first.
    let beta = called(&harness, Role::ColumnHeader).into_iter().find(|head| head.contains('β')).expect("a column of β");
    harness.get_by_role_and_label(Role::ColumnHeader, &beta).click();
    harness.run_steps(3);
    assert_eq!(names(&harness), ["Run run-3", "Run run-2", "Run run-1"]);

    // A column that is pinned stands beside the names, until it is let go.
    let heads = |harness: &Harness<'_, Still>| called(harness, Role::ColumnHeader);
    let free = heads(&harness);
    let of_menu = |harness: &mut Harness<'_, Still>, item: &str| {
        let head = heads(harness).into_iter().find(|head| head.contains('β')).expect("a column of β");
        harness.get_by_role_and_label(Role::ColumnHeader, &head).click_secondary();
        harness.run_steps(3);
        harness.get_by_label(item).click();
        harness.run_steps(3);
    };
    of_menu(&mut harness, "Pin the column beside the name");
    assert_eq!(heads(&harness)[..3], ["run".to_owned(), beta.clone(), "state".to_owned()]);
    of_menu(&mut harness, "Unpin the column");
    assert_eq!(heads(&harness), free);
}

#[test]
fn the_correlation_of_metrics_says_what_decides() {
    let harness = studio(Size { images: 30, seeds: 8, runs: 0, steps: 0 }, CommandId::ShowCorrelation);
    let attribution = harness.state().0.state.attribution.clone().expect("an attribution").attribution.clone();
    let rows = called(&harness, Role::Row);
    for metric in &attribution.metrics {
        let begins = match metric.coefficient == 0.0 {
            true => format!("{}: share of R –, ρ with R ", metric.name),
            false => format!("{}: share of R {:.0} %", metric.name, 100.0 * metric.share).replace('-', "−"),
        };
        assert!(rows.iter().any(|row| row.starts_with(&begins)), "{begins}: {rows:#?}");
    }
    let conflict = attribution.conflict.unwrap();
    harness.get_by_label(&format!("FR and NR disagree in {:.0} % of the pairs", 100.0 * conflict));
}
