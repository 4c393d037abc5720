//! Pairs of a report for somebody who does not know which is which: before and after side by side as A and B, in an order and on
//! sides that are drawn, the key folded away at the end. There is no script in the page: answers are marked, counted by hand.

use super::Report;
use super::escape::escape;
use super::html::{picture, put};
use super::{BlindPair, Pictures};
use crate::Result;
use crate::method::blind;
use crate::method::changes::Change;

/// Pairs on the page.
pub const PAIRS: usize = 40;
/// What draws order and sides: the same comparison is always judged the same way.
const SHUFFLE: u64 = 0x40ab;

/// Which candidates are shown, and whether the one before is A.
pub fn drawn(changes: &[Change]) -> Vec<(Change, bool)> {
    let mut all: Vec<(u64, Change, bool)> = changes
        .iter()
        .map(|change| {
            let (at, is_turned) = blind::place(SHUFFLE, change.image as i64, [change.seed as u64; 2]);
            (at, *change, !is_turned)
        })
        .collect();
    all.sort_by_key(|(at, change, _)| (*at, change.image, change.seed));
    all.into_iter().take(PAIRS).map(|(_, change, before_is_a)| (change, before_is_a)).collect()
}

/// Writes the section.
pub fn section(page: &mut String, report: &Report, pairs: &[BlindPair]) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    put(
        page,
        format_args!(
            "<section id=\"blind\"><h2>Which is better?</h2><p class=\"weak\">{} pairs drawn from all candidates, one before and one after \
             at the same seed, in drawn order and on drawn sides. Judge before you look at anything else on this page; the key is at the \
             end.</p>",
            pairs.len()
        ),
    );
    for (index, BlindPair { pictures, before_is_a }) in pairs.iter().enumerate() {
        let Pictures { lr, hr, before, after, .. } = pictures;
        let (a, b) = if *before_is_a { (before, after) } else { (after, before) };
        let number = index + 1;
        put(page, format_args!("<article><h3>{number}<span class=\"answers\">"));
        for answer in ["A", "neither", "B"] {
            put(page, format_args!("<label><input type=\"radio\" name=\"pair{number}\">{answer}</label>"));
        }
        page.push_str("</span></h3><div class=\"pictures\">");
        picture(page, lr, "LR", true)?;
        if let Some(hr) = hr {
            picture(page, hr, "HR", false)?;
        }
        picture(page, a, "A", false)?;
        picture(page, b, "B", false)?;
        page.push_str("</div></article>");
    }
    page.push_str("<details><summary>Which was which</summary><ol>");
    let comparison = &report.comparison;
    for BlindPair { pictures: Pictures { change, .. }, before_is_a } in pairs {
        let name = comparison.by_image.get(change.image).map_or("", |image| image.name.as_str());
        let seed = report.provenance.seeds.get(change.seed).copied().unwrap_or(change.seed as u64);
        let after = if *before_is_a { "B" } else { "A" };
        put(page, format_args!("<li>{} is after ({}, seed {seed})</li>", after, escape(name)));
    }
    page.push_str("</ol></details></section>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_from_all_images_on_either_side_whatever_their_gain() {
        let mut changes: Vec<Change> = (0..8)
            .flat_map(|image| {
                (0..16).map(move |seed| Change { image, seed, before: 0.5, after: 0.5 + 0.01 * image as f64 })
            })
            .collect();
        let pairs = drawn(&changes);
        assert_eq!(pairs.len(), PAIRS);
        let images: std::collections::BTreeSet<usize> = pairs.iter().map(|(change, _)| change.image).collect();
        let before_is_a = pairs.iter().filter(|(_, before_is_a)| *before_is_a).count();
        assert!(images.len() == 8 && (10..=30).contains(&before_is_a), "{images:?} {before_is_a}");
        // Neither the order they come in nor what they gained decides.
        changes.reverse();
        changes.iter_mut().for_each(|change| change.after = 0.5);
        let places = |pairs: &[(Change, bool)]| pairs.iter().map(|(c, a)| (c.image, c.seed, *a)).collect::<Vec<_>>();
        assert_eq!(places(&drawn(&changes)), places(&pairs));
        assert_eq!(drawn(&changes[..3]).len(), 3);
    }
}
