//! What images are for: to train on, to choose a checkpoint by, to report on.
//!
//! All images of one source are for the same. Whoever only holds images out leaves it to a rule which of the two they are:
//! about every third source is validation, by its hash, so the same everywhere.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, Row};

use super::ids::text_enum;
use super::{ImageId, ImageRow, Ledger, execute, rows};
use crate::fs::hash::hash_bytes;
use crate::method::provenance::On;
use crate::{Error, Result};

text_enum! {
    /// What an image is for.
    Split {
        /// To train on.
        Train => "train",
        /// Held out: chooses the checkpoint, and stops a run that gets worse.
        Validation => "validation",
        /// Held out: reported on.
        Test => "test",
    }
}

impl Split {
    /// All of them.
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// Kept away from training.
    pub fn is_held_out(self) -> bool {
        self != Split::Train
    }

    /// Whether what is measured on `on` is measured on images of this split.
    pub fn is_in(self, on: On) -> bool {
        match on {
            On::Test => self == Split::Test,
            On::Validation => self == Split::Validation,
            On::HeldOut => self.is_held_out(),
        }
    }

    /// As in "x is here already, …".
    pub fn phrase(self) -> &'static str {
        match self {
            Split::Train => "to train on",
            Split::Validation => "held out for validation",
            Split::Test => "held out for test",
        }
    }
}

/// What a person wants images to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SplitChoice {
    /// This.
    Fixed(Split),
    /// Held out; the rule says whether validation or test.
    ByRule,
}

impl Default for SplitChoice {
    fn default() -> Self {
        SplitChoice::Fixed(Split::Train)
    }
}

impl SplitChoice {
    /// All of them, in the order they are offered.
    pub const ALL: [SplitChoice; 4] = [
        SplitChoice::Fixed(Split::Train),
        SplitChoice::ByRule,
        SplitChoice::Fixed(Split::Validation),
        SplitChoice::Fixed(Split::Test),
    ];

    /// The word people type.
    pub fn as_str(self) -> &'static str {
        match self {
            SplitChoice::Fixed(split) => split.as_str(),
            SplitChoice::ByRule => "auto",
        }
    }

    /// Kept away from training.
    pub fn is_held_out(self) -> bool {
        self != SplitChoice::Fixed(Split::Train)
    }

    /// The split, until the rule has looked at all sources.
    fn split(self) -> Split {
        match self {
            SplitChoice::Fixed(split) => split,
            SplitChoice::ByRule => Split::Test,
        }
    }
}

impl std::str::FromStr for SplitChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|choice| choice.as_str() == text);
        known.ok_or_else(|| Error::invalid(format!("`{text}` is none of train, validation, test, auto")))
    }
}

/// Splits held-out sources, given by their keys, of which a person has `fixed` some others: every source whose hash leaves
/// 1 when divided by 3 is validation. One source alone is test. Of several, one is validation and one is test in any case:
/// the first by hash is, or the last.
fn by_rule(keys: &[&str], fixed: &[Split]) -> Vec<Split> {
    let hashes: Vec<String> = keys.iter().map(|key| hash_bytes(key.as_bytes())).collect();
    let number = |hash: &str| u64::from_str_radix(hash.get(..16).unwrap_or_default(), 16).unwrap_or(0);
    let side = |hash: &String| if number(hash) % 3 == 1 { Split::Validation } else { Split::Test };
    let mut splits: Vec<Split> = hashes.iter().map(side).collect();
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&at| &hashes[at]);
    let (Some(&first), Some(&last)) = (order.first(), order.last()) else { return splits };
    let has = |splits: &[Split], split| splits.contains(&split) || fixed.contains(&split);
    if keys.len() + fixed.len() < 2 {
        splits[first] = Split::Test;
    } else if !has(&splits, Split::Validation) {
        splits[first] = Split::Validation;
    } else if !has(&splits, Split::Test) {
        splits[last] = Split::Test;
    }
    splits
}

/// What the rule looks at.
struct Member {
    id: ImageId,
    hashes: [Option<String>; 2],
    split: Split,
    by_rule: bool,
    removed: bool,
}

impl Member {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            hashes: [Some(row.get(1)?), row.get(2)?],
            split: row.get(3)?,
            by_rule: row.get(4)?,
            removed: row.get(5)?,
        })
    }

    fn choice(&self) -> SplitChoice {
        if self.by_rule { SplitChoice::ByRule } else { SplitChoice::Fixed(self.split) }
    }
}

