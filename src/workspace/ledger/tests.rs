//! Images, candidates, scores, bounds and overrides on small examples.

use super::testing::{TestLedger, key, new_image};
use super::*;
use crate::iqa::{Kind, MetricKey};
use crate::method::agreement::Choice;
use crate::workspace::files::{RelPath, SamplerKey};

fn wanted(metric: &str, kind: Kind) -> (MetricKey, Kind) {
    (key(metric), kind)
}

#[test]
fn images_come_back_as_they_were_added() {
    let t = TestLedger::new();
    let id = t.add_image("cat", true);
    let row = t.ledger.image(id).unwrap();
    assert_eq!((row.name.as_str(), row.lr_width_px, row.split), ("cat", 32, Split::Train));
    assert_eq!(row.hr_path.unwrap().as_str(), "images/cat/hr.png");
    assert_eq!(t.ledger.set_splits(&[(id, SplitChoice::Fixed(Split::Validation))]).unwrap(), 1);
    assert_eq!(t.ledger.image(id).unwrap().split, Split::Validation);
    assert_eq!(t.ledger.image_of_source("hash of cat", "").unwrap().unwrap().id, id);
    assert_eq!(t.ledger.image_of_source("hash of cat", "crop").unwrap(), None);
    assert!(t.ledger.image(ImageId(99)).is_err());
    // Names are free or not whatever the case of their letters.
    let dir = t.ledger.free_image_dir(&new_image("CAT.png")).unwrap();
    assert!(dir.starts_with("CAT-"), "{dir}");
}

#[test]
fn a_removed_image_takes_its_candidates_with_it_until_it_is_back() {
    let t = TestLedger::new();
    let (set, id) = (t.set(), t.add_image("cat", false));
    t.add_group(&set, id, 4);
    let count = || {
        let requests = [wanted("niqe", Kind::NoReference)];
        (
            t.ledger.images().unwrap().len(),
            t.ledger.candidates(&set).unwrap().len(),
            t.ledger.group(&set, id).unwrap().len(),
            t.ledger.missing_scores(&set, &requests).unwrap().len(),
            t.ledger.counts().unwrap().candidates,
        )
    };
    assert_eq!(count(), (1, 4, 4, 4, 4));
    t.ledger.set_removed(id, true).unwrap();
    assert_eq!(count(), (0, 0, 0, 0, 0));
    assert_eq!(t.ledger.removed_images().unwrap().len(), 1);
    t.ledger.set_removed(id, false).unwrap();
    assert_eq!(count(), (1, 4, 4, 4, 4));
}

#[test]
fn only_what_is_missing_is_asked_for() {
    let t = TestLedger::new();
    let set = t.set();
    let (a, b) = (t.add_image("a", true), t.add_image("b", true));
    t.add_group(&set, a, 3);
    let missing = |images: &[ImageId], seeds: &[u64]| t.ledger.missing_candidates(&set, images, seeds).unwrap();
    assert_eq!(missing(&[a], &[0, 1, 2]), []);
    assert_eq!(
        missing(&[b, a], &[5, 1, u64::MAX]),
        [MissingSeeds { image: b, seeds: vec![5, 1, u64::MAX] }, MissingSeeds { image: a, seeds: vec![5, u64::MAX] },]
    );
    // Another sampler is another set.
    let other = CandidateSet { sampler: SamplerKey::new("heun/10").unwrap(), ..set.clone() };
    assert_eq!(t.ledger.missing_candidates(&other, &[a], &[0]).unwrap().len(), 1);
    // A candidate whose file is gone is missing.
    let gone = t.ledger.group(&set, a).unwrap()[1].id;
    let check = |is_missing| FileCheck { owner: FileOwner::Candidate, id: gone.0, is_missing };
    t.ledger.mark_files(&[check(true)]).unwrap();
    assert_eq!(missing(&[a], &[0, 1, 2]), [MissingSeeds { image: a, seeds: vec![1] }]);
    assert_eq!(t.ledger.group_sizes(&set).unwrap(), [(a, 2)].into());
    assert_eq!(t.ledger.candidate_sets().unwrap(), [(set.clone(), 2)]);
    t.ledger.mark_files(&[check(false)]).unwrap();
    assert_eq!(missing(&[a], &[0, 1, 2]), []);
}

#[test]
fn large_seeds_keep_their_bits() {
    let t = TestLedger::new();
    let (set, image) = (t.set(), t.add_image("a", true));
    let path = RelPath::new("candidates/x.png").unwrap();
    let new = NewCandidate { set: set.clone(), image, seed: u64::MAX, seconds: f64::NAN };
    t.ledger.insert_candidates([(&new, &path)]).unwrap();
    let row = &t.ledger.group(&set, image).unwrap()[0];
    assert_eq!(row.seed, u64::MAX);
    assert!(row.seconds.is_nan());
}

