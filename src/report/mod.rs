//! A comparison of two checkpoints in the forms that leave the studio: for a spreadsheet, a paper, a colleague.
//!
//! * [`rows`]: the table all forms share, and the studio shows. [`csv`], [`markdown`], [`latex`]: its texts.
//! * [`table`]: rows for notebooks, also as [`parquet`]. [`lines`]: curves of many runs. [`events`]: curves for TensorBoard. [`figure`]: the image sheet with curves below it. [`html`]: everything on one page, with [`svg`] curves and [`blind`] pairs.
//!
//! Everything here is a pure function of what it is given; reading pictures and writing files is the engine's.

pub mod blind;
pub mod csv;
mod escape;
pub mod events;
pub mod figure;
pub mod html;
pub mod latex;
pub mod lines;
pub mod markdown;
pub mod parquet;
pub mod plot;
pub mod rows;
pub mod svg;
pub mod table;
#[cfg(test)]
mod tests;

use crate::imaging::Image;
use crate::iqa::MetricKey;
use crate::method::changes::Change;
use crate::method::evaluation::Comparison;

/// A comparison and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub comparison: Comparison,
    /// [`Comparison::changes`], the most improved first.
    pub changes: Vec<Change>,
    pub provenance: Provenance,
}

/// What one has to know to get the same numbers again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provenance {
    /// Name and version of the program.
    pub program: String,
    /// Name of the workspace's directory.
    pub workspace: String,
    pub backbone: String,
    /// How candidates were sampled, such as `euler/10`.
    pub sampler: String,
    /// What was computed on.
    pub device: String,
    /// SHA-256 of the weights before and after.
    pub weights: [String; 2],
    /// The seeds, one for each column of the comparison.
    pub seeds: Vec<u64>,
    pub metrics: Vec<MetricSource>,
    /// The recipe, RON.
    pub recipe: String,
    /// Seconds since 1970 UTC.
    pub made_at_secs: u64,
}

/// Where the scores of a metric come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricSource {
    pub key: MetricKey,
    /// The frozen reward bounds, where it has some.
    pub bounds: Option<[f64; 2]>,
}

/// The pictures of one candidate before and after.
#[derive(Clone, Debug)]
pub struct Pictures {
    pub change: Change,
    pub lr: Image,
    pub hr: Option<Image>,
    pub before: Image,
    pub after: Image,
}

/// A pair whose sides are not told.
#[derive(Clone, Debug)]
pub struct BlindPair {
    pub pictures: Pictures,
    pub before_is_a: bool,
}

/// The pictures of a page.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The most improved candidates.
    pub improved: Vec<Pictures>,
    /// The most worsened ones.
    pub worsened: Vec<Pictures>,
    /// Those to be judged blindly.
    pub blind: Vec<BlindPair>,
}

/// The forms a report can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Everything on one page.
    Html,
    /// Image sheet and curves.
    Figure,
    Csv,
    Markdown,
    Latex,
    /// Every reward, image × seed.
    SeedsCsv,
}

impl Format {
    /// All of them, in the order they are offered.
    pub const ALL: [Format; 6] =
        [Format::Html, Format::Figure, Format::Csv, Format::Markdown, Format::Latex, Format::SeedsCsv];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Format::Html => "Report as HTML…",
            Format::Figure => "Figure as PNG…",
            Format::Csv => "Table as CSV…",
            Format::Markdown => "Table as Markdown…",
            Format::Latex => "Table as LaTeX…",
            Format::SeedsCsv => "Rewards by seed as CSV…",
        }
    }

    /// What it is for.
    pub fn hint(self) -> &'static str {
        match self {
            Format::Html => "One file with curves, pictures, recipe and provenance; needs no network",
            Format::Figure => "LR, HR, before and after at the same seeds, with the curves below",
            Format::Csv => "Full precision, for a spreadsheet",
            Format::Markdown => "For a README or an issue",
            Format::Latex => "A booktabs table for a paper",
            Format::SeedsCsv => "Before and after of every image and seed, for plots of your own",
        }
    }

    /// Extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Html => "html",
            Format::Figure => "png",
            Format::Csv | Format::SeedsCsv => "csv",
            Format::Markdown => "md",
            Format::Latex => "tex",
        }
    }

    /// A name for the file of a comparison, legal on every system.
    pub fn file_name(self, comparison: &Comparison) -> String {
        let legal = |text: &str| -> String {
            let kept = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' });
            kept.take(40).collect()
        };
        let what = if self == Format::SeedsCsv { "-seeds" } else { "" };
        format!("{}-to-{}{what}.{}", legal(&comparison.a), legal(&comparison.b), self.extension())
    }
}
