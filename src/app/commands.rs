//! The one table of commands: the menus, the command palette, the shortcuts and the shortcut sheet all read it.

use std::sync::Arc;

use egui::{Context, Key, KeyboardShortcut, Modifiers};

use super::pane_kind::PaneKind;
use super::state::jobs::Kind;
use super::state::{Stage, State};
use crate::engine::protocol::Library;

/// Names a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandId {
    NewWorkspace,
    OpenWorkspace,
    OpenExample,
    AddImages,
    AddFolder,
    Quit,
    Undo,
    Redo,
    ToggleHeldOut,
    ForValidation,
    ForTest,
    RemoveImages,
    NextImage,
    PreviousImage,
    ResetRecipe,
    LoadRecipe,
    SaveRecipe,
    Generate,
    GenerateSelected,
    Curate,
    Train,
    Compare,
    RunAll,
    PauseResume,
    Cancel,
    ImportCandidates,
    ImportTable,
    ExportPairs,
    ExportPairTable,
    ExportPairsHf,
    ExportPairsDpo,
    ExportScores,
    ExportVerdicts,
    ExportRun,
    ShowLibrary,
    ShowRecipe,
    ShowSeeds,
    ShowHeatmaps,
    ShowMatrix,
    ShowMaps,
    ShowRewards,
    ShowFrNr,
    ShowCorrelation,
    ShowPairs,
    ShowTraining,
    ShowCompare,
    ShowWeights,
    CheckModel,
    TagImages,
    ToggleLog,
    ResetLayout,
    ToggleTheme,
    LargerFont,
    SmallerFont,
    ZoomIn,
    ZoomOut,
    ZoomReset,
    LargerCells,
    SmallerCells,
    OverlayRuns,
    RunTable,
    PairNext,
    PairPrevious,
    PairExclude,
    PairFlip,
    PairPin,
    PairWhy,
    PairBlind,
    BlindLeft,
    BlindRight,
    BlindUnsure,
    BlindBothBad,
    CompareSwap,
    CompareNextSeed,
    ComparePreviousSeed,
    ExportReport,
    ExportFigure,
    ExportCsv,
    ExportMarkdown,
    ExportLatex,
    PairUndo,
    CommandPalette,
    ShortcutSheet,
}

/// Where a command is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    File,
    /// Within File.
    Import,
    /// Within File.
    Export,
    Edit,
    Run,
    View,
    /// In the Pairs tab only.
    Pairs,
    /// In the Compare tab only.
    Compare,
    Help,
}

impl Menu {
    /// All of them, in the order they are shown.
    pub const ALL: [Menu; 9] = [
        Menu::File,
        Menu::Import,
        Menu::Export,
        Menu::Edit,
        Menu::Run,
        Menu::View,
        Menu::Pairs,
        Menu::Compare,
        Menu::Help,
    ];

    /// The tab its single keys belong to.
    fn tab(self) -> Option<PaneKind> {
        match self {
            Menu::Pairs => Some(PaneKind::Pairs),
            Menu::Compare => Some(PaneKind::Compare),
            Menu::File | Menu::Import | Menu::Export | Menu::Edit | Menu::Run | Menu::View | Menu::Help => None,
        }
    }

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Menu::File => "File",
            Menu::Import => "Import",
            Menu::Export => "Export",
            Menu::Edit => "Edit",
            Menu::Run => "Run",
            Menu::View => "View",
            Menu::Pairs => "Pairs",
            Menu::Compare => "Compare",
            Menu::Help => "Help",
        }
    }
}

/// A command.
pub struct Command {
    pub id: CommandId,
    pub menu: Menu,
    pub title: &'static str,
    /// One line of what it does, where the title does not say it.
    pub hint: &'static str,
    /// The first is shown; any works.
    pub shortcuts: &'static [KeyboardShortcut],
    /// Why it cannot be run now.
    pub enabled: fn(&State) -> Result<(), &'static str>,
}

/// A command by its name.
pub fn command(id: CommandId) -> &'static Command {
    // Every id has an entry: a test goes through them.
    COMMANDS.iter().find(|c| c.id == id).unwrap_or(&COMMANDS[0])
}

/// All commands, in the order they are shown.
pub fn all() -> &'static [Command] {
    COMMANDS
}

