//! The derivatives of [`super::objective::loss`] where the errors are, as tensors: a device that only queues its work is not waited
//! for between the forward and the backward pass. What the loss came to is told by numbers once they are read, at the step's end.

use candle_core::{DType, Result, Tensor};

use super::recipe::{Objective, Training};

/// Derivatives of the weighted losses of pairs, `[2 · pairs]`, winners first.
pub struct Slopes {
    /// ∂ loss / ∂ e_θ.
    pub error: Tensor,
    /// ∂ loss / ∂ δ²; none where the objective does not ask for it.
    pub drift: Option<Tensor>,
}

/// Of pairs whose errors e_ref and e_θ are `[2 · pairs]`, winners first, in f32; a pair counts by its weight. Advantages are
/// [`Sample::advantage`](super::objective::Sample) of winner and loser.
pub fn slopes(
    settings: &Training,
    [reference, policy]: [&Tensor; 2],
    advantages: &[[f64; 2]],
    weights: &[f64],
) -> Result<Slopes> {
    let Training { objective, beta, anchor, mixture, .. } = *settings;
    let pairs = weights.len();
    // Numbers of each side of each pair, times its weight.
    let numbers = |of: &dyn Fn(usize, f64) -> f64| {
        let of_side = |side: usize| {
            advantages.iter().zip(weights).map(move |(advantage, weight)| (of(side, advantage[side]) * weight) as f32)
        };
        Tensor::from_vec((0..2).flat_map(of_side).collect::<Vec<f32>>(), 2 * pairs, policy.device())
    };
    let changes = (policy - reference)?;
    let (a_w, a_l) = (changes.narrow(0, 0, pairs)?, changes.narrow(0, pairs, pairs)?);
    let both = |w: &Tensor, l: &Tensor| Tensor::cat(&[w, l], 0)? * numbers(&|_, _| 1.0)?;
    let lean = |advantage: f64| mixture * advantage.clamp(-1.0, 1.0);
    let error = match objective {
        Objective::Dpo => {
            let held = (a_w.relu()? * anchor)?;
            let slope = sigmoid(&((((&a_w - &a_l)? + held)? * (0.5 * beta))?))?;
            let by_held = (a_w.gt(0.0)?.to_dtype(DType::F32)?.affine(anchor, 1.0)? * &slope)?;
            both(&(by_held * (0.5 * beta))?, &(slope * (-0.5 * beta))?)?
        }
        Objective::Ipo => {
            let miss = (&a_w - &a_l)?.affine(-0.5 * beta, -0.5)?;
            both(&(&miss * -beta)?, &(miss * beta)?)?
        }
        Objective::Group => {
            let advantages: Vec<f32> = (0..2).flat_map(|side| advantages.iter().map(move |a| a[side] as f32)).collect();
            let advantages = Tensor::from_vec(advantages, 2 * pairs, policy.device())?;
            let along = (&changes * &advantages)?;
            let sum = (along.narrow(0, 0, pairs)? + along.narrow(0, pairs, pairs)?)?;
            let slope = (sigmoid(&(sum * (0.5 * beta))?)? * (0.5 * beta))?;
            (both(&slope, &slope)? * advantages)?
        }
        Objective::Nft => numbers(&|_, advantage| lean(advantage) / 2.0)?,
        Objective::Sft => numbers(&|side, _| if side == 0 { 1.0 } else { 0.0 })?,
    };
    let drift = (objective == Objective::Nft)
        .then(|| numbers(&|_, advantage| (mixture * mixture - lean(advantage)) / 2.0))
        .transpose()?;
    Ok(Slopes { error, drift })
}

/// σ(x) by the hyperbolic tangent, which overflows nowhere.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x * 0.5)?.tanh()?.affine(0.5, 0.5)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::method::objective::{self, Sample};

    /// Of every objective, with the anchor and without, where winners rose and where they fell, and where nothing changed.
    #[test]
    fn tensors_come_to_what_numbers_do() {
        let reference = [0.40, 0.31, 0.52, 0.40, 0.2, 0.3];
        let policy = [0.41, 0.30, 0.52, 0.38, 0.23, 0.3];
        let (advantages, weights) = ([[1.0, -1.0], [1.7, -0.4], [0.3, -2.0]], [1.0, 0.25, 3.0]);
        let tensor = |values: &[f64]| Tensor::from_iter(values.iter().map(|v| *v as f32), &Device::Cpu).unwrap();
        for (word, anchor) in Objective::WORDS.iter().flat_map(|word| [(word, 0.0), (word, 0.7)]) {
            let objective = Objective::from_word(word).unwrap();
            let settings = Training { objective, anchor, beta: 120.0, mixture: 0.8, ..Training::default() };
            let got = slopes(&settings, [&tensor(&reference), &tensor(&policy)], &advantages, &weights).unwrap();
            let [error, drift] = [Some(got.error), got.drift].map(|t| t.map(|t| t.to_vec1::<f32>().unwrap()));
            for pair in 0..3 {
                let sample = |side: usize| Sample {
                    policy: f64::from(policy[3 * side + pair] as f32),
                    reference: f64::from(reference[3 * side + pair] as f32),
                    drift: 0.01,
                    advantage: advantages[pair][side],
                };
                let want = objective::loss(&settings, [sample(0), sample(1)], weights[pair]).unwrap();
                for (side, (of_error, of_drift)) in want.error.into_iter().zip(want.drift).enumerate() {
                    let at = |of: &Option<Vec<f32>>| of.as_ref().map_or(0.0, |of| f64::from(of[3 * side + pair]));
                    let close = |got: f64, want: f64| {
                        assert!((got - want).abs() <= 2e-5 * (1.0 + want.abs()), "{word}: {got}, not {want}")
                    };
                    close(at(&error), of_error);
                    close(at(&drift), of_drift);
                }
            }
        }
    }
}
