//! `attribution`: which metric decides the ranking, and weights under which all decide alike.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use super::client::{Client, assign, setting};
use super::out::{say, write_json};
use crate::engine::protocol::{Answer, Attributed, Query};
use crate::imaging::output;
use crate::method::attribution::{Attribution, GroupAttribution};
use crate::method::balance::Balanced;
use crate::report::table::{Form, Table};
use crate::workspace::Workspace;
use crate::{Error, Result};

/// What is to decide in equal parts.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Balance {
    /// Every metric.
    Metrics,
    /// The FR and the NR half; weights within them stay.
    Halves,
}

#[derive(clap::Args)]
pub struct Arguments {
    workspace: PathBuf,
    /// Looks at another setting without keeping it, such as `--set balance=0.6`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting, conflicts_with = "balance")]
    set: Vec<String>,
    /// Keeps weights in the workspace's recipe under which these decide the ranking in equal parts.
    #[arg(long)]
    balance: Option<Balance>,
    /// Writes all of it to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the metrics' parts, over all images and in each, as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

#[derive(Serialize)]
struct Written<'a> {
    /// The names of its groups.
    images: &'a [String],
    #[serde(flatten)]
    attribution: &'a Attribution,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    output::check([&arguments.json, &arguments.csv].into_iter().filter_map(|path| path.as_deref()))?;
    let dir = &arguments.workspace;
    let mut client = if arguments.balance.is_some() { Client::open(dir, &[]) } else { Client::look(dir) }?;
    let mut recipe = client.recipe();
    assign(&mut recipe, &arguments.set)?;
    let mut attributed = ask(&mut client, &recipe)?;
    if let Some(balance) = arguments.balance {
        let Attribution { balanced_metrics, balanced_halves, .. } = attributed.attribution;
        let (balanced, lacking) = match balance {
            Balance::Metrics => (balanced_metrics, "fewer than two metrics count and vary within the groups"),
            Balance::Halves => (balanced_halves, "only one half counts and varies within the groups"),
        };
        let balanced = balanced.ok_or_else(|| Error::invalid(format!("nothing to balance: {lacking}")))?;
        recipe.reward = balanced.into_reward(recipe.reward);
        client.replace_recipe(recipe.clone())?;
        for key in ["reward.fr", "reward.nr", "reward.fr_balance"] {
            say!("{key}={}", recipe.get(key)?);
        }
        attributed = ask(&mut client, &recipe)?;
    }
    print(&attributed.attribution);
    let ledger = Workspace::open_read_only(dir)?;
    let name = |id: &_| ledger.ledger().image(*id).map(|image| image.name);
    let images: Vec<String> = attributed.images.iter().map(name).collect::<Result<_>>()?;
    write_json(arguments.json.as_deref(), &Written { images: &images, attribution: &attributed.attribution })?;
    match &arguments.csv {
        Some(path) => output::write(path, &table(&attributed.attribution, &images).bytes(Form::Csv)?),
        None => Ok(()),
    }
}

fn ask(client: &mut Client, recipe: &crate::method::recipe::Recipe) -> Result<Attributed> {
    match client.ask(Query::Attribution { set: None, recipe: Box::new(recipe.clone()) })? {
        Answer::Attribution(attributed) => Ok(attributed.as_ref().clone()),
        _ => Err(Error::invalid("the engine answered something else")),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn or_dash(value: Option<f64>, shown: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".into(), shown)
}

fn print(of: &Attribution) {
    let rho = |value: Option<f64>| or_dash(value, |rho| format!("{rho:+.2}"));
    say!(
        "{:<16}{:>6}{:>12}{:>12}{:>8}{:>16}{:>14}{:>10}",
        "metric",
        "half",
        "coefficient",
        "share of R",
        "ρ(R)",
        "decides alone",
        "winners lead",
        "by seed"
    );
    for metric in &of.metrics {
        let (half, share) = (metric.kind.word(), percent(metric.share));
        let (with_reward, decides) = (rho(metric.with_reward), percent(metric.decides));
        let counts = |text: String| if metric.coefficient > 0.0 { text } else { "held out".into() };
        let (coefficient, share) = (counts(format!("{:.3}", metric.coefficient)), share);
        let lead = or_dash(metric.lead, |lead| format!("{lead:+.2} σ"));
        let by_seed = or_dash(metric.by_seed, percent);
        say!(
            "{:<16}{half:>6}{coefficient:>12}{share:>12}{with_reward:>8}{decides:>16}{lead:>14}{by_seed:>10}",
            metric.name
        );
    }
    let [fr, nr] = of.halves;
    say!("halves          FR {}, NR {}", percent(fr), percent(nr));
    say!(
        "conflict        FR and NR disagree about {} of {} pairs, and about {} of any two candidates",
        or_dash(of.conflict, percent),
        of.pairs,
        or_dash(of.conflict_of_all, percent)
    );
    say!("Spearman's ρ within groups, higher being better:");
    let names = of.metrics.iter().map(|metric| format!("{:>10.9}", metric.name)).collect::<String>();
    say!("{:<16}{names}", "");
    for (metric, row) in of.metrics.iter().zip(&of.correlations) {
        let cells = row.iter().map(|&value| format!("{:>10}", rho(value))).collect::<String>();
        say!("{:<16}{cells}", metric.name);
    }
    for (what, balanced) in [("metrics", &of.balanced_metrics), ("halves", &of.balanced_halves)] {
        if let Some(Balanced { fr, nr, fr_balance }) = balanced {
            let weights = |half: &std::collections::BTreeMap<String, f64>| {
                half.iter().map(|(name, weight)| format!("{name}:{weight:.3}")).collect::<Vec<_>>().join(",")
            };
            say!("--balance {what} would set fr={} nr={} balance={fr_balance:.3}", weights(fr), weights(nr));
        }
    }
}

fn table(of: &Attribution, images: &[String]) -> Table {
    let mut table = Table::new(&[
        "image",
        "metric",
        "kind",
        "coefficient",
        "share",
        "spearman_with_reward",
        "decides_alone",
        "winners_lead",
        "by_seed",
        "conflict",
    ]);
    for metric in &of.metrics {
        table.push([
            json!(null),
            json!(metric.name),
            json!(metric.kind.word()),
            json!(metric.coefficient),
            json!(metric.share),
            json!(metric.with_reward),
            json!(metric.decides),
            json!(metric.lead),
            json!(metric.by_seed),
            json!(of.conflict),
        ]);
    }
    for (image, GroupAttribution { shares, with_reward, conflict, .. }) in images.iter().zip(&of.groups) {
        for ((metric, share), with_reward) in of.metrics.iter().zip(shares).zip(with_reward) {
            table.push([
                json!(image),
                json!(metric.name),
                json!(metric.kind.word()),
                json!(metric.coefficient),
                json!(share),
                json!(with_reward),
                json!(null),
                json!(null),
                json!(null),
                json!(conflict),
            ]);
        }
    }
    table
}
