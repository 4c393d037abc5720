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
        /// Reported only: what it measures is no quality.
        Neither = "neither",
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
            Direction::Higher | Direction::Neither => score,
            Direction::Lower => -score,
        }
    }

    /// "↑" where higher is better, "↓" where lower is, else "·".
    pub fn arrow(self) -> &'static str {
        match self {
            Direction::Higher => "↑",
            Direction::Lower => "↓",
            Direction::Neither => "·",
        }
    }

    /// Such as "higher is better".
    pub fn phrase(self) -> &'static str {
        match self {
            Direction::Higher => "higher is better",
            Direction::Lower => "lower is better",
            Direction::Neither => "neither more nor less is better",
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

/// The unit of a metric's scores; empty where they have none.
pub fn unit(metric: &str) -> &'static str {
    if matches!(metric, "psnr" | "psnr_y" | "lr_psnr" | "grain") { "dB" } else { "" }
}

/// What stands behind the claim that a metric's scores are those of its paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Scores agree with those of an independent implementation on the very weights.
    Compared,
    /// Scores and features agree with those of an independent implementation on generated weights; with the published ones
    /// nobody has compared them yet.
    ComparedOnGenerated,
    /// Defined by this program: there is nothing to compare with.
    Own,
    /// A command: whoever wrote it answers for it.
    Command,
    /// Scores that were computed elsewhere.
    Imported,
}

impl Status {
    /// In words.
    pub fn phrase(self) -> &'static str {
        match self {
            Status::Compared => "scores compared with an independent implementation",
            Status::ComparedOnGenerated => {
                "compared with an independent implementation on generated weights, not yet on the published ones"
            }
            Status::Own => "defined here",
            Status::Command => "a command of your own",
            Status::Imported => "scores from elsewhere",
        }
    }
}

/// What is worth knowing about a metric without running it.
///
/// A metric of this program fills in what differs from [`Info::LEARNED`]: `Info { name: …, ..Info::LEARNED }`.
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
    /// Pieces of the image that are looked at, each on its own; 1 where it is looked at whole.
    pub crops: usize,
    /// Billions of operations that a candidate of 512×512 pixels takes, a multiply-add being two, the reference's half of a
    /// full-reference metric included; 0 where it is less than one. What it takes on a device follows from its speed.
    pub gflop: f64,
    /// Under which terms the weights compiled in are; empty where there are none. Those that are brought say it in their
    /// [`Part`](crate::weights::Part).
    pub licence: Text,
    pub status: Status,
    /// Whether it looks at the LR image that a candidate was made from.
    pub against_lr: bool,
    /// What the values of the map are, larger being more distorted; empty where there is no map.
    pub map: Text,
    /// The paper.
    pub paper: Text,
}

impl Info {
    /// What most metrics with published weights have in common.
    pub const LEARNED: Self = Self {
        name: Cow::Borrowed(""),
        title: Cow::Borrowed(""),
        kind: Kind::NoReference,
        direction: Direction::Higher,
        range: (0.0, 1.0),
        min_size_px: 1,
        version: Cow::Borrowed("1"),
        crop_policy: Cow::Borrowed("none"),
        crops: 1,
        gflop: 0.0,
        licence: Cow::Borrowed(""),
        status: Status::ComparedOnGenerated,
        against_lr: false,
        map: Cow::Borrowed(""),
        paper: Cow::Borrowed(""),
    };

    /// What most metrics about pixels have in common.
    pub const OF_PIXELS: Self = Self { status: Status::Compared, ..Self::LEARNED };

    /// A metric of which no more than this is known: defined on every image, without a map.
    pub fn new(name: impl Into<Text>, kind: Kind, direction: Direction) -> Self {
        let name = name.into();
        Self {
            title: name.clone(),
            name,
            kind,
            direction,
            range: (f64::NEG_INFINITY, f64::INFINITY),
            status: Status::Own,
            ..Self::LEARNED
        }
    }

    /// Whether it compares with a reference image (HR).
    pub fn is_fr(&self) -> bool {
        self.kind == Kind::FullReference
    }

    /// What a candidate of 512×512 pixels costs, in words; the seconds are those of two cores of an ordinary processor.
    pub fn cost(&self) -> String {
        /// Billions of operations a second.
        const TWO_CORES: f64 = 150.0;
        match self.gflop {
            0.0 => "under 1 GFLOP".into(),
            gflop => format!("{gflop:.0} GFLOP, about {} s", short(gflop / TWO_CORES)),
        }
    }

    /// Which pixels are looked at, in words.
    pub fn crop_phrase(&self) -> String {
        match (self.crops, self.crop_policy.as_ref()) {
            (1, "none") => "the whole image".into(),
            (1, policy) => policy.into(),
            (crops, policy) => format!("{crops} crops: {policy}"),
        }
    }

    /// Whether an image of this size in pixels is large enough.
    pub fn is_defined_on(&self, width: usize, height: usize) -> bool {
        width.min(height) >= self.min_size_px
    }
}

/// Two digits that mean something.
fn short(seconds: f64) -> String {
    let decimals = (1.0 - seconds.log10().floor()).clamp(0.0, 3.0);
    format!("{seconds:.*}", decimals as usize)
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
