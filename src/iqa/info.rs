//! The facts of a metric: one type for all who ask, from the registry to the tables of the method.

use std::borrow::Cow;

use crate::words::words;

/// A fact in words: compiled in, or of a metric that came with a recipe.
pub type Text = Cow<'static, str>;

/// A text that is compiled in.
pub const fn text(text: &'static str) -> Text {
    Cow::Borrowed(text)
}

words! {
    /// Which way a score improves.
    pub enum Direction {
        #[serde(alias = "Higher")]
        Higher = "higher",
        #[serde(alias = "Lower")]
        Lower = "lower",
    }
}

words! {
    /// Whether a metric compares with a reference image (HR) or judges the image alone.
    pub enum Kind {
        #[serde(alias = "FR")]
        FullReference = "fr",
        #[serde(alias = "NR")]
        NoReference = "nr",
    }
}

impl Direction {
    /// The score with its sign set so that higher is better.
    pub fn align(self, score: f64) -> f64 {
        match self {
            Direction::Higher => score,
            Direction::Lower => -score,
        }
    }

    /// "↑" where higher is better, else "↓".
    pub fn arrow(self) -> &'static str {
        match self {
            Direction::Higher => "↑",
            Direction::Lower => "↓",
        }
    }

    /// Such as "higher is better".
    pub fn phrase(self) -> &'static str {
        match self {
            Direction::Higher => "higher is better",
            Direction::Lower => "lower is better",
        }
    }
}

impl Kind {
    /// Such as "full-reference".
    pub fn adjective(self) -> &'static str {
        match self {
            Kind::FullReference => "full-reference",
            Kind::NoReference => "no-reference",
        }
    }
}

/// What is worth knowing about a metric without running it.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The name in code, files and commands; pyiqa's where pyiqa has the metric.
    pub name: Text,
    /// The name for people.
    pub title: Text,
    pub kind: Kind,
    pub direction: Direction,
    /// Lowest and highest score to expect; no score is clamped to it.
    pub range: (f64, f64),
    /// Width and height an image needs at least.
    pub min_size_px: usize,
    /// The definition followed, kept with every score. It changes whenever a score could.
    pub version: Text,
    /// Which pixels the score covers, kept with every score.
    pub crop_policy: Text,
    /// What the values of the map are, larger being more distorted; empty where there is no map.
    pub map: Text,
    /// The paper.
    pub paper: Text,
}

impl Info {
    /// A metric of which no more than this is known: defined on every image, without a map.
    pub fn new(name: impl Into<Text>, kind: Kind, direction: Direction) -> Self {
        let name = name.into();
        Self {
            title: name.clone(),
            name,
            kind,
            direction,
            range: (f64::NEG_INFINITY, f64::INFINITY),
            min_size_px: 1,
            version: text("1"),
            crop_policy: text("none"),
            map: text(""),
            paper: text(""),
        }
    }

    /// Whether it compares with a reference image (HR).
    pub fn is_fr(&self) -> bool {
        self.kind == Kind::FullReference
    }

    /// Whether an image of this size in pixels is large enough.
    pub fn is_defined_on(&self, width: usize, height: usize) -> bool {
        width.min(height) >= self.min_size_px
    }
}

/// A metric as it was computed, exactly enough to know whether a score would come out the same today: two scores compare
/// where their keys are equal. Kept with every score.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricKey {
    /// [`Info::name`].
    pub metric: String,
    /// Names the weights; "none" (in old ledgers empty) where there are none.
    pub weights_hash: String,
    /// [`Info::crop_policy`].
    pub crop_policy: String,
    /// [`Info::version`].
    pub version: String,
}
