//! What makes a run the run it is: by these settings an unfinished run goes on, or another begins.

use super::fields::{self, Bearing, Field};
use super::recipe::Recipe;

/// Keys of the settings by which `b` asks for another run than `a`, in a round (0 is the first). Pairs are not settings:
/// they are to be compared besides.
pub fn differences(a: &Recipe, b: &Recipe, round: u32) -> Vec<&'static str> {
    let makes_another = |field: &&Field| match field.bearing {
        Bearing::Run => true,
        Bearing::LaterRounds => round > 0,
        Bearing::Split => a.training.pairs_per_step() != b.training.pairs_per_step(),
        Bearing::Pairs | Bearing::Nothing => false,
    };
    differing(a, b).filter(makes_another).map(|field| field.key).collect()
}

/// Keys of the differing settings that other pairs may come from.
pub fn causes_of_other_pairs(a: &Recipe, b: &Recipe) -> Vec<&'static str> {
    differing(a, b).filter(|field| field.bearing == Bearing::Pairs).map(|field| field.key).collect()
}

/// The settings in words: what each is in `b`, and was in `a`.
pub fn in_words(keys: &[&str], a: &Recipe, b: &Recipe) -> String {
    let value = |recipe: &Recipe, key: &str| recipe.get(key).ok().filter(|text| !text.is_empty());
    let shown = |text: Option<String>| text.unwrap_or_else(|| "nothing".into());
    let change = |key: &&str| format!("{key} is {}, not {}", shown(value(b, key)), shown(value(a, key)));
    keys.iter().map(change).collect::<Vec<_>>().join(", ")
}

/// A setting that does nothing under both recipes makes no difference.
fn differing<'r>(a: &'r Recipe, b: &'r Recipe) -> impl Iterator<Item = &'static Field> + 'r {
    let counts = |key| a.why_idle(key).is_none() || b.why_idle(key).is_none();
    fields::fields().iter().filter(move |field| field.value(a) != field.value(b) && counts(field.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under which every setting counts that can count.
    fn base() -> Recipe {
        let mut recipe = Recipe::default();
        for setting in ["tile=128", "mode=lora", "training.rounds=2"] {
            recipe.set_assignment(setting).unwrap();
        }
        recipe
    }

    #[test]
    fn every_setting_has_the_bearing_that_its_row_says() {
        let a = base();
        for field in fields::fields() {
            let mut b = a.clone();
            field.assign(&mut b, field.another_value(&a)).unwrap();
            assert_ne!(a, b, "{}", field.key);
            let never_counts = a.why_idle(field.key).is_some() && b.why_idle(field.key).is_some();
            let [first, later] = [0, 1].map(|round| !differences(&a, &b, round).is_empty());
            let expected = match field.bearing {
                _ if never_counts => [false, false],
                Bearing::Run | Bearing::Split => [true, true],
                Bearing::LaterRounds => [false, true],
                Bearing::Pairs | Bearing::Nothing => [false, false],
            };
            assert_eq!([first, later], expected, "{}", field.key);
            let is_cause = !causes_of_other_pairs(&a, &b).is_empty();
            assert_eq!(is_cause, field.bearing == Bearing::Pairs, "{}", field.key);
        }
    }

    #[test]
    fn the_same_pairs_a_step_are_the_same_run() {
        let a = Recipe::default();
        let mut b = a.clone();
        b.set("batch", "4").unwrap();
        assert_eq!(differences(&a, &b, 0), ["training.batch_pairs"]);
        b.set("accumulation", "4").unwrap();
        assert!(differences(&a, &b, 0).is_empty());
        assert_eq!(in_words(&["training.batch_pairs"], &a, &b), "training.batch_pairs is 4, not 16");
    }

    #[test]
    fn what_is_turned_off_makes_no_difference() {
        let a = Recipe::default();
        let mut b = a.clone();
        b.set("lora_rank", "3").unwrap();
        assert!(differences(&a, &b, 0).is_empty());
        b.set("mode", "lora").unwrap();
        assert_eq!(differences(&a, &b, 0), ["training.mode", "training.lora_rank"]);
    }
}
