//! A-FINE: three numbers of one pass.

use dp2o_studio::iqa::Metric;
use dp2o_studio::iqa::afine::{BOTH, FIDELITY, NATURALNESS, SCALED};

use crate::generated::Model;
use crate::generated::harness::Comparison;

#[test]
fn all_terms() {
    let model = Model::whole("afine");
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
