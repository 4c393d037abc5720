//! The loss of a pair: derivative by finite differences, extremes, ties, broken input.

use dp2o_studio::Error;
use dp2o_studio::method::loss::{LossSums, PairErrors, pair_loss};

fn errors(policy_winner: f64, policy_loser: f64) -> PairErrors {
    PairErrors { policy_winner, reference_winner: 0.4, policy_loser, reference_loser: 0.5 }
}

#[test]
fn the_derivative_agrees_with_finite_differences() {
    let h = 1e-6;
    for beta in [10.0, 1000.0, 5000.0] {
        for (winner, loser) in [(0.4, 0.5), (0.401, 0.4995), (0.395, 0.503), (0.4004, 0.5)] {
            let at = |w, l| pair_loss(&errors(w, l), 0.7, beta).unwrap();
            let here = at(winner, loser);
            let by_winner = (at(winner + h, loser).loss - at(winner - h, loser).loss) / (2.0 * h);
            let by_loser = (at(winner, loser + h).loss - at(winner, loser - h).loss) / (2.0 * h);
            for (analytic, numeric) in [(here.grad_winner, by_winner), (here.grad_loser, by_loser)] {
                let error = (analytic - numeric).abs() / analytic.abs().max(1e-3);
                assert!(error < 1e-4, "β {beta}: {analytic} against {numeric}");
            }
        }
    }
}

#[test]
fn at_the_start_the_loss_is_log_two_and_half_the_pairs_are_right() {
    let start = pair_loss(&errors(0.4, 0.5), 1.0, 5000.0).unwrap();
    assert_eq!(start.loss, std::f64::consts::LN_2);
    assert_eq!((start.accuracy, start.margin), (0.5, 0.0));
    assert_eq!(start.grad_winner, 5000.0 / 4.0);
}

#[test]
fn far_margins_neither_overflow_nor_vanish() {
    // σ(−z) and −log σ(z) both tend to e^(−z): at z = 700 a naive log(σ) gives 0 or infinity.
    let right = pair_loss(&errors(0.4 - 1400.0, 0.5), 1.0, 1.0).unwrap();
    assert!((right.loss / (-700.0f64).exp() - 1.0).abs() < 1e-9);
    assert!(right.grad_winner > 0.0 && right.accuracy == 1.0);
    let wrong = pair_loss(&errors(0.4 + 1e6, 0.5), 1.0, 5000.0).unwrap();
    assert!((wrong.loss / (2500.0 * 1e6) - 1.0).abs() < 1e-9);
    assert_eq!(wrong.grad_winner, 2500.0);
    assert_eq!(wrong.accuracy, 0.0);
}

#[test]
fn broken_errors_stop_the_step() {
    for broken in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for (winner, loser) in [(broken, 0.5), (0.4, broken)] {
            let refused = pair_loss(&errors(winner, loser), 1.0, 1000.0);
            assert!(matches!(refused, Err(Error::Diverged(_))), "{refused:?}");
        }
        assert!(pair_loss(&errors(0.4, 0.5), broken, 1000.0).is_err());
        assert!(pair_loss(&errors(0.41, 0.5), 1.0, broken).is_err());
    }
    assert!(LossSums::new(0).is_err());
    assert_eq!(LossSums::new(4).unwrap().mean(), None);
}

#[test]
fn accumulated_batches_give_the_gradient_of_the_whole_step() {
    let mut sums = LossSums::new(4).unwrap();
    let (winner, _) = sums.add(&errors(0.4, 0.5), 2.0, 1000.0).unwrap();
    assert_eq!(winner, 2.0 * 250.0 / 4.0);
}
