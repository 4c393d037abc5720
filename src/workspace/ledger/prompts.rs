//! Prompts: what is said of an image, for backbones that read it.
//!
//! Candidates drawn under another prompt are other candidates. Where the backbone reads prompts, the sampler of a candidate
//! ends with its image's; a [`CandidateSet`](super::CandidateSet) names the others by what comes before, and means those of
//! the prompt that each image has now.

use super::{CandidateSet, ImageId, Ledger, execute};
use crate::Result;
use crate::fs::hash;
use crate::workspace::files::SamplerKey;

/// A prompt as it is kept: one line, single blanks.
pub fn prompt_of(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// By what candidates of a prompt are known.
fn hash_of(prompt: &str) -> String {
    if prompt.is_empty() { "0".into() } else { hash::hash_bytes(prompt.as_bytes())[..16].to_owned() }
}

impl Ledger {
    /// Notes an image's prompt.
    pub(in crate::workspace) fn set_prompt(&self, id: ImageId, prompt: &str) -> Result<()> {
        let sql = "UPDATE images SET prompt = ?2, prompt_hash = ?3 WHERE id = ?1";
        self.write(|conn| execute(conn, sql, (id, prompt, hash_of(prompt))).map(drop))
    }

    /// The sampler of an image's candidates of a set, as it is kept.
    pub(super) fn sampler_of(&self, set: &CandidateSet, image: ImageId) -> Result<SamplerKey> {
        match set.sampler.reads_prompts() {
            true => Ok(set.sampler.of_prompt(&self.image(image)?.prompt_hash)),
            false => Ok(set.sampler.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestLedger, key};
    use super::super::{NewScore, OverrideKind, PairOverride};
    use super::*;
    use crate::iqa::Kind;

    #[test]
    fn candidates_scores_and_verdicts_belong_to_the_prompt_they_came_under() {
        let t = TestLedger::new();
        let plain = t.set();
        let sampler = SamplerKey::new("ddpm/50").unwrap().reading_prompts().unwrap();
        let set = CandidateSet { sampler, ..plain.clone() };
        let (a, b) = (t.add_image("a", true), t.add_image("b", true));
        let metrics = [key("psnr")];
        let wanted = [(metrics[0].clone(), Kind::FullReference)];
        for id in [a, b] {
            t.add_group(&set, id, 2);
            t.add_group(&plain, id, 1);
        }
        let ids: Vec<_> = t.ledger.candidates(&set).unwrap().iter().map(|c| c.id).collect();
        let scores: Vec<_> = ids.iter().map(|&candidate| NewScore { candidate, metric: 0, value: 1.0 }).collect();
        t.ledger.record_scores("CPU", &metrics, &scores).unwrap();
        let pin = PairOverride { image: a, winner_seed: 0, loser_seed: 1, kind: OverrideKind::Pin, rater: "".into() };
        t.ledger.set_override(&set, &pin).unwrap();
        let look = || {
            let groups = [a, b].map(|id| t.ledger.group(&set, id).unwrap().len());
            let missing = t.ledger.missing_candidates(&set, &[a, b], &[0, 1]).unwrap();
            let missing: Vec<_> = missing.into_iter().map(|m| (m.image, m.seeds.len())).collect();
            let scored = t.ledger.scores(&set, &metrics).unwrap().candidates().len();
            assert_eq!(t.ledger.missing_scores(&set, &wanted).unwrap(), []);
            assert_eq!(t.ledger.group_sizes(&set).unwrap().len(), scored / 2);
            assert_eq!(t.ledger.candidates(&plain).unwrap().len(), 2);
            (groups, missing, scored, t.ledger.overrides(&set).unwrap().len())
        };
        let before = look();
        assert_eq!(before, ([2, 2], vec![], 4, 1));
        t.ledger.set_prompt(a, "stone wall").unwrap();
        assert_eq!(look(), ([0, 2], vec![(a, 2)], 2, 0));
        assert_eq!(t.ledger.clear_override(&set, a, (0, 1), "").unwrap(), None);
        t.add_group(&set, a, 1);
        assert_eq!(t.ledger.missing_candidates(&set, &[a], &[0, 1]).unwrap()[0].seeds, [1]);
        // What was drawn before the prompt changed is saved as that.
        let row = t.ledger.image(a).unwrap();
        t.ledger.set_prompt(a, "sand").unwrap();
        t.add_group(&set.of_prompt(&row), a, 2);
        assert_eq!(t.ledger.group(&set, a).unwrap(), []);
        t.ledger.set_prompt(a, "stone wall").unwrap();
        assert_eq!(t.ledger.group(&set, a).unwrap().len(), 2);
        t.ledger.set_prompt(a, "").unwrap();
        assert_eq!(look(), before);
        assert_eq!(prompt_of(" stone\twall,\n grass "), "stone wall, grass");
    }
}