/// Indices of what belongs together: those that share a hash, directly or through others. Groups and their members are in
/// the order they came.
pub fn same_source<'a, H: IntoIterator<Item = &'a str>>(hashes: impl IntoIterator<Item = H>) -> Vec<Vec<usize>> {
    // Each one's group is that of the earliest it shares a hash with; `parent` leads there.
    fn root(parent: &[usize], mut at: usize) -> usize {
        while parent[at] != at {
            at = parent[at];
        }
        at
    }
    let mut parent: Vec<usize> = Vec::new();
    let mut first_with: HashMap<&str, usize> = HashMap::new();
    for (index, hashes) in hashes.into_iter().enumerate() {
        parent.push(index);
        for hash in hashes {
            let other = *first_with.entry(hash).or_insert(index);
            let (a, b) = (root(&parent, index), root(&parent, other));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..parent.len() {
        groups.entry(root(&parent, index)).or_default().push(index);
    }
    groups.into_values().collect()
}

/// Says which images these are: what is measured on images of one digest can be compared. 16 hexadecimal digits.
pub fn digest_of(images: &[ImageRow]) -> String {
    let mut lines: Vec<String> =
        images.iter().map(|i| format!("{}\0{}\0{}\n", i.source_hash, i.variant, i.hr_path.is_some())).collect();
    lines.sort();
    hash_bytes(lines.concat().as_bytes()).chars().take(16).collect()
}

fn members(conn: &Connection) -> Result<(Vec<Member>, Vec<Vec<usize>>)> {
    let sql = "SELECT id, source_hash, hr_source_hash, split, split_by_rule, removed FROM images ORDER BY id";
    let members = rows(conn, sql, [], Member::from_row)?;
    let groups = same_source(members.iter().map(|m| m.hashes.iter().flatten().map(String::as_str)));
    Ok((members, groups))
}

fn set(conn: &Connection, id: ImageId, split: Split, by_rule: bool) -> Result<()> {
    let sql = "UPDATE images SET split = ?2, split_by_rule = ?3 WHERE id = ?1";
    execute(conn, sql, (id, split, by_rule)).map(drop)
}

impl Ledger {
    /// Says what images are for, and with each the others of its source that are not named; returns how many changed.
    pub fn set_splits(&self, choices: &[(ImageId, SplitChoice)]) -> Result<usize> {
        self.write(|conn| {
            let (members, groups) = members(conn)?;
            let chosen: HashMap<ImageId, SplitChoice> = choices.iter().copied().collect();
            let mut changed = 0;
            for group in groups {
                let of_group = group.iter().filter_map(|&at| chosen.get(&members[at].id)).next_back().copied();
                let Some(of_group) = of_group else { continue };
                for member in group.iter().map(|&at| &members[at]) {
                    let choice = chosen.get(&member.id).copied().unwrap_or(of_group);
                    if member.choice() != choice {
                        set(conn, member.id, choice.split(), choice == SplitChoice::ByRule)?;
                        changed += usize::from(!member.removed);
                    }
                }
            }
            self.apply_split_rule()?;
            Ok(changed)
        })
    }

    /// The held-out images that something is measured on, in the order they were added.
    pub fn images_on(&self, on: On) -> Result<Vec<ImageRow>> {
        Ok(self.images()?.into_iter().filter(|image| image.split.is_in(on)).collect())
    }

    /// Lets the rule say anew what the images are for that were left to it; returns how many changed.
    pub fn apply_split_rule(&self) -> Result<usize> {
        self.write(|conn| {
            let (members, groups) = members(conn)?;
            let held_out = |group: &[usize]| -> Vec<usize> {
                let is = |at: &usize| !members[*at].removed && members[*at].split.is_held_out();
                group.iter().copied().filter(is).collect()
            };
            let groups: Vec<Vec<usize>> = groups.iter().map(|g| held_out(g)).filter(|g| !g.is_empty()).collect();
            let fixed_of =
                |group: &Vec<usize>| group.iter().map(|&at| &members[at]).find(|m| !m.by_rule).map(|m| m.split);
            let fixed: Vec<Split> = groups.iter().filter_map(fixed_of).collect();
            let free: Vec<&Vec<usize>> = groups.iter().filter(|group| fixed_of(group).is_none()).collect();
            let key = |group: &&Vec<usize>| {
                group.iter().flat_map(|&at| members[at].hashes.iter().flatten()).map(String::as_str).min().unwrap_or("")
            };
            let keys: Vec<&str> = free.iter().map(key).collect();
            let splits = free.iter().copied().zip(by_rule(&keys, &fixed));
            let followers = groups.iter().filter_map(|group| Some((group, fixed_of(group)?)));
            let mut changed = 0;
            for (group, split) in splits.chain(followers) {
                for member in group.iter().map(|&at| &members[at]).filter(|m| m.by_rule && m.split != split) {
                    set(conn, member.id, split, true)?;
                    changed += 1;
                }
            }
            Ok(changed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_takes_about_a_third_for_validation_whatever_the_order() {
        let names: Vec<String> = (0..300).map(|i| format!("source {i}")).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let splits = by_rule(&keys, &[]);
        let validation = splits.iter().filter(|s| **s == Split::Validation).count();
        assert!((80..120).contains(&validation), "{validation}");
        let backwards: Vec<&str> = keys.iter().rev().copied().collect();
        assert!(by_rule(&backwards, &[]).iter().rev().eq(&splits));
    }

    #[test]
    fn of_two_sources_one_is_validation_and_one_is_test_and_one_alone_is_test() {
        let names: Vec<String> = (0..40).map(|i| format!("source {i}")).collect();
        for pair in names.windows(2) {
            let keys: Vec<&str> = pair.iter().map(String::as_str).collect();
            let splits = by_rule(&keys, &[]);
            assert_ne!(splits[0], splits[1]);
            assert_eq!(by_rule(&keys[..1], &[]), [Split::Test]);
            assert_eq!(by_rule(&keys[..1], &[Split::Test]), [Split::Validation]);
            assert_eq!(by_rule(&keys[..1], &[Split::Validation]), [Split::Test]);
        }
        assert_eq!(by_rule(&[], &[Split::Test]), []);
    }

    #[test]
    fn images_belong_together_through_others_too() {
        let hashes: [&[&str]; 5] = [&["a"], &["b"], &["c", "b"], &["d"], &["a", "c"]];
        let groups = same_source(hashes.iter().map(|h| h.iter().copied()));
        assert_eq!(groups, [vec![0, 1, 2, 4], vec![3]]);
    }
}