#[test]
fn scores_come_back_in_their_places() {
    let t = TestLedger::new();
    let set = t.set();
    // Written in the other order than read.
    let (b, a) = (t.add_image("b", true), t.add_image("a", false));
    let (of_a, of_b) = (t.add_group(&set, a, 2), t.add_group(&set, b, 2));
    let metrics = [key("ssim"), key("niqe"), key("never")];
    let score = |candidate, metric, value| NewScore { candidate, metric, value };
    let scores =
        [score(of_b[1], 0, 0.9), score(of_a[0], 1, 5.0), score(of_a[1], 1, f64::NAN), score(of_b[0], 1, f64::INFINITY)];
    t.ledger.record_scores("cpu", &metrics[..2], &scores).unwrap();
    let table = t.ledger.scores(&set, &metrics).unwrap();
    let ids: Vec<_> = table.candidates().iter().map(|c| (c.image, c.seed)).collect();
    assert_eq!(ids, [(b, 0), (b, 1), (a, 0), (a, 1)]);
    assert_eq!(table.groups().collect::<Vec<_>>(), [(b, 0..2), (a, 2..4)]);
    let text: Vec<_> = (0..4).map(|i| format!("{:?}", table.row(i))).collect();
    assert_eq!(text, ["[NaN, inf, NaN]", "[0.9, NaN, NaN]", "[NaN, 5.0, NaN]", "[NaN, NaN, NaN]"]);
    let one = t.ledger.group_scores(&set, a, &[key("niqe")]).unwrap();
    assert_eq!(one.row(0), [5.0]);
    assert_eq!(one.candidates().len(), 2);
    // Columns come in the order asked for, also twice.
    let twice = t.ledger.group_scores(&set, b, &[key("niqe"), key("ssim"), key("ssim")]).unwrap();
    assert_eq!(twice.row(1)[1..], [0.9, 0.9]);
}

#[test]
fn a_score_that_is_not_a_number_is_a_score() {
    let t = TestLedger::new();
    let set = t.set();
    let (with_hr, without) = (t.add_image("a", true), t.add_image("b", false));
    let ids = (t.add_group(&set, with_hr, 1)[0], t.add_group(&set, without, 1)[0]);
    let requests = [wanted("ssim", Kind::FullReference), wanted("niqe", Kind::NoReference)];
    let missing = || -> Vec<_> {
        let missing = t.ledger.missing_scores(&set, &requests).unwrap();
        missing.into_iter().map(|m| (m.candidate.id, m.metrics)).collect()
    };
    assert_eq!(missing(), [(ids.0, vec![0, 1]), (ids.1, vec![1])]);
    let nan = NewScore { candidate: ids.1, metric: 0, value: f64::NAN };
    t.ledger.record_scores("cpu", &[key("niqe")], &[nan]).unwrap();
    assert_eq!(missing(), [(ids.0, vec![0, 1])]);
    // A new version of a metric scores everything again.
    let newer = MetricKey { version: "2".into(), ..key("niqe") };
    assert_eq!(t.ledger.missing_scores(&set, &[(newer, Kind::NoReference)]).unwrap().len(), 2);
}

#[test]
fn scores_are_recorded_all_or_none_and_replaced() {
    let t = TestLedger::new();
    let (set, image) = (t.set(), t.add_image("a", true));
    let id = t.add_group(&set, image, 1)[0];
    let metrics = [key("niqe")];
    let good = NewScore { candidate: id, metric: 0, value: 1.0 };
    let bad = NewScore { candidate: CandidateId(99), ..good };
    assert!(t.ledger.record_scores("cpu", &metrics, &[good, bad]).is_err());
    assert!(t.ledger.record_scores("cpu", &metrics, &[good, NewScore { metric: 1, ..good }]).is_err());
    let value = || t.ledger.scores(&set, &metrics).unwrap().row(0)[0];
    assert!(value().is_nan());
    t.ledger.record_scores("cpu", &metrics, &[good]).unwrap();
    t.ledger.record_scores("cuda", &metrics, &[NewScore { value: 2.0, ..good }]).unwrap();
    assert_eq!(value(), 2.0);
    assert_eq!(t.ledger.counts().unwrap().scores, 1);
    // A candidate made again is scored again.
    t.add_group(&set, image, 1);
    assert!(value().is_nan());
}

