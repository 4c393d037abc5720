//! Scores that were computed elsewhere, by another program or by people, as scores of the reference's candidates.
//!
//! A metric that this program does not have is taken as the file declares it. Nothing is computed for it here: candidates that
//! the file says nothing of stay without its score.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::ByName;
use super::lines::{self, Row};
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::metrics;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::iqa::{self, Direction, External, Kind, MetricKey};
use crate::workspace::{CandidateId, NewScore};
use crate::{Error, Result};

/// What is kept as the device of a score that was imported.
const DEVICE: &str = "imported";

/// Records the scores of a file, CSV with a heading or JSON lines: `image` (its name), `seed`, `metric`, `value`, and for a metric
/// that is not known yet `direction` (higher, lower) and `kind` (fr, nr). All or nothing of it.
pub fn scores(context: &mut Context, path: &Path) -> Result<Outcome> {
    let lines = lines::read(path, &COLUMNS, Line::of)?;
    if lines.is_empty() {
        return Err(Error::file(path, "there are no scores in it"));
    }
    let set = context.reference_set()?;
    let mut recipe = context.recipe.clone();
    let (mut declared, mut keys) = (Vec::new(), Vec::new());
    for (name, line) in firsts(&lines) {
        let fault = |cause: String| Error::file(path, format!("line {}: {cause}", line.number));
        if iqa::by_name(name).is_ok() {
            return Err(fault(format!(
                "`{name}` is a metric of this program, whose scores are computed here; call that of the file otherwise, such as \
                 `{name}_imported`"
            )));
        }
        if !recipe.metrics.external.iter().any(|known| known.name == name) {
            let metric = line.declared().map_err(fault)?;
            declared.push(name.to_owned());
            recipe.metrics.external.push(metric);
        }
        match recipe.metrics.external.iter().find(|known| known.name == name) {
            Some(known) if !known.is_imported() => {
                return Err(fault(format!("`{name}` is a command of the recipe, which computes its scores itself")));
            }
            Some(known) => line.check(known).map_err(fault)?,
            None => {}
        }
        keys.push(metrics::by_name(&recipe, name)?.key(&context.store()));
    }
    if !declared.is_empty() {
        context.adopt_recipe(recipe)?;
    }
    let workspace = context.workspace()?;
    let images = ByName::of(workspace.ledger().images()?);
    let candidates = workspace.ledger().candidates(&set)?;
    let candidates: HashMap<_, CandidateId> = candidates.iter().map(|c| ((c.image, c.seed), c.id)).collect();
    let (mut new, mut failed, mut named) = (Vec::new(), Failures::of(lines.len()), BTreeMap::new());
    for line in &lines {
        let image = images.find(&line.image);
        let candidate = image.as_ref().ok().and_then(|image| candidates.get(&(image.id, line.seed)));
        match candidate {
            Some(&candidate) => {
                let metric = place(&keys, &line.metric);
                new.push(NewScore { candidate, metric, value: line.value });
            }
            None => {
                let what = match image {
                    Err(cause) => cause,
                    Ok(image) => {
                        format!("{}: seed {} is not among the reference's candidates", image.name, line.seed)
                    }
                };
                *named.entry(what).or_insert(0) += 1;
            }
        }
    }
    for (what, count) in named {
        context.log(Level::Warning, format!("not imported ({count} scores): {what}"));
        (0..count).for_each(|_| failed.add(&what));
    }
    workspace.ledger().record_scores(DEVICE, &keys, &new)?;
    let touched: std::collections::BTreeSet<_> =
        lines.iter().filter_map(|line| images.find(&line.image).ok()).map(|i| i.id).collect();
    touched.into_iter().for_each(|image| context.changed(Change::Scores(image)));
    for name in declared {
        context.log(
            Level::Info,
            format!("`{name}` is a metric of this workspace now; weigh it in reward.fr or reward.nr, or name it in reward.held_out"),
        );
    }
    Ok(Outcome::Scored { scores: new.len(), failed })
}

fn place(keys: &[MetricKey], metric: &str) -> usize {
    keys.iter().position(|key| key.metric == metric).unwrap_or(usize::MAX)
}

