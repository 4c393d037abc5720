//! Learned metrics with generated weights against pyiqa, which is another implementation of them.

#[path = "../generated/mod.rs"]
mod generated;

use generated::Model;

#[test]
fn generated_weights_are_those_of_the_fixtures() {
    // The networks whose tests check it for all files.
    for name in ["lpips_alex", "dists"] {
        Model::of(name).check_digests();
    }
}
