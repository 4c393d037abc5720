//! A-FINE: three numbers of one pass.

use dp2o_studio::iqa::Metric;
use dp2o_studio::iqa::afine::{BOTH, FIDELITY, NATURALNESS, SCALED};

use crate::generated::Model;
use crate::generated::harness::Comparison;

/// The network with what its fixture was made with where no rule says it: the constants that the other implementation starts with.
fn model() -> Model {
    let scalars = [
        ("natural_scale.yita3", 4.9592),
        ("natural_scale.yita4", 21.5968),
        ("fidelity_scale.yita3", 0.5),
        ("fidelity_scale.yita4", 0.15),
        ("adapter.k", 5.0),
    ];
    scalars.into_iter().fold(Model::of("afine"), |model, (name, value)| model.with(name, &[value]))
}

#[test]
fn all_terms() {
    let model = model();
    let (natural, fidelity, both, scaled) = (&NATURALNESS, &FIDELITY, &BOTH, &SCALED);
    let all: [(&dyn Metric, &str); 4] =
        [(&natural, "afine_nr"), (&fidelity, "afine_fr"), (&both, "afine_all"), (&scaled, "afine_all_scale")];
    for (metric, score) in all {
        let outputs: &[&str] = match score {
            "afine_fr" => &["feature0_dis", "feature5_dis", "feature11_dis"],
            _ => &[],
        };
        Comparison { score, outputs, ..Comparison::new(metric) }.check(&model);
    }
    let comparison = Comparison { score: "afine_all", ..Comparison::new(&both) };
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [64, 100]);
    comparison.check_own_map(&model, [64, 100]);
}