/// The command whose shortcut was pressed; it is then taken out of the input. While text is edited, only shortcuts with
/// Ctrl are looked at; those of a tab only where it is in front.
pub fn pressed(ctx: &Context, front: PaneKind) -> Option<CommandId> {
    let is_typing = ctx.text_edit_focused();
    // Those with more modifiers first: Ctrl+Z must not take Ctrl+Shift+Z.
    let mut found: Vec<(&Command, &KeyboardShortcut)> =
        COMMANDS.iter().flat_map(|c| c.shortcuts.iter().map(move |s| (c, s))).collect();
    found.sort_by_key(|(_, s)| !(s.modifiers.shift && s.modifiers.command));
    found.retain(|(command, shortcut)| {
        let plain = !shortcut.modifiers.command && !is_function_key(shortcut.logical_key);
        let elsewhere = command.menu.tab().is_some_and(|tab| tab != front);
        !plain || !(is_typing || elsewhere)
    });
    ctx.input_mut(|input| {
        let keys = input.events.iter().filter_map(|event| match event {
            egui::Event::Key { key, pressed: true, modifiers, .. } => Some((*key, *modifiers)),
            _ => None,
        });
        // In the order in which they were pressed: a frame may be long enough for what is typed into what a key opens.
        let mut asked = keys.filter_map(|(key, modifiers)| {
            found.iter().find(|(_, s)| s.logical_key == key && modifiers.matches_logically(s.modifiers))
        });
        if let Some((command, shortcut)) = asked.next() {
            input.consume_shortcut(shortcut);
            return Some(command.id);
        }
        // "?" lies on another key on every keyboard, so the character counts, not the key.
        let is_question = |event: &egui::Event| matches!(event, egui::Event::Text(text) if text == "?");
        (!is_typing && input.events.iter().any(is_question)).then_some(CommandId::ShortcutSheet)
    })
}

fn is_function_key(key: Key) -> bool {
    matches!(key, Key::F1 | Key::F5 | Key::F11 | Key::F8 | Key::F9)
}

const fn ctrl(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

const fn ctrl_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key)
}

const fn plain(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

const NO_WORKSPACE: &str = "no workspace is open";

fn always(_: &State) -> Result<(), &'static str> {
    Ok(())
}

fn needs_workspace(state: &State) -> Result<(), &'static str> {
    if state.opened.is_some() { Ok(()) } else { Err(NO_WORKSPACE) }
}

fn needs_writable(state: &State) -> Result<(), &'static str> {
    needs_workspace(state)?;
    if state.is_writable() { Ok(()) } else { Err("another process writes this workspace: here it can be looked at") }
}

fn needs_images(state: &State) -> Result<(), &'static str> {
    needs_workspace(state)?;
    if state.images_count() > 0 { Ok(()) } else { Err("there are no images: add some first") }
}

fn needs_selection(state: &State) -> Result<(), &'static str> {
    needs_writable(state)?;
    needs_images(state)?;
    if state.selection.images.is_empty() { Err("no image is selected") } else { Ok(()) }
}

/// The recipe must be sound, and no other job of its kind be under way.
fn can_work(state: &State) -> Result<(), &'static str> {
    needs_writable(state)?;
    needs_images(state)?;
    if state.recipe.fault.is_some() {
        return Err("the recipe has a fault: see the Recipe pane");
    }
    if state.jobs.is_active(&[Kind::Generate, Kind::Sample, Kind::Score, Kind::Train, Kind::Compare, Kind::Run]) {
        return Err("another job is under way");
    }
    Ok(())
}

fn needs_held_out(state: &State) -> Result<(), &'static str> {
    let is_any = state.library.as_ref().is_some_and(|l| l.images.iter().any(|image| image.is_held_out()));
    if is_any { Ok(()) } else { Err("no image is held out to compare on: select some in the library and press H") }
}

fn can_run(state: &State) -> Result<(), &'static str> {
    can_work(state)?;
    needs_network(state)?;
    needs_held_out(state)
}

/// Errors: the reference's candidates were imported, and there is no network to train.
fn needs_network(state: &State) -> Result<(), &'static str> {
    match state.recipe.edited.imported() {
        Some(_) => Err("the reference's candidates were imported, and the network that made them is not here"),
        None => Ok(()),
    }
}

fn can_train(state: &State) -> Result<(), &'static str> {
    can_work(state)?;
    needs_network(state)?;
    can_rank(state)
}

/// There are pairs to be made.
fn can_rank(state: &State) -> Result<(), &'static str> {
    can_work(state)?;
    if state.stage() < Stage::Scored { Err("there are no pairs yet: generate candidates first") } else { Ok(()) }
}