/// The first line of every metric, in the order of the file.
fn firsts(lines: &[Line]) -> Vec<(&str, &Line)> {
    let mut firsts: Vec<(&str, &Line)> = Vec::new();
    for line in lines {
        if firsts.iter().all(|(name, _)| *name != line.metric) {
            firsts.push((&line.metric, line));
        }
    }
    firsts
}

/// One score of the file.
#[derive(Debug)]
struct Line {
    /// Counted from 1.
    number: usize,
    image: String,
    seed: u64,
    metric: String,
    value: f64,
    direction: Option<String>,
    kind: Option<String>,
}

impl Line {
    fn of(row: &Row) -> std::result::Result<Self, String> {
        let value = row.needed("value")?;
        let number = value.parse().ok().filter(|value: &f64| value.is_finite());
        let word = |column: &str| row.get(column).map(str::to_owned);
        Ok(Self {
            number: row.number,
            image: row.needed("image")?.to_owned(),
            seed: row.seed("seed")?,
            metric: row.needed("metric")?.to_owned(),
            value: number.ok_or_else(|| format!("the value `{}` is no number", value.escape_debug()))?,
            direction: word("direction"),
            kind: word("kind"),
        })
    }

    fn facts(&self) -> std::result::Result<(Option<Direction>, Option<Kind>), String> {
        let direction = self.direction.as_deref().map(|word| {
            Direction::from_word(word)
                .ok_or_else(|| format!("direction is higher or lower, not `{}`", word.escape_debug()))
        });
        let kind = self.kind.as_deref().map(|word| {
            Kind::from_word(word).ok_or_else(|| format!("kind is fr or nr, not `{}`", word.escape_debug()))
        });
        Ok((direction.transpose()?, kind.transpose()?))
    }

    /// The metric that it declares.
    fn declared(&self) -> std::result::Result<External, String> {
        let (Some(direction), Some(kind)) = self.facts()? else {
            return Err(format!(
                "`{}` is a metric that is not known here: say its direction (higher or lower) and its kind (fr or nr)",
                self.metric.escape_debug()
            ));
        };
        let metric = External { name: self.metric.clone(), direction, kind, ..External::default() };
        metric.fault().map_or(Ok(metric), Err)
    }

    /// Errors: it says something else of a metric than what is known.
    fn check(&self, known: &External) -> std::result::Result<(), String> {
        let (direction, kind) = self.facts()?;
        let differs = direction.is_some_and(|d| d != known.direction) || kind.is_some_and(|k| k != known.kind);
        match differs {
            true => Err(format!(
                "`{}` is known as {}, {}; the file says otherwise",
                known.name,
                known.kind.adjective(),
                known.direction.phrase()
            )),
            false => Ok(()),
        }
    }
}

const COLUMNS: [&str; 4] = ["image", "seed", "metric", "value"];

#[cfg(test)]
mod tests {
    use super::*;

    fn csv_lines(text: &str) -> std::result::Result<Vec<Line>, String> {
        lines::parse(text, &COLUMNS, Line::of)
    }

    #[test]
    fn faults_of_a_file_are_named_by_line() {
        let fault = |text: &str| csv_lines(text).unwrap_err();
        assert_eq!(
            fault("image,seed,metric\n"),
            "line 1: no column is called value; image, seed, metric and value are needed"
        );
        assert_eq!(fault("image,seed,metric,value\na,1,m,NaN"), "line 2: the value `NaN` is no number");
        assert_eq!(fault("image,seed,metric,value\na,-1,m,0"), "line 2: the seed `-1` is no whole number");
        assert_eq!(fault("{\"image\": \"a\", \"seed\": 1, \"metric\": \"m\"}"), "line 1: there is no value");
        let lines = csv_lines("Value,image,seed,metric,direction,kind\n0.5,\"a, b\",18446744073709551615,m,lower,fr\n")
            .unwrap();
        assert_eq!((lines[0].image.as_str(), lines[0].seed, lines[0].value), ("a, b", u64::MAX, 0.5));
        assert_eq!(lines[0].declared().unwrap().direction, Direction::Lower);
        let undeclared = csv_lines("image,seed,metric,value\na,1,m,0").unwrap();
        assert!(undeclared[0].declared().unwrap_err().contains("say its direction"));
    }
}
