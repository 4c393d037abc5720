//! Rewards from which is taken, group by group, what merely follows another score: candidates are then ranked as if that score
//! were the same for all of them.
//!
//! Seeds of one image differ much by grain, which no-reference metrics like and full-reference metrics do not. Pairs that are
//! ranked so teach grain or smoothing, whichever weighs more. With the part that grain explains taken out,
//!
//! > R′ = R − Σ_k (c_k · R) / (c_k · c_k) · c_k,
//!
//! c_k the centred scores of the group, each orthogonal to those before it (Gram and Schmidt), what is left to rank by is what
//! candidates of equal grain differ in. The group's mean stays, so that R′ is on the scale of R. Checkpoints are judged by R.
//!
//! What a seed is worth in the *other* images is such a score c too, under the name [`SEED`](seed_effect::SEED): see there.

use super::reward::Rewards;
use super::scores::ScoreTable;
use super::seed_effect;

/// Takes out of the rewards what follows the scores of some columns. A candidate that lacks one of them has no reward any more;
/// a column that nobody of a group is scored by, as a full-reference one without HR, takes nothing out there. `noise`, if given,
/// says which groups were drawn from the same noise: then what a seed is worth in the others is taken out too, as a score c.
pub fn take_out(rewards: &mut Rewards, table: &ScoreTable, columns: &[usize], noise: Option<&[usize]>) {
    let elsewhere = noise.map(|noise| seed_effect::elsewhere(rewards, noise));
    for group in 0..rewards.groups() {
        let mut rows: Vec<&[f64]> = columns.iter().map(|&column| table.row(group, column)).collect();
        rows.extend(elsewhere.iter().map(|groups| groups[group].as_slice()));
        of_group(rewards.group_mut(group), &rows);
    }
}

fn of_group(rewards: &mut [f64], rows: &[&[f64]]) {
    let rows: Vec<&&[f64]> = rows.iter().filter(|row| row.iter().any(|score| !score.is_nan())).collect();
    for (seed, reward) in rewards.iter_mut().enumerate() {
        if rows.iter().any(|row| row.get(seed).is_none_or(|score| score.is_nan())) {
            *reward = f64::NAN;
        }
    }
    let seeds: Vec<usize> = (0..rewards.len()).filter(|&seed| !rewards[seed].is_nan()).collect();
    let mut found: Vec<Vec<f64>> = Vec::new();
    for row in rows {
        let mut scores: Vec<f64> = seeds.iter().map(|&seed| row[seed]).collect();
        let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        scores.iter_mut().for_each(|score| *score -= mean);
        let before = dot(&scores, &scores);
        for other in &found {
            let share = dot(&scores, other) / dot(other, other);
            scores.iter_mut().zip(other).for_each(|(score, other)| *score -= share * other);
        }
        // What the scores before it say already, or one that is the same for all, takes nothing out.
        if dot(&scores, &scores) > 1e-9 * before {
            found.push(scores);
        }
    }
    let values: Vec<f64> = seeds.iter().map(|&seed| rewards[seed]).collect();
    for scores in &found {
        let share = dot(&values, scores) / dot(scores, scores);
        seeds.iter().zip(scores).for_each(|(&seed, score)| rewards[seed] -= share * score);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_seed_does_to_every_image_is_taken_out_of_those_of_its_noise() {
        let seed = [3.0, -1.0, -1.0, -1.0];
        // Orthogonal to what the seed does and to each other, so that nothing else is taken out.
        let own = [[0.0, 1.0, -1.0, 0.0], [0.0, 1.0, 1.0, -2.0], [0.0, -2.0, 1.0, 1.0]];
        let of = |own: [f64; 4]| own.iter().zip(seed).map(|(own, seed)| 0.5 + 0.1 * own + seed).collect::<Vec<_>>();
        let values = || Rewards::from_values(4, own.iter().flat_map(|own| of(*own)).collect()).unwrap();
        let table = ScoreTable::new(vec![true; 3], 4, Vec::new()).unwrap();
        let mut rewards = values();
        take_out(&mut rewards, &table, &[], Some(&[0, 0, 0]));
        for (group, own) in own.iter().enumerate() {
            let left: f64 = dot(&rewards.group(group).iter().map(|r| r - 0.5).collect::<Vec<_>>(), &seed);
            let before: f64 = dot(&of(*own).iter().map(|r| r - 0.5).collect::<Vec<_>>(), &seed);
            assert!(left.abs() < 0.05 * before, "{left} of {before} is left of the seed in group {group}");
            let mean = rewards.group(group).iter().sum::<f64>() / 4.0;
            assert!((mean - 0.5).abs() < 1e-12);
        }
        // An image of a size of its own has nothing to be compared with, and keeps its reward; nor does it say anything of others.
        let mut alone = values();
        take_out(&mut alone, &table, &[], Some(&[7, 0, 0]));
        assert_eq!(alone.group(0), values().group(0));
        assert_ne!(alone.group(1), values().group(1));
        // Seeds that only this group has are taken for neither good nor bad; who lacks a reward gets none.
        let nan = f64::NAN;
        let mut partial = Rewards::from_values(3, vec![1.0, 0.0, nan, 1.0, nan, 0.0]).unwrap();
        take_out(&mut partial, &ScoreTable::new(vec![true; 2], 3, Vec::new()).unwrap(), &[], Some(&[0, 0]));
        assert!(partial.group(0)[..2].iter().all(|r| r.is_finite()) && partial.group(0)[2].is_nan(), "{partial:?}");
    }

    #[test]
    fn what_is_left_does_not_follow_the_score_and_keeps_the_mean() {
        // Truth ranks the seeds otherwise than grain, which speaks louder.
        let (truth, grain) = ([1.0, -1.0, 1.0, -1.0], [2.0, 2.0, -2.0, -2.0]);
        let rewards =
            || -> Vec<f64> { truth.iter().zip(grain).map(|(truth, grain)| 0.5 + 0.1 * truth + 0.4 * grain).collect() };
        let mut left = rewards();
        of_group(&mut left, &[&grain]);
        let expected = truth.map(|truth| 0.5 + 0.1 * truth);
        assert!(left.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{left:?}");
        // Twice the same says no more; one that never varies says nothing.
        let mut twice = rewards();
        of_group(&mut twice, &[&grain, &grain.map(|score| 3.0 * score + 1.0), &[7.0; 4]]);
        assert!(twice.iter().zip(&left).all(|(a, b)| (a - b).abs() < 1e-12), "{twice:?}");
        // Both together take all there is.
        let mut nothing = rewards();
        of_group(&mut nothing, &[&grain, &[1.0, 0.0, 3.0, 0.0], &[0.0, 1.0, 0.0, 5.0]]);
        assert!(nothing.iter().all(|reward| (reward - 0.5).abs() < 1e-9), "{nothing:?}");
    }

    #[test]
    fn who_lacks_the_score_has_no_reward_unless_the_whole_group_does() {
        let mut rewards = [0.1, 0.2, 0.4, f64::NAN];
        of_group(&mut rewards, &[&[f64::NAN; 4]]);
        assert_eq!(rewards[..3], [0.1, 0.2, 0.4]);
        of_group(&mut rewards, &[&[1.0, f64::NAN, 2.0, 3.0]]);
        assert!(rewards[1].is_nan() && rewards[3].is_nan());
        assert!((rewards[0] - 0.25).abs() < 1e-12 && (rewards[2] - 0.25).abs() < 1e-12);
    }
}