fn can_compare(state: &State) -> Result<(), &'static str> {
    can_work(state)?;
    let is_other =
        |l: &Arc<Library>| l.checkpoints.iter().any(|c| c.run.is_some()) || l.others_imported().next().is_some();
    let has_policy = state.library.as_ref().is_some_and(is_other);
    let none = "there is nothing to compare with yet: train, or import the candidates of another model";
    if has_policy { needs_held_out(state) } else { Err(none) }
}

fn needs_pairs(state: &State) -> Result<(), &'static str> {
    needs_images(state)?;
    let has_pairs = state.rewards.as_ref().is_some_and(|r| r.ranking.summary.pairs > 0);
    if has_pairs { Ok(()) } else { Err("there are no pairs yet: generate candidates first") }
}

fn can_judge(state: &State) -> Result<(), &'static str> {
    needs_writable(state)?;
    needs_pairs(state)
}

fn needs_runs(state: &State) -> Result<(), &'static str> {
    needs_workspace(state)?;
    if state.library.as_ref().is_some_and(|l| !l.runs.is_empty()) { Ok(()) } else { Err("there is no run yet") }
}

fn needs_comparison(state: &State) -> Result<(), &'static str> {
    needs_workspace(state)?;
    if state.comparisons.is_empty() { Err("nothing was compared yet") } else { Ok(()) }
}

fn needs_job(state: &State) -> Result<(), &'static str> {
    if state.jobs.active().any(|job| !job.kind.is_quiet()) { Ok(()) } else { Err("no job is under way") }
}

macro_rules! command {
    ($id:ident, $menu:ident, $title:literal, $hint:literal, [$($shortcut:expr),*], $enabled:expr) => {
        Command {
            id: CommandId::$id,
            menu: Menu::$menu,
            title: $title,
            hint: $hint,
            shortcuts: &[$($shortcut),*],
            enabled: $enabled,
        }
    };
}

