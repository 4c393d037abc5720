//! The recipes that come with the product, compiled in from `presets/*.ron`.

use std::path::Path;

use super::recipe::Recipe;
use crate::backbones::registry;
use crate::{Error, Result};

/// The preset a workspace starts with.
pub const DEFAULT: &str = "mini-demo";

/// Name and text of each preset.
const PRESETS: [(&str, &str); 4] = [
    (DEFAULT, include_str!("../../presets/mini-demo.ron")),
    ("mini-paper", include_str!("../../presets/mini-paper.ron")),
    ("sd2-paper", include_str!("../../presets/sd2-paper.ron")),
    ("flux-paper", include_str!("../../presets/flux-paper.ron")),
];

/// Names of the presets, in the order they are shown.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// What a preset is for: the remark that its file begins with. Empty where there is no such preset.
pub fn purpose(name: &str) -> String {
    let text = PRESETS.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
    text.lines().map_while(|line| line.strip_prefix("//")).map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The preset of this name; the error of an unknown one lists those there are.
pub fn preset(name: &str) -> Result<Recipe> {
    match PRESETS.iter().find(|(known, _)| *known == name) {
        Some((known, text)) => Recipe::from_ron(text, format!("presets/{known}.ron")),
        None => Err(Error::invalid(format!(
            "there is no preset `{}`; there are {}",
            name.escape_debug(),
            preset_names().collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// The defaults with the sampling and training that a backbone's paper has; where there is none, with the solver that its card names last.
/// Errors: it is not in this program.
pub fn of_backbone(name: &str) -> Result<Recipe> {
    let mut recipe = preset(DEFAULT)?;
    if name == recipe.sampling.backbone {
        return Ok(recipe);
    }
    if let Ok(paper) = preset(&format!("{name}-paper")) {
        (recipe.sampling, recipe.training, recipe.data.crop_px) = (paper.sampling, paper.training, paper.data.crop_px);
        return Ok(recipe);
    }
    let card = registry::card_of(name)?;
    recipe.sampling.backbone = name.into();
    if let Some(solver) = card.solvers.last() {
        recipe.sampling.solver = *solver;
    }
    Ok(recipe)
}

/// What `--preset` names: a preset of the product, or else a RON file.
pub fn preset_or_file(name_or_path: &str) -> Result<Recipe> {
    let path = Path::new(name_or_path);
    let looks_like_file = path.extension().is_some() || path.components().count() > 1;
    if looks_like_file || (path.is_file() && !preset_names().any(|name| name == name_or_path)) {
        Recipe::load(path)
    } else {
        preset(name_or_path)
    }
}
