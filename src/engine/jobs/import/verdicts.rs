//! Verdicts on pairs, and blind judgements, that were made elsewhere: by another person, or in another copy of the workspace.

use std::path::Path;

use super::ByName;
use super::lines::{self, Row};
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::protocol::{Change, Outcome};
use crate::method::agreement::Choice;
use crate::workspace::{CandidateSet, ImageId, Judgement, Ledger, OverrideKind, PairOverride};
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
        for line in lines {
            let number = line.number;
            let image = match images.find(&line.image) {
                Ok(image) => image,
                Err(cause) => {
                    failed.add(format!("line {number}: {cause}"));
                    continue;
                }
            };
            let (image, group) = (image.id, ledger.group(&set, image.id)?);
            let absent = line.seeds().into_iter().find(|seed| group.iter().all(|c| c.seed != *seed));
            if let Some(seed) = absent {
                let name = &line.image;
                failed.add(format!("line {number}: {name}: seed {seed} is not among the reference's candidates"));
                continue;
            }
            line.record(ledger, &set, image)?;
            recorded += 1;
        }
        Ok(recorded)
    })?;
    context.changed(Change::Overrides);
    context.changed(Change::Judgements);
    Ok(Outcome::Judged { verdicts: recorded, failed })
}

struct Line {
    number: usize,
    image: String,
    said: Said,
}

/// What is said of two candidates.
enum Said {
    /// Of a pair, by whoever saw the reward.
    Verdict(PairOverride),
    /// Blind.
    Judgement(Judgement),
}

impl Line {
    fn of(row: &Row) -> std::result::Result<Self, String> {
        let word = row.needed("verdict")?;
        // The image is found later.
        let image = ImageId(0);
        let kinds = [OverrideKind::Exclude, OverrideKind::Flip, OverrideKind::Pin];
        let said = match kinds.into_iter().find(|kind| kind.as_str() == word) {
            Some(kind) => {
                let [winner_seed, loser_seed] = different(row.seed("winner_seed")?, row.seed("loser_seed")?)?;
                let rater = row.get("rater").unwrap_or_default().to_owned();
                Said::Verdict(PairOverride { image, winner_seed, loser_seed, kind, rater })
            }
            None => Said::Judgement(blind(row, word, image)?),
        };
        Ok(Self { number: row.number, image: row.needed("image")?.to_owned(), said })
    }

    /// The two candidates.
    fn seeds(&self) -> [u64; 2] {
        match &self.said {
            Said::Verdict(verdict) => [verdict.winner_seed, verdict.loser_seed],
            Said::Judgement(judgement) => judgement.seeds,
        }
    }

    fn record(self, ledger: &Ledger, set: &CandidateSet, image: ImageId) -> Result<()> {
        match self.said {
            Said::Verdict(verdict) => ledger.set_override(set, &PairOverride { image, ..verdict }).map(drop),
            Said::Judgement(judgement) => ledger.set_judgement(set, &Judgement { image, ..judgement }),
        }
    }
}

fn different(a: u64, b: u64) -> std::result::Result<[u64; 2], String> {
    if a == b { Err(format!("winner and loser are both seed {a}")) } else { Ok([a, b]) }
}

/// A blind judgement: `prefer` with winner and loser, or neither; the sides as they were shown, where that is known.
fn blind(row: &Row, word: &str, image: ImageId) -> std::result::Result<Judgement, String> {
    let sides = match (row.get("left_seed"), row.get("right_seed")) {
        (Some(_), Some(_)) => different(row.seed("left_seed")?, row.seed("right_seed")?)?,
        _ if word == "prefer" => different(row.seed("winner_seed")?, row.seed("loser_seed")?)?,
        _ => return Err(format!("`{}` needs left_seed and right_seed", word.escape_debug())),
    };
    let choice = match word {
        "prefer" => match row.seed("winner_seed")? {
            winner if winner == sides[0] => Choice::Left,
            winner if winner == sides[1] => Choice::Right,
            winner => return Err(format!("the winner, seed {winner}, is on neither side")),
        },
        word => match Choice::from_word(word) {
            Some(choice @ (Choice::Unsure | Choice::BothBad)) => choice,
            _ => {
                let words = "exclude, flip or pin, or of a blind judgement prefer, unsure or both_bad";
                return Err(format!("a verdict is {words}, not `{}`", word.escape_debug()));
            }
        },
    };
    let rater = row.get("rater").unwrap_or_default().to_owned();
    let shuffle = if row.get("shuffle").is_some() { row.seed("shuffle")? } else { 0 };
    Ok(Judgement { image, seeds: sides, choice, rater, shuffle, decided_at_secs: 0 })
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
        assert!(fault("a,1,2,no").contains("`no` needs left_seed"));
        let blind = "image,winner_seed,loser_seed,verdict,left_seed,right_seed\na,3,5,prefer,5,3\na,,,both_bad,5,3\n";
        let lines = lines::parse(blind, &COLUMNS, Line::of).unwrap();
        let choice = |line: &Line| match &line.said {
            Said::Judgement(judgement) => (judgement.seeds, judgement.choice),
            Said::Verdict(_) => panic!("no judgement"),
        };
        assert_eq!(choice(&lines[0]), ([5, 3], Choice::Right));
        assert_eq!(choice(&lines[1]), ([5, 3], Choice::BothBad));
        assert_eq!(fault("a,x,2,pin"), "line 2: the winner_seed `x` is no whole number");
    }
}
