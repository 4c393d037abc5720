//! What was said of the reference's candidates, blindly and not, and how far raters agree with the reward and with each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::rewards::RewardView;
use crate::method::agreement::{self, Choice};
use crate::method::overrides::{Agreement, Verdict};
use crate::workspace::{ImageId, Judgement, OverrideKind, PairOverride};

/// Image and two seeds in ascending order.
pub type PairKey = (ImageId, u64, u64);

/// The judgements, and what was judged by whom.
#[derive(Clone, Debug, Default)]
pub struct Judgements {
    /// In the order they were made.
    all: Vec<Judgement>,
    of_rater: BTreeMap<String, HashSet<PairKey>>,
    /// What was said with the rewards in view, of each pair in the order it was.
    verdicts: Vec<PairOverride>,
    /// What counts of it.
    counting: HashMap<PairKey, Verdict>,
    /// The workspace was asked.
    is_known: bool,
}

impl Judgements {
    /// What was said blindly, in the order it was, and all verdicts.
    pub fn new(all: Vec<Judgement>, verdicts: Vec<PairOverride>) -> Self {
        let mut of_rater: BTreeMap<String, HashSet<PairKey>> = BTreeMap::new();
        for judgement in &all {
            of_rater.entry(judgement.rater.clone()).or_default().insert(key(judgement));
        }
        let counting = verdicts.iter().map(|verdict| (verdict.pair(), verdict.kind.into())).collect();
        Self { all, of_rater, verdicts, counting, is_known: true }
    }
}

/// Two raters, how many pairs both judged, and Cohen's κ of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Kappa {
    pub raters: [String; 2],
    pub pairs: usize,
    /// `None` where it is not defined.
    pub kappa: Option<f64>,
}

fn key(judgement: &Judgement) -> PairKey {
    let (image, a, b, _) = judgement.key();
    (image, a, b)
}

impl Judgements {
    /// All of them, in the order they were made.
    pub fn all(&self) -> &[Judgement] {
        &self.all
    }

    /// Whether a rater judged a pair.
    pub fn is_judged(&self, rater: &str, pair: &PairKey) -> bool {
        self.of_rater.get(rater).is_some_and(|judged| judged.contains(pair))
    }

    /// How many pairs a rater judged.
    pub fn count(&self, rater: &str) -> usize {
        self.of_rater.get(rater).map_or(0, HashSet::len)
    }

    /// The same with another judgement, or without one, before the workspace says so.
    pub fn edited(&self, judgement: &Judgement, is_taken_back: bool) -> Self {
        let mut all = self.all.clone();
        all.retain(|known| known.key() != judgement.key());
        if !is_taken_back {
            all.push(judgement.clone());
        }
        Self::new(all, self.verdicts.clone())
    }

    /// The same with another verdict, or without one, before the workspace says so.
    pub fn with_verdict(&self, verdict: &PairOverride, is_taken_back: bool) -> Self {
        let mut verdicts = self.verdicts.clone();
        verdicts.retain(|known| known.pair() != verdict.pair() || known.rater != verdict.rater);
        verdicts.extend((!is_taken_back).then(|| verdict.clone()));
        Self { is_known: self.is_known, ..Self::new(self.all.clone(), verdicts) }
    }

    /// The verdict that counts on a pair; `ranked` is what a ranking has, which is older where somebody has just spoken.
    pub fn counting(&self, pair: &PairKey, ranked: Option<Verdict>) -> Option<Verdict> {
        if self.is_known { self.counting.get(pair).copied() } else { ranked }
    }

    /// What a rater said of a pair with the rewards in view.
    pub fn verdict_of(&self, rater: &str, pair: &PairKey) -> Option<&PairOverride> {
        self.verdicts.iter().find(|known| known.rater == rater && known.pair() == *pair)
    }

    /// Whether a rater has a name.
    pub fn has_names(&self) -> bool {
        self.of_rater.keys().any(|rater| !rater.is_empty()) || self.verdicts.iter().any(|known| !known.rater.is_empty())
    }

