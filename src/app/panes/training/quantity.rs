//! What is drawn over the steps of a run.

use crate::app::state::curves::Curves;
use crate::method::evaluation::Evaluation;
use crate::workspace::StepRow;

/// A curve's subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    Loss,
    Accuracy,
    Margin,
    /// e_θ − e_ref on winners.
    WinnerError,
    /// e_θ − e_ref on losers.
    LoserError,
    GradNorm,
    LearningRate,
    /// Rewards on validation images.
    Best,
    Mean,
    Worst,
    /// Mean of a metric on validation images.
    Metric(String),
}

/// A plot: one quantity, or a few that belong on one scale.
#[derive(Clone, Debug)]
pub struct Chart {
    pub title: String,
    pub hint: String,
    pub quantities: Vec<Quantity>,
}

impl Quantity {
    /// Whether there is a value for every step, not only for evaluations.
    pub fn is_per_step(&self) -> bool {
        !matches!(self, Quantity::Best | Quantity::Mean | Quantity::Worst | Quantity::Metric(_))
    }

    /// What sets it apart from the others of its chart; empty where it is alone.
    pub fn part(&self) -> &'static str {
        match self {
            Quantity::WinnerError => "winners",
            Quantity::LoserError => "losers",
            Quantity::Best => "Best",
            Quantity::Mean => "Mean",
            Quantity::Worst => "Worst",
            _ => "",
        }
    }

    /// The value it is read against, with its name: where it stands before anything was learned.
    pub fn reference(&self) -> Option<(f64, &'static str)> {
        match self {
            Quantity::Loss => Some((std::f64::consts::LN_2, "ln 2")),
            Quantity::Accuracy => Some((0.5, "0.5")),
            Quantity::Margin | Quantity::WinnerError | Quantity::LoserError => Some((0.0, "0")),
            _ => None,
        }
    }

    /// Whether there is anything of it. Asked of every curve in every frame: nothing is gathered for that.
    fn is_in(&self, curves: &Curves) -> bool {
        match self.is_per_step() {
            true => !curves.steps.is_empty(),
            false => curves.comparable().any(|e| self.of_evaluation(&e.report).is_some()),
        }
    }

    /// Its values by step, in order.
    pub fn of(&self, curves: &Curves) -> Vec<[f64; 2]> {
        if self.is_per_step() {
            return curves.steps.iter().map(|row| [f64::from(row.step), self.of_step(row)]).collect();
        }
        curves.comparable().filter_map(|e| Some([f64::from(e.step), self.of_evaluation(&e.report)?])).collect()
    }

    fn of_step(&self, row: &StepRow) -> f64 {
        match self {
            Quantity::Loss => row.loss,
            Quantity::Accuracy => row.implicit_accuracy,
            Quantity::Margin => row.margin,
            Quantity::WinnerError => row.policy_winner_error - row.reference_winner_error,
            Quantity::LoserError => row.policy_loser_error - row.reference_loser_error,
            Quantity::GradNorm => row.grad_norm,
            Quantity::LearningRate => row.learning_rate,
            Quantity::Best | Quantity::Mean | Quantity::Worst | Quantity::Metric(_) => f64::NAN,
        }
    }

    fn of_evaluation(&self, report: &Evaluation) -> Option<f64> {
        match self {
            Quantity::Best => report.best.last().copied(),
            Quantity::Mean => report.mean.last().copied(),
            Quantity::Worst => report.worst.last().copied(),
            Quantity::Metric(name) => report.metrics.get(name).map(|metric| metric.mean),
            _ => None,
        }
    }
}

/// The charts of a run: those of the steps, the validation reward, and each metric that was evaluated.
pub fn charts(curves: &Curves) -> Vec<Chart> {
    use Quantity::*;
    let chart = |title: &str, hint: &str, quantities: &[Quantity]| Chart {
        title: title.into(),
        hint: hint.into(),
        quantities: quantities.to_vec(),
    };
    let mut charts = vec![
        chart(
            "Validation reward",
            "Best, Mean and Worst over the seeds, averaged over the validation images",
            &[Best, Mean, Worst],
        ),
        chart(
            "Loss",
            "Mean of w · ℓ over the step's pairs (method §5); its start is near w · ln 2, the dashed line where w = 1",
            &[Loss],
        ),
        chart("Implicit accuracy", "Share of pairs with d < 0, ties counted half; 0.5 at the start", &[Accuracy]),
        chart(
            "Margin",
            "Mean of −(β/2) · d: how much more the policy prefers winners than the reference does",
            &[Margin],
        ),
        chart(
            "Errors against the reference",
            "e_θ − e_ref: both rising means that the policy leaves the data, losers faster than winners that it learns",
            &[WinnerError, LoserError],
        ),
        chart("Gradient norm", "Before clipping", &[GradNorm]),
        chart("Learning rate", "After warm-up constant", &[LearningRate]),
    ];
    let metrics = curves.evaluations.last().map(|e| &e.report.metrics);
    for (name, metric) in metrics.into_iter().flatten() {
        let better = metric.direction.phrase();
        let role = if metric.held_out { "not part of the reward" } else { "part of the reward" };
        charts.push(Chart {
            title: name.clone(),
            hint: format!("Mean over validation images and seeds; {better}, {role}"),
            quantities: vec![Metric(name.clone())],
        });
    }
    // No axes without anything on them.
    charts.retain(|chart| chart.quantities.iter().any(|quantity| quantity.is_in(curves)));
    charts
}