#[rustfmt::skip]
static COMMANDS: &[Command] = &[
    command!(NewWorkspace, File, "New workspace…", "Makes a workspace in an empty folder", [ctrl(Key::N)], always),
    command!(OpenWorkspace, File, "Open workspace…", "", [ctrl(Key::O)], always),
    command!(OpenExample, File, "Open the example workspace", "Photographs ready to try everything on", [], always),
    command!(AddImages, File, "Add images…", "LR, HR or both; dropping files on the window does the same",
        [ctrl(Key::I)], needs_writable),
    command!(AddFolder, File, "Add a folder…", "", [ctrl_shift(Key::I)], needs_writable),
    command!(ImportCandidates, Import, "Import candidates…", "A folder of SR pictures that another model made, of several seeds",
        [], needs_writable),
    command!(ImportTable, Import, "Import scores or verdicts…", "CSV or JSON lines, by columns; dropping the file does the same", [],
        needs_writable),
    command!(ExportPairs, Export, "Export pairs…", "w/ and l/ folders with JSONL and CSV", [ctrl(Key::E)], needs_pairs),
    command!(ExportPairsHf, Export, "Export pairs for Hugging Face datasets…", "A folder of pictures with metadata.jsonl", [],
        needs_pairs),
    command!(ExportPairsDpo, Export, "Export pairs for Diffusion-DPO…", "Parquet with jpg_0, jpg_1, label_0 and caption", [],
        needs_pairs),
    command!(ExportPairTable, Export, "Export the table of pairs…", "CSV, JSON, JSON lines or Parquet, by the name's ending", [],
        needs_pairs),
    command!(ExportScores, Export, "Export scores…", "CSV, JSON, JSON lines or Parquet, by the name's ending", [], needs_images),
    command!(ExportVerdicts, Export, "Export verdicts…", "CSV, JSON, JSON lines or Parquet, by the name's ending", [], needs_images),
    command!(ExportRun, Export, "Export the steps of the run…",
        "Of the one selected in the Training tab, with its recipe: CSV, JSON, JSON lines or Parquet", [], needs_runs),
    command!(Quit, File, "Quit", "A job in progress goes on at the next start", [ctrl(Key::Q)], always),

    command!(Undo, Edit, "Undo", "Recipe edits, verdicts on pairs, marks and removals", [ctrl(Key::Z)], always),
    command!(Redo, Edit, "Redo", "", [ctrl_shift(Key::Z), ctrl(Key::Y)], always),
    command!(ToggleHeldOut, Edit, "Hold out from training, or put back",
        "The selected images and all of the same photographs; about every third photograph is for validation",
        [plain(Key::H)], needs_selection),
    command!(ForValidation, Edit, "Hold out for validation", "To choose checkpoints by; with all of the same photographs",
        [], needs_selection),
    command!(ForTest, Edit, "Hold out for test", "To report on; with all of the same photographs", [], needs_selection),
    command!(RemoveImages, Edit, "Remove images", "The selected ones; can be undone", [plain(Key::Delete)],
        needs_selection),
    command!(PreviousImage, Edit, "Previous image", "", [plain(Key::OpenBracket), plain(Key::PageUp)], needs_images),
    command!(NextImage, Edit, "Next image", "", [plain(Key::CloseBracket), plain(Key::PageDown)], needs_images),
    command!(ResetRecipe, Edit, "Reset the recipe to its preset", "", [], needs_workspace),
    command!(LoadRecipe, Edit, "Load a recipe…", "A RON file", [], needs_workspace),
    command!(SaveRecipe, Edit, "Save the recipe as…", "A RON file for --preset and for here", [ctrl_shift(Key::S)],
        needs_workspace),

    command!(Generate, Run, "Generate", "Samples and scores the candidates that are missing", [ctrl(Key::G)], can_work),
    command!(GenerateSelected, Run, "Generate for the selected images", "", [ctrl_shift(Key::G)], can_work),
    command!(Curate, Run, "Freeze the reward bounds", "Ranks, pairs and weighs with bounds that no longer move", [],
        can_rank),
    command!(Train, Run, "Train", "Begins a run, or goes on with the last one", [ctrl(Key::T)], can_train),
    command!(Compare, Run, "Compare with the reference", "The best checkpoint of the last run by validation, on the test images",
        [ctrl(Key::R)], can_compare),
    command!(RunAll, Run, "Run the whole loop", "Sample, score, curate, train, compare: what is missing of each", [],
        can_run),
    command!(PauseResume, Run, "Pause or resume", "Takes effect within one step", [plain(Key::F8)], needs_job),
    command!(Cancel, Run, "Cancel the job", "What it did is kept", [ctrl(Key::Period)], needs_job),

    command!(ShowLibrary, View, "Library", "", [ctrl(Key::Num1)], always),
    command!(ShowSeeds, View, "Seeds", "", [ctrl(Key::Num2)], always),
    command!(ShowHeatmaps, View, "Heatmaps", "", [ctrl(Key::Num3)], always),
    command!(ShowMatrix, View, "Matrix of an image's scores", "Seeds × metrics, normalized", [], always),
    command!(ShowMaps, View, "Maps of metrics", "Where in the picture a metric sees errors", [], always),
    command!(ShowRewards, View, "Heat map of all images × seeds", "Rewards of all candidates at once",
        [ctrl_shift(Key::H)], always),
    command!(ShowFrNr, View, "FR × NR scatter", "Where the halves of the reward disagree", [ctrl_shift(Key::F)], always),
    command!(ShowCorrelation, View, "Correlation of metrics", "Which metrics rank alike, and which decide",
        [ctrl_shift(Key::M)], always),
    command!(ShowPairs, View, "Pairs", "", [ctrl(Key::Num4)], always),
    command!(ShowTraining, View, "Training", "", [ctrl(Key::Num5)], always),
    command!(ShowCompare, View, "Compare", "", [ctrl(Key::Num6)], always),
    command!(ShowRecipe, View, "Recipe", "", [ctrl(Key::Num7)], always),
    command!(ShowWeights, View, "Published weights…",
        "What backbones and learned metrics are made of: what is there, what is missing, how to get it", [], always),
    command!(TagImages, Run, "Prompts by the tag model",
        "What RAM sees on each image that has none", [], can_work),
    command!(CheckModel, View, "Check a model…",
        "Whether a backbone's files do what they should: names, decoder, predictions, reward", [], always),
    command!(ToggleLog, View, "Log", "Shows or hides it", [ctrl(Key::J)], always),
    command!(LargerCells, View, "Larger cells", "In the Seeds tab", [plain(Key::Plus), plain(Key::Equals)], always),
    command!(SmallerCells, View, "Smaller cells", "In the Seeds tab", [plain(Key::Minus)], always),
    command!(OverlayRuns, View, "Overlay all runs", "In the Training tab; once more for the selected run alone", [],
        needs_runs),
    command!(RunTable, View, "Table of runs", "In the Training tab: what their recipes differ in; once more for the curves", [],
        needs_runs),
    command!(ToggleTheme, View, "Dark or light", "", [ctrl_shift(Key::L)], always),
    command!(LargerFont, View, "Larger font", "", [ctrl_shift(Key::Period)], always),
    command!(SmallerFont, View, "Smaller font", "", [ctrl_shift(Key::Comma)], always),
    command!(ZoomIn, View, "Zoom in", "", [ctrl(Key::Plus), ctrl(Key::Equals)], always),
    command!(ZoomOut, View, "Zoom out", "", [ctrl(Key::Minus)], always),
    command!(ZoomReset, View, "Reset zoom", "", [ctrl(Key::Num0)], always),
    command!(ResetLayout, View, "Reset the layout", "", [], always),

    command!(PairNext, Pairs, "Next pair", "", [plain(Key::J)], needs_pairs),
    command!(PairPrevious, Pairs, "Previous pair", "", [plain(Key::K)], needs_pairs),
    command!(PairExclude, Pairs, "Exclude the pair", "It is not trained on", [plain(Key::X)], can_judge),
    command!(PairFlip, Pairs, "Flip the pair", "The loser is the better one", [plain(Key::F)], can_judge),
    command!(PairPin, Pairs, "Pin the pair", "It is trained on whatever the selection", [plain(Key::P)], can_judge),
    command!(PairUndo, Pairs, "Undo the last verdict", "Or whatever was done last", [plain(Key::U)], needs_pairs),

    command!(PairWhy, Pairs, "Why this one wins", "The map of the metric that decided most, winner less loser",
        [plain(Key::W)], needs_pairs),
    command!(PairBlind, Pairs, "Judge pairs blindly", "A/B without names or rewards, on shuffled sides",
        [plain(Key::A)], can_judge),
    command!(BlindLeft, Pairs, "A is better", "In the blind test; ← does the same", [plain(Key::Num1)], can_judge),
    command!(BlindRight, Pairs, "B is better", "In the blind test; → does the same", [plain(Key::Num2)], can_judge),
    command!(BlindUnsure, Pairs, "Unsure which is better", "In the blind test; ↓ does the same", [plain(Key::Num3)],
        can_judge),
    command!(BlindBothBad, Pairs, "Both are bad", "In the blind test; ↑ does the same", [plain(Key::Num4)], can_judge),

    command!(CompareSwap, Compare, "Exchange before and after", "", [plain(Key::S)], needs_comparison),
    command!(CompareNextSeed, Compare, "Next seed", "", [plain(Key::Period)], needs_comparison),
    command!(ComparePreviousSeed, Compare, "Previous seed", "", [plain(Key::Comma)], needs_comparison),
    command!(ExportReport, Compare, "Export the report as HTML…", "One file with curves, pictures, recipe and provenance",
        [ctrl_shift(Key::E)], needs_comparison),
    command!(ExportFigure, Compare, "Export the figure as PNG…", "", [], needs_comparison),
    command!(ExportCsv, Compare, "Export the table as CSV…", "", [], needs_comparison),
    command!(ExportMarkdown, Compare, "Export the table as Markdown…", "", [], needs_comparison),
    command!(ExportLatex, Compare, "Export the table as LaTeX…", "", [], needs_comparison),

    command!(CommandPalette, Help, "Command palette", "Every command by its name", [ctrl(Key::K)], always),
    command!(ShortcutSheet, Help, "Keyboard shortcuts", "Also by ?", [plain(Key::F1)], always),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_titles_and_shortcuts_are_unique() {
        let ids: HashSet<_> = COMMANDS.iter().map(|c| c.id).collect();
        let titles: HashSet<_> = COMMANDS.iter().map(|c| c.title).collect();
        assert_eq!((ids.len(), titles.len()), (COMMANDS.len(), COMMANDS.len()));
        assert_eq!(ids.len(), CommandId::ShortcutSheet as usize + 1, "an id has no entry");
        let shortcuts: Vec<_> = COMMANDS.iter().flat_map(|c| c.shortcuts).collect();
        let distinct: HashSet<_> = shortcuts.iter().map(|s| format!("{s:?}")).collect();
        assert_eq!(distinct.len(), shortcuts.len());
    }
}