    /// Whether nothing was said of any pair.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.verdicts.is_empty()
    }

    /// How often the reward ranks two candidates as a rater does, over the pairs on which one was preferred and both have a
    /// reward; equal rewards count one half. Without a name: of all raters.
    pub fn agreement(&self, view: &RewardView, rater: Option<&str>) -> Agreement {
        let mut sum = Agreement::default();
        for judgement in self.all.iter().filter(|judgement| rater.is_none_or(|name| judgement.rater == name)) {
            if let Some(gap) = preferred_gap(judgement, view) {
                sum.judged += 1;
                sum.agreeing += match gap {
                    gap if gap > 0.0 => 1.0,
                    0.0 => 0.5,
                    _ => 0.0,
                };
            }
        }
        sum
    }

    /// The pairs on which a rater prefers what the reward ranks lower.
    pub fn disputed(&self, view: &RewardView) -> BTreeSet<PairKey> {
        let is_disputed = |judgement: &&Judgement| preferred_gap(judgement, view).is_some_and(|gap| gap < 0.0);
        self.all.iter().filter(is_disputed).map(key).collect()
    }

    /// How often each word was said, by a rater or by all.
    pub fn said(&self, choice: Choice, rater: Option<&str>) -> usize {
        let is =
            |judgement: &&Judgement| judgement.choice == choice && rater.is_none_or(|name| judgement.rater == name);
        self.all.iter().filter(is).count()
    }

    /// Cohen's κ of every two raters who judged pairs blindly in common: of which of the two candidates is better, unsure, or both bad.
    pub fn kappas(&self) -> Vec<Kappa> {
        kappas(self.all.iter().map(|judgement| {
            // 0 where the lower seed is better, 1 where the higher one is.
            let said = match (judgement.preferred(), judgement.choice) {
                (Some((preferred, other)), _) => usize::from(preferred > other),
                (None, Choice::BothBad) => 3,
                (None, _) => 2,
            };
            (judgement.rater.as_str(), key(judgement), said)
        }))
    }

    /// The same of verdicts, which were said with the rewards in view: which candidate is better, or the pair is excluded.
    pub fn kappas_of_verdicts(&self) -> Vec<Kappa> {
        kappas(self.verdicts.iter().map(|verdict| {
            let is_higher = verdict.winner_seed > verdict.loser_seed;
            let said = match verdict.kind {
                OverrideKind::Pin => usize::from(is_higher),
                OverrideKind::Flip => usize::from(!is_higher),
                OverrideKind::Exclude => 2,
            };
            (verdict.rater.as_str(), verdict.pair(), said)
        }))
    }
}

/// Of every two raters with pairs in common, by what each said of which pair: one of four things.
fn kappas<'a>(said: impl Iterator<Item = (&'a str, PairKey, usize)>) -> Vec<Kappa> {
    let mut of_rater: BTreeMap<&str, BTreeMap<PairKey, usize>> = BTreeMap::new();
    for (rater, pair, said) in said {
        of_rater.entry(rater).or_default().insert(pair, said);
    }
    let raters: Vec<(&&str, &BTreeMap<PairKey, usize>)> = of_rater.iter().collect();
    let mut found = Vec::new();
    for (at, (a, of_a)) in raters.iter().enumerate() {
        for (b, of_b) in &raters[at + 1..] {
            let cases: Vec<[usize; 2]> =
                of_b.iter().filter_map(|(pair, said)| Some([*of_a.get(pair)?, *said])).collect();
            if !cases.is_empty() {
                let kappa = agreement::cohen_kappa::<4>(cases.iter().copied());
                found.push(Kappa { raters: [a.to_string(), b.to_string()], pairs: cases.len(), kappa });
            }
        }
    }
    found
}

