//! `iqa --list`: every metric with its facts, by whether it can be used on this machine.

use std::path::Path;

use serde::Serialize;

use super::super::out::{say, write_json};
use super::super::weights::store;
use crate::Result;
use crate::imaging::output;
use crate::iqa::{self, Metric};
use crate::method::recipe::Recipe;
use crate::weights::PartReport;
use crate::weights::report::Standing;

#[derive(Serialize)]
struct Listed {
    name: String,
    title: String,
    kind: &'static str,
    better: &'static str,
    range: (Option<f64>, Option<f64>),
    min_size_px: usize,
    crop_policy: String,
    crops: usize,
    gflop_at_512_px: f64,
    status: &'static str,
    has_map: bool,
    licences: Vec<String>,
    weights: Vec<Weights>,
    paper: String,
    held_out: bool,
    /// What it lacks; empty where it can be used.
    lacks: Vec<String>,
}

/// Some of a metric's weights, and how they stand on this machine.
#[derive(Serialize)]
struct Weights {
    /// As in `weights list`; `None` of those that are in the program and not listed there.
    id: Option<&'static str>,
    state: Standing,
    licence: String,
}

fn weights(metric: &dyn Metric) -> Vec<Weights> {
    let own = Some(metric.info().licence.to_string()).filter(|licence| !licence.is_empty());
    let own = own.map(|licence| Weights { id: None, state: Standing::CompiledIn, licence });
    let brought = PartReport::of_all(store(), metric.needs());
    let brought = brought.into_iter().map(|part| Weights {
        id: Some(part.id),
        state: part.state,
        licence: part.licence.to_owned(),
    });
    own.into_iter().chain(brought).collect()
}

fn listed(metric: &dyn Metric, held_out: &[String]) -> Listed {
    let info = metric.info();
    let bound = |value: f64| Some(value).filter(|value| value.is_finite());
    Listed {
        name: info.name.to_string(),
        title: info.title.to_string(),
        kind: info.kind.adjective(),
        better: info.direction.word(),
        range: (bound(info.range.0), bound(info.range.1)),
        min_size_px: info.min_size_px,
        crop_policy: info.crop_policy.to_string(),
        crops: info.crops,
        gflop_at_512_px: info.gflop,
        status: info.status.phrase(),
        has_map: !info.map.is_empty(),
        licences: metric.licences(),
        weights: weights(metric),
        paper: info.paper.to_string(),
        held_out: held_out.iter().any(|name| *name == info.name),
        lacks: store().lacking(metric.needs()),
    }
}

/// Prints the list, and writes it as JSON where that is asked for.
pub fn list(json: Option<&Path>) -> Result<()> {
    output::check(json)?;
    let held_out = Recipe::default().reward.held_out;
    let metrics = iqa::all();
    let all: Vec<Listed> = metrics.iter().map(|metric| listed(metric.as_ref(), &held_out)).collect();
    let heading = |title: &str, count: usize| say!("{title} ({count})");
    let here = |listed: &&(&Listed, String)| listed.0.lacks.is_empty();
    let all_with_lines: Vec<(&Listed, String)> =
        all.iter().zip(&metrics).map(|(listed, metric)| (listed, line(listed, metric.as_ref()))).collect();
    let available: Vec<_> = all_with_lines.iter().filter(here).collect();
    let (held_out, in_reward): (Vec<_>, Vec<_>) = available.into_iter().partition(|(listed, _)| listed.held_out);
    for (title, some) in
        [("Available", in_reward), ("Available, held out by default: they report, and are not trained on", held_out)]
    {
        heading(title, some.len());
        some.iter().for_each(|(_, line)| say!("  {line}"));
    }
    let lacking: Vec<_> = all_with_lines.iter().filter(|listed| !here(listed)).collect();
    if !lacking.is_empty() {
        heading("Lacks weights", lacking.len());
        for (listed, line) in lacking {
            say!("  {line}");
            listed.lacks.iter().for_each(|cause| say!("  {:16} {cause}", ""));
        }
    }
    write_json(json, &all)
}

fn line(listed: &Listed, metric: &dyn Metric) -> String {
    let info = metric.info();
    let weight = |weights: &Weights| match weights.id {
        Some(id) => format!("{id} {} ({})", weights.state.word(), weights.licence),
        None => format!("{} ({})", weights.state.word(), weights.licence),
    };
    let licence = match listed.weights.iter().map(weight).collect::<Vec<_>>().as_slice() {
        [] => "no weights".to_owned(),
        weights => format!("weights: {}", weights.join(", ")),
    };
    let (name, title, cost) = (&listed.name, &listed.title, info.cost());
    let crops = if info.crops > 1 { format!(", {} crops", info.crops) } else { String::new() };
    let (kind, better, min) = (listed.kind, info.direction.phrase(), info.min_size_px);
    format!("{name:<16} {title}: {kind}, {better}, from {min} px{crops}; {cost}; {licence}")
}
