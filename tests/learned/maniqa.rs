//! MANIQA. Two crops are enough to tell a mean over all patches from a mean of crops, and take a tenth of the time.

use dp2o_studio::iqa::maniqa::Maniqa;

use crate::generated::Model;
use crate::generated::harness::Comparison;

static PIPAL: Maniqa = Maniqa::pipal("maniqa-pipal-2crops", "", "", 2);
static KONIQ: Maniqa = Maniqa::koniq("maniqa-2crops", "", "", 2);

#[test]
fn pipal() {
    let (metric, model) = (&PIPAL, Model::of("maniqa_pipal_2crops"));
    Comparison { runs: &["odd"], ..Comparison::new(&metric) }.check(&model);
}

#[test]
#[ignore = "the same network with other weights, and further sizes: cargo test --release --test learned maniqa -- --ignored"]
fn koniq_and_sizes() {
    let (metric, model) = (&KONIQ, Model::of("maniqa_koniq_2crops"));
    Comparison::new(&metric).check(&model);
    let (metric, model) = (&PIPAL, Model::of("maniqa_pipal_2crops"));
    let comparison = Comparison::new(&metric);
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [230, 260]);
    comparison.check_own_map(&model, [224, 250]);
}
