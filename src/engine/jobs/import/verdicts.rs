//! Verdicts on pairs that were made elsewhere: by another person, or in another copy of the workspace.

use std::path::Path;

use super::ByName;
use super::lines::{self, Row};
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::protocol::{Change, Outcome};
use crate::workspace::{OverrideKind, PairOverride};
use crate::{Error, Result};

const COLUMNS: [&str; 4] = ["image", "winner_seed", "loser_seed", "verdict"];

/// Records the verdicts of a file, CSV with a heading or JSON lines, as `export WS verdicts` writes them: what is known of a pair is
/// replaced. Lines about other images or candidates are named and left out.
pub fn verdicts(context: &mut Context, path: &Path) -> Result<Outcome> {
    let lines = lines::read(path, &COLUMNS, Line::of)?;
    if lines.is_empty() {
        return Err(Error::file(path, "there are no verdicts in it"));
    }
    let set = context.reference_set()?;
    let workspace = context.workspace()?;
    let ledger = workspace.ledger();
    let images = ByName::of(ledger.images()?);
    let mut failed = Failures::of(lines.len());
    let recorded = ledger.atomically(|ledger| {
        let mut recorded = 0;
        for line in &lines {
            let number = line.number;
            let image = match images.find(&line.image) {
                Ok(image) => image,
                Err(cause) => {
                    failed.add(format!("line {number}: {cause}"));
                    continue;
                }
            };
            let group = ledger.group(&set, image.id)?;
            let absent = [line.winner, line.loser].into_iter().find(|seed| group.iter().all(|c| c.seed != *seed));
            if let Some(seed) = absent {
                failed
                    .add(format!("line {number}: {}: seed {seed} is not among the reference's candidates", image.name));
                continue;
            }
            let (winner_seed, loser_seed) = (line.winner, line.loser);
            ledger.set_override(&set, &PairOverride { image: image.id, winner_seed, loser_seed, kind: line.kind })?;
            recorded += 1;
        }
        Ok(recorded)
    })?;
    context.changed(Change::Overrides);
    Ok(Outcome::Judged { verdicts: recorded, failed })
}

struct Line {
    number: usize,
    image: String,
    winner: u64,
    loser: u64,
    kind: OverrideKind,
}

impl Line {
    fn of(row: &Row) -> std::result::Result<Self, String> {
        let [winner, loser] = [row.seed("winner_seed")?, row.seed("loser_seed")?];
        if winner == loser {
            return Err(format!("winner and loser are both seed {winner}"));
        }
        let word = row.needed("verdict")?;
        let kinds = [OverrideKind::Exclude, OverrideKind::Flip, OverrideKind::Pin];
        let kind = kinds.into_iter().find(|kind| kind.as_str() == word);
        let kind = kind.ok_or_else(|| format!("a verdict is exclude, flip or pin, not `{}`", word.escape_debug()))?;
        Ok(Self { number: row.number, image: row.needed("image")?.to_owned(), winner, loser, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_file_are_named_by_line() {
        let fault = |line: &str| {
            let text = format!("image,winner_seed,loser_seed,verdict\n{line}");
            lines::parse(&text, &COLUMNS, Line::of).err().unwrap()
        };
        assert_eq!(fault("a,1,1,pin"), "line 2: winner and loser are both seed 1");
        assert_eq!(fault("a,1,2,no"), "line 2: a verdict is exclude, flip or pin, not `no`");
        assert_eq!(fault("a,x,2,pin"), "line 2: the winner_seed `x` is no whole number");
    }
}
