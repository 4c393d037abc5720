//! What a seed does to every image, as opposed to what it makes of one.
//!
//! A seed is the same start noise for all images of one size, and some noises make grain, or a blur, in every one of them: of the
//! embedded backbone's candidates half of what PSNR, SSIM and BRISQUE differ by within a group is that. Full-reference and
//! no-reference metrics disagree about it, so that pairs which differ by it teach grain or smoothing; once it is taken out of the
//! reward ([`super::regardless`]), they hardly disagree any more.

use std::collections::BTreeMap;

use super::bounds::Affine;
use super::reward::Rewards;
use super::scores::ScoreTable;

/// The word for it where a recipe names scores.
pub const SEED: &str = "seed";

/// For every group and seed, the mean of the seed's rewards above their groups' mean in the other groups of the same noise: 0 of
/// a seed that none of them has; NaN where there are no others.
pub fn elsewhere(rewards: &Rewards, noise: &[usize]) -> Vec<Vec<f64>> {
    let centred: Vec<Vec<f64>> = (0..rewards.groups())
        .map(|group| {
            let group = rewards.group(group);
            let known: Vec<f64> = group.iter().copied().filter(|reward| !reward.is_nan()).collect();
            let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
            group.iter().map(|reward| reward - mean).collect()
        })
        .collect();
    // Sum and number by noise and seed.
    let mut sums: BTreeMap<usize, Vec<(f64, usize)>> = BTreeMap::new();
    let known = |group: &Vec<f64>, seed: usize| Some(group[seed]).filter(|reward| !reward.is_nan());
    for (group, noise) in centred.iter().zip(noise) {
        let sums = sums.entry(*noise).or_insert_with(|| vec![(0.0, 0); group.len()]);
        for (seed, (sum, count)) in sums.iter_mut().enumerate() {
            if let Some(reward) = known(group, seed) {
                (*sum, *count) = (*sum + reward, *count + 1);
            }
        }
    }
    let others = |group: &Vec<f64>, noise: &usize| -> Vec<f64> {
        let without = |(seed, &(sum, count)): (usize, &(f64, usize))| {
            let own = known(group, seed);
            (sum - own.unwrap_or(0.0), count - usize::from(own.is_some()))
        };
        let all: Vec<(f64, usize)> = sums[noise].iter().enumerate().map(without).collect();
        let is_alone = all.iter().all(|(_, count)| *count == 0);
        all.iter().map(|&(sum, count)| if is_alone { f64::NAN } else { sum / count.max(1) as f64 }).collect()
    };
    centred.iter().zip(noise).map(|(group, noise)| others(group, noise)).collect()
}

/// Why [`elsewhere`] says nothing of some groups, as one line that counts them; `None` where every group has others of its noise.
pub fn why_unknown(noise: &[usize]) -> Option<String> {
    let mut groups = BTreeMap::new();
    noise.iter().for_each(|noise| *groups.entry(noise).or_insert(0usize) += 1);
    match groups.values().filter(|count| **count == 1).count() {
        0 => None,
        alone if alone == noise.len() => Some(
            "without effect, as no two training images are of one size, and seeds are the same start noise only for those: \
             crop them to one size (data.crop_px), or take seed out of reward.regardless"
                .into(),
        ),
        alone => Some(format!(
            "without effect on {alone} of {} training images, as no other has their size, hence their start noise",
            noise.len()
        )),
    }
}

/// How much of a column's differences within groups is the seed's doing: the correlation over seeds of two groups of the same
/// noise, averaged over all such pairs of groups. 0 where seeds mean nothing, 1 where they mean everything. Groups that lack a score
/// are left out; `None` where no two are left.
pub fn share(table: &ScoreTable, column: usize, noise: &[usize]) -> Option<f64> {
    // By noise, the sum over groups of standard scores by seed, and the number of groups.
    let mut sums: BTreeMap<usize, (Vec<f64>, usize)> = BTreeMap::new();
    for (group, noise) in noise.iter().enumerate() {
        let row = table.row(group, column);
        let affine = Affine::standard(row, table.columns()[column].direction);
        let Some(affine) = affine.filter(|one| one.scale != 0.0 && !row.iter().any(|score| score.is_nan())) else {
            continue;
        };
        let (sum, count) = sums.entry(*noise).or_insert_with(|| (vec![0.0; row.len()], 0));
        sum.iter_mut().zip(row).for_each(|(sum, score)| *sum += affine.of(*score));
        *count += 1;
    }
    // (Σz)² counts every pair of groups twice, and each group with itself.
    let mut correlations = (0.0, 0);
    for (sum, count) in sums.values() {
        let squared = sum.iter().map(|z| z * z).sum::<f64>() / sum.len() as f64;
        correlations = (correlations.0 + squared - *count as f64, correlations.1 + count * (count - 1));
    }
    (correlations.1 > 0).then(|| correlations.0 / correlations.1 as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iqa::{Direction, Info, Kind};

    #[test]
    fn groups_without_others_of_their_noise_are_told() {
        assert_eq!(why_unknown(&[]), None);
        assert_eq!(why_unknown(&[4, 2, 4, 2]), None);
        assert!(why_unknown(&[4, 2, 4]).is_some_and(|why| why.contains("on 1 of 3 training images")));
        assert!(why_unknown(&[4, 2]).is_some_and(|why| why.contains("no two training images")));
    }

    #[test]
    fn a_share_is_how_alike_seeds_are_in_images_of_the_same_noise() {
        let column = Info::new("niqe", Kind::NoReference, Direction::Lower);
        let share_of = |groups: &[[f64; 4]], noise: &[usize]| {
            let mut table = ScoreTable::new(vec![false; groups.len()], 4, vec![column.clone()]).unwrap();
            for (group, row) in groups.iter().enumerate() {
                let known = row.iter().enumerate().filter(|(_, score)| !score.is_nan());
                known.for_each(|(seed, score)| table.set(group, seed, 0, *score).unwrap());
            }
            share(&table, 0, noise)
        };
        let close = |share: Option<f64>, expected: f64| {
            assert!(share.is_some_and(|share| (share - expected).abs() < 1e-12), "{share:?}, not {expected}");
        };
        // The same order on whatever scale; the opposite one; one that has nothing to do with it.
        close(share_of(&[[1.0, 2.0, 3.0, 4.0], [5.0, 7.0, 9.0, 11.0]], &[0, 0]), 1.0);
        close(share_of(&[[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]], &[0, 0]), -1.0);
        close(share_of(&[[1.0, -1.0, -1.0, 1.0], [1.0, 1.0, -1.0, -1.0]], &[0, 0]), 0.0);
        // Of another noise, of too few scores, or all alike: no pair to compare, or one that says nothing of the others.
        assert_eq!(share_of(&[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]], &[0, 1]), None);
        let groups = [[1.0, 2.0, 3.0, 4.0], [f64::NAN, 1.0, 3.0, 2.0], [2.0; 4], [1.0, 2.0, 3.0, 4.0]];
        close(share_of(&groups, &[0; 4]), 1.0);
    }
}
