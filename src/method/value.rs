//! The types a setting can have, how they read from text and how they print.

use std::collections::BTreeMap;
use std::fmt;

use super::choices::{
    Activations, Augmentation, Events, Mode, Objective, PairNoise, RoundReference, Scope, TimeWeights, Times, Winners,
};
use crate::backbones::products::Products;
use crate::backbones::solver::Solver;
use crate::backbones::stored::Keep;
use crate::imaging::color_fix::ColorFix;
use crate::imaging::quantize::Rounding;
use crate::iqa::External;
use crate::iqa::external;

/// The value of a setting, typed, as a slider or a text field hands it over.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Count(u64),
    Number(f64),
    Choice(&'static str),
    Text(String),
    /// Metric name → weight.
    Weights(BTreeMap<String, f64>),
    /// Metric names.
    Names(Vec<String>),
    /// Commands that are metrics.
    External(Vec<External>),
}

/// What a setting accepts; prints as the end of the sentence "accepted is …".
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accepted {
    /// A whole number, both ends included.
    Count { min: u64, max: u64 },
    /// A finite number, both ends included.
    Number { min: f64, max: f64 },
    /// A finite number above 0 and at most `max`.
    Positive { max: f64 },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any text without line breaks; empty only where `optional`.
    Text { optional: bool },
    /// Metric names, each with a weight from 0 to [`MAX_WEIGHT`].
    Weights,
    /// Metric names, each at most once.
    Names,
    /// Commands that are metrics, in RON.
    External,
}

/// Largest weight of a metric; weights are relative, so the bound only keeps sums finite.
pub const MAX_WEIGHT: f64 = 1e6;

impl Accepted {
    /// Whether the value is of the right type and in range.
    pub fn admits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Count { min, max }, Value::Count(v)) => (min..=max).contains(&v),
            (Self::Number { min, max }, Value::Number(v)) => (min..=max).contains(&v),
            (Self::Positive { max }, Value::Number(v)) => *v > 0.0 && v <= max,
            (Self::Choice(options), Value::Choice(v)) => options.contains(v),
            (Self::Text { optional }, Value::Text(v)) => (*optional || !v.is_empty()) && !v.contains(['\n', '\r']),
            (Self::Weights, Value::Weights(v)) => {
                v.iter().all(|(name, w)| is_name(name) && (0.0..=MAX_WEIGHT).contains(w))
            }
            (Self::Names, Value::Names(v)) => {
                v.iter().enumerate().all(|(i, name)| is_name(name) && !v[..i].contains(name))
            }
            (Self::External, Value::External(v)) => external::fault_of(v).is_none(),
            _ => false,
        }
    }

    /// Why a value of the right type is not admitted, where more can be said than what is accepted.
    pub fn fault(&self, value: &Value) -> Option<String> {
        match (self, value) {
            (Self::External, Value::External(v)) => external::fault_of(v),
            _ => None,
        }
    }

    /// Reads text as a value of this type, `None` where it does not read as one. Numbers may be fractions
    /// (`1/4`); lists are separated by commas, weights follow a colon (`stlpips:1,ms_ssim:0.5`; 1 if left out).
    pub fn parse(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Some(match self {
            Self::Count { .. } => Value::Count(text.parse().ok()?),
            Self::Number { .. } | Self::Positive { .. } => Value::Number(parse_number(text)?),
            Self::Choice(options) => Value::Choice(options.iter().find(|option| **option == text)?),
            Self::Text { .. } => Value::Text(text.to_owned()),
            Self::Weights => {
                let mut map = BTreeMap::new();
                for item in items() {
                    let (name, weight) = item.split_once(':').unwrap_or((item, "1"));
                    let weight = parse_number(weight.trim())?;
                    if map.insert(name.trim().to_owned(), weight).is_some() {
                        return None;
                    }
                }
                Value::Weights(map)
            }
            Self::Names => Value::Names(items().map(str::to_owned).collect()),
            Self::External if text.is_empty() => Value::External(Vec::new()),
            Self::External => Value::External(ron::from_str(text).ok()?),
        })
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { min, max: u64::MAX } => write!(f, "a whole number from {min}"),
            Self::Count { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Number { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Positive { max } => write!(f, "a number above 0, at most {max}"),
            Self::Choice(options) => write!(f, "one of {}", options.join(", ")),
            Self::Text { optional: true } => write!(f, "one line of text"),
            Self::Text { optional: false } => write!(f, "one line of text, not empty"),
            Self::Weights => {
                write!(f, "metric names with weights from 0 to {MAX_WEIGHT}, such as stlpips:1,ms_ssim:0.5")
            }
            Self::Names => write!(f, "different names, such as psnr,ssim"),
            Self::External => write!(
                f,
                "a list of commands, such as [(name:\"mine\",program:[\"/usr/bin/prog\",\"{{image}}\"],direction:higher,kind:nr)]"
            ),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(v) => write!(f, "{v}"),
            Self::Number(v) => write!(f, "{v}"),
            Self::Choice(v) => write!(f, "{v}"),
            Self::Text(v) => write!(f, "{v}"),
            Self::Weights(map) => {
                let items: Vec<_> = map.iter().map(|(name, w)| format!("{name}:{w}")).collect();
                write!(f, "{}", items.join(","))
            }
            Self::Names(names) => write!(f, "{}", names.join(",")),
            Self::External(commands) if commands.is_empty() => Ok(()),
            Self::External(commands) => f.write_str(&ron::to_string(commands).map_err(|_| fmt::Error)?),
        }
    }
}

/// A number or a fraction of two numbers.
fn parse_number(text: &str) -> Option<f64> {
    match text.split_once('/') {
        None => text.parse().ok(),
        Some((over, under)) => {
            let (over, under): (f64, f64) = (over.trim().parse().ok()?, under.trim().parse().ok()?);
            Some(over / under)
        }
    }
}

/// Whether a metric name can be written in a list: no separators, no blanks.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains([',', ':', '=']) && !name.contains(char::is_whitespace)
}

/// A type that can sit in a recipe.
pub trait Setting: Sized {
    /// The value as [`Value`].
    fn to_value(&self) -> Value;
    /// Back from [`Value`]; `None` where it is of another type.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! setting {
    ($type:ty, $variant:ident, $inner:ty) => {
        impl Setting for $type {
            fn to_value(&self) -> Value {
                Value::$variant(self.clone() as $inner)
            }
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(v) => v.try_into().ok(),
                    _ => None,
                }
            }
        }
    };
}
setting!(usize, Count, u64);
setting!(u64, Count, u64);
setting!(f64, Number, f64);
setting!(String, Text, String);
setting!(BTreeMap<String, f64>, Weights, BTreeMap<String, f64>);
setting!(Vec<String>, Names, Vec<String>);
setting!(Vec<External>, External, Vec<External>);

macro_rules! choices {
    ($($name:ty),+) => {$(
        impl Setting for $name {
            fn to_value(&self) -> Value {
                Value::Choice(self.word())
            }
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Choice(word) => Self::from_word(word),
                    _ => None,
                }
            }
        }
    )+};
}
choices!(
    Solver,
    Products,
    ColorFix,
    Rounding,
    Keep,
    Scope,
    Mode,
    Objective,
    Times,
    TimeWeights,
    PairNoise,
    Winners,
    Activations,
    Augmentation,
    Events,
    RoundReference
);
