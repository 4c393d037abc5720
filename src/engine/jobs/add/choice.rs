//! Which of several files is the partner of an image, once all were compared.

use super::likeness::BOUND;

/// A file that might be the partner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// See [`super::likeness`]; NaN never.
    pub likeness: f64,
    /// See [`super::names::Place::distance`].
    pub distance: u8,
}

/// What came of it; numbers are indices into the candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    One(usize),
    /// These are equally good.
    Several(Vec<usize>),
    /// None resembles it enough; the best, where there are any.
    None(Option<usize>),
}

/// How much nearer to 1 a likeness must be for one file to be clearly better than another: the second's distance from 1
/// times this.
const CLEARLY: f64 = 0.5;

/// Likenesses nearer to each other than about this differ by rounding.
const ROUNDING: f64 = 0.002;

/// The one that clearly resembles most; among those that are equally good the nearest place decides, or nothing does.
pub fn choose(candidates: &[Candidate]) -> Choice {
    let best = (0..candidates.len()).max_by(|&a, &b| candidates[a].likeness.total_cmp(&candidates[b].likeness));
    let Some(best) = best else { return Choice::None(None) };
    if candidates[best].likeness < BOUND {
        return Choice::None(Some(best));
    }
    let miss = 1.0 - candidates[best].likeness;
    let equal = |c: &Candidate| c.likeness >= BOUND && miss + ROUNDING >= CLEARLY * (1.0 - c.likeness);
    let rivals: Vec<usize> = (0..candidates.len()).filter(|&i| i == best || equal(&candidates[i])).collect();
    let nearest = rivals.iter().map(|&i| candidates[i].distance).min();
    let near: Vec<usize> = rivals.into_iter().filter(|&i| Some(candidates[i].distance) == nearest).collect();
    match near.as_slice() {
        [one] => Choice::One(*one),
        _ => Choice::Several(near),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(candidates: &[(f64, u8)]) -> Choice {
        let candidates: Vec<_> =
            candidates.iter().map(|&(likeness, distance)| Candidate { likeness, distance }).collect();
        choose(&candidates)
    }

    #[test]
    fn content_chooses_place_decides_between_equals_and_nothing_is_guessed() {
        let just_below = BOUND - 1e-6;
        assert_eq!(chosen(&[]), Choice::None(None));
        assert_eq!(chosen(&[(0.1, 0), (just_below, 2)]), Choice::None(Some(1)));
        assert_eq!(chosen(&[(BOUND, 2)]), Choice::One(0));
        // Clearly better, though far.
        assert_eq!(chosen(&[(0.9, 0), (0.999, 2)]), Choice::One(1));
        // Equally good: the near one, if it is one.
        assert_eq!(chosen(&[(0.99, 2), (0.985, 0), (0.99, 1)]), Choice::One(1));
        assert_eq!(chosen(&[(0.99, 0), (0.985, 0), (0.99, 1)]), Choice::Several(vec![0, 1]));
        assert_eq!(chosen(&[(1.0, 2), (1.0, 2), (0.2, 0)]), Choice::Several(vec![0, 1]));
        assert_eq!(chosen(&[(1.0, 2), (0.9995, 2)]), Choice::Several(vec![0, 1]));
    }
}