#[test]
fn bounds_are_frozen_until_cleared() {
    let t = TestLedger::new();
    let bounds = |metric: &str, max| Bounds { metric: key(metric), min: 1.0, max, quantiles: None, fitted_on: t.set() };
    let with_quantiles = || Bounds { quantiles: Some([1.1, 1.9]), ..bounds("niqe", 2.0) };
    t.ledger.freeze_bounds(&[bounds("niqe", 2.0)]).unwrap();
    let error = t.ledger.freeze_bounds(&[bounds("ssim", 2.0), bounds("niqe", 3.0)]).unwrap_err();
    assert!(error.to_string().contains("niqe are frozen"), "{error}");
    assert_eq!(t.ledger.bounds().unwrap(), [bounds("niqe", 2.0)]);
    t.ledger.complete_bounds(&[with_quantiles()]).unwrap();
    t.ledger.complete_bounds(&[Bounds { quantiles: Some([0.0, 9.0]), ..with_quantiles() }]).unwrap();
    assert_eq!(t.ledger.bounds().unwrap(), [with_quantiles()]);
    assert!(t.ledger.freeze_bounds(&[bounds("x", f64::NAN)]).is_err());
    assert!(t.ledger.freeze_bounds(&[bounds("x", 0.5)]).is_err());
    t.ledger.clear_bounds().unwrap();
    t.ledger.freeze_bounds(&[bounds("niqe", 3.0)]).unwrap();
    assert_eq!(t.ledger.bounds().unwrap(), [bounds("niqe", 3.0)]);
}

#[test]
fn an_override_belongs_to_the_pair_in_either_order() {
    let t = TestLedger::new();
    let (set, image) = (t.set(), t.add_image("a", true));
    let new = |winner_seed, loser_seed, kind| PairOverride { image, winner_seed, loser_seed, kind, rater: "".into() };
    let flip = new(1, u64::MAX, OverrideKind::Flip);
    assert_eq!(t.ledger.set_override(&set, &flip).unwrap(), None);
    let pin = new(u64::MAX, 1, OverrideKind::Pin);
    assert_eq!(t.ledger.set_override(&set, &pin).unwrap(), Some(flip));
    assert_eq!(t.ledger.overrides(&set).unwrap(), std::slice::from_ref(&pin));
    // Another rater's stands beside it, and counts as the last; taken back, the first counts again.
    let others = PairOverride { rater: "anna".into(), ..new(1, u64::MAX, OverrideKind::Exclude) };
    assert_eq!(t.ledger.set_override(&set, &others).unwrap(), None);
    assert_eq!(t.ledger.overrides(&set).unwrap(), std::slice::from_ref(&others));
    assert_eq!(t.ledger.verdicts(&set).unwrap(), [pin.clone(), others.clone()]);
    let clear = |rater| t.ledger.clear_override(&set, image, (1, u64::MAX), rater).unwrap();
    assert_eq!((clear("ben"), clear("anna")), (None, Some(others)));
    assert_eq!(t.ledger.overrides(&set).unwrap(), std::slice::from_ref(&pin));
    assert_eq!((clear(""), clear("")), (Some(pin), None));
    assert!(t.ledger.set_override(&set, &new(1, 1, OverrideKind::Pin)).is_err());
}

#[test]
fn a_rater_has_one_word_on_a_pair_on_whichever_sides() {
    let t = TestLedger::new();
    let (set, image) = (t.set(), t.add_image("a", true));
    let said = |seeds, choice, rater: &str| Judgement {
        image,
        seeds,
        choice,
        rater: rater.into(),
        shuffle: u64::MAX,
        decided_at_secs: 0,
    };
    let known = || {
        let all = t.ledger.judgements(&set).unwrap();
        assert!(all.iter().all(|judgement| judgement.decided_at_secs > 0));
        all.into_iter().map(|judgement| Judgement { decided_at_secs: 0, ..judgement }).collect::<Vec<_>>()
    };
    let (left, right) = (said([1, u64::MAX], Choice::Left, "anna"), said([u64::MAX, 1], Choice::Left, "anna"));
    let other = said([1, u64::MAX], Choice::BothBad, "");
    for judgement in [&left, &other, &right] {
        t.ledger.set_judgement(&set, judgement).unwrap();
    }
    assert_eq!(known(), [other.clone(), right]);
    // Of whom and of what is asked, not what was said.
    let taken = t.ledger.clear_judgement(&set, &said([1, u64::MAX], Choice::Unsure, "anna")).unwrap();
    assert_eq!(taken.map(|judgement| judgement.preferred()), Some(Some((u64::MAX, 1))));
    assert_eq!(known(), [other]);
    assert!(t.ledger.set_judgement(&set, &said([2, 2], Choice::Left, "anna")).is_err());
}

#[test]
fn references_are_known_by_their_weights() {
    let t = TestLedger::new();
    let reference = |hash: &str| {
        let new = NewReference { backbone: "mini".into(), weights_hash: hash.into() };
        t.ledger.ensure_reference(&new).unwrap()
    };
    let first = reference("1");
    assert_eq!(reference("1"), first);
    let second = reference("2");
    assert_ne!(first, second);
    assert_eq!(t.ledger.checkpoint(first).unwrap().name, "reference");
    assert!(t.ledger.checkpoint(second).unwrap().name.starts_with("reference-"));
}