/// By how much the reward of the preferred candidate is higher; `None` where none was preferred or a reward is absent.
fn preferred_gap(judgement: &Judgement, view: &RewardView) -> Option<f64> {
    let (preferred, other) = judgement.preferred()?;
    let rewards = view.rewards(view.place(judgement.image)?);
    let reward = |seed| rewards.get(view.column_of_seed(seed)?).copied();
    Some(reward(preferred)? - reward(other)?).filter(|gap| !gap.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(rater: &str, image: i64, seeds: [u64; 2], choice: Choice) -> Judgement {
        Judgement { image: ImageId(image), seeds, choice, rater: rater.into(), shuffle: 1, decided_at_secs: 0 }
    }

    #[test]
    fn raters_agree_whatever_the_sides_they_saw() {
        // The first prefers seed 2, 5, 7; the second the same but once, on other sides.
        let all = vec![
            said("anna", 1, [2, 3], Choice::Left),
            said("anna", 1, [4, 5], Choice::Right),
            said("anna", 2, [6, 7], Choice::Right),
            said("anna", 2, [8, 9], Choice::BothBad),
            said("ben", 1, [3, 2], Choice::Right),
            said("ben", 1, [5, 4], Choice::Left),
            said("ben", 2, [7, 6], Choice::Right),
            said("ben", 3, [0, 1], Choice::Right),
        ];
        let judgements = Judgements::new(all, Vec::new());
        let kappas = judgements.kappas();
        assert_eq!(kappas.len(), 1);
        assert_eq!((kappas[0].pairs, judgements.count("anna"), judgements.count("carla")), (3, 4, 0));
        // 2 of 3 alike; by chance 1/3 · 2/3 + 2/3 · 1/3 = 4/9: (2/3 − 4/9) / (5/9) = 0.4.
        assert!((kappas[0].kappa.unwrap() - 0.4).abs() < 1e-12);
        let less = judgements.edited(&said("ben", 2, [6, 7], Choice::Left), true);
        assert_eq!(less.kappas()[0].kappa, Some(1.0));
        assert!(!less.is_judged("ben", &(ImageId(2), 6, 7)) && less.is_judged("anna", &(ImageId(2), 6, 7)));
        assert_eq!((less.said(Choice::BothBad, None), less.said(Choice::BothBad, Some("ben"))), (1, 0));
    }

    #[test]
    fn verdicts_of_two_raters_are_compared_in_whichever_order_their_pairs_were_shown() {
        let said = |rater: &str, image: i64, [winner_seed, loser_seed]: [u64; 2], kind| PairOverride {
            image: ImageId(image),
            winner_seed,
            loser_seed,
            kind,
            rater: rater.into(),
        };
        let (flip, pin, exclude) = (OverrideKind::Flip, OverrideKind::Pin, OverrideKind::Exclude);
        let known = [
            said("anna", 1, [2, 3], pin),
            said("anna", 1, [4, 5], pin),
            said("anna", 2, [6, 7], exclude),
            // Of the first pair the same, shown the other way round.
            said("ben", 1, [3, 2], flip),
            said("ben", 1, [4, 5], flip),
            said("ben", 2, [7, 6], exclude),
        ];
        let judgements = Judgements::new(Vec::new(), known.into());
        let kappas = judgements.kappas_of_verdicts();
        // 2 of 3 alike; by chance 2/3 · 1/3 + 0 · 1/3 + 1/3 · 1/3 = 1/3: (2/3 − 1/3) / (2/3) = 0.5.
        assert_eq!((kappas.len(), kappas[0].pairs), (1, 3));
        assert!((kappas[0].kappa.unwrap() - 0.5).abs() < 1e-12, "{kappas:?}");
        assert!(judgements.kappas().is_empty() && !judgements.is_empty());
        let changed = judgements.with_verdict(&said("ben", 1, [5, 4], flip), false);
        assert_eq!(changed.kappas_of_verdicts()[0].kappa, Some(1.0));
        let pair = (ImageId(1), 4, 5);
        assert_eq!(changed.verdict_of("ben", &pair).map(|known| known.winner_seed), Some(5));
        // The last one counts, whoever said it; before the workspace was asked what the ranking has.
        assert_eq!(changed.counting(&pair, None), Some(Verdict::Flip));
        assert_eq!(
            changed.with_verdict(&said("anna", 1, [4, 5], pin), false).counting(&pair, None),
            Some(Verdict::Pin)
        );
        assert_eq!(Judgements::default().counting(&pair, Some(Verdict::Pin)), Some(Verdict::Pin));
        assert_eq!(changed.with_verdict(&said("ben", 1, [4, 5], pin), true).verdict_of("ben", &pair), None);
    }
}
