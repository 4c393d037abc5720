//! Metrics with published networks, on generated weights: seconds for an image and, for each of a batch of 16 as the engine scores
//! them, with the reference bound; and the most memory that scoring took. `benches/iqa_pyiqa.py` has pyiqa's on the same images.
//!
//! `cargo bench --bench learned -- [NETWORK …]` with names of `tests/fixtures/iqa/learned`; `BATCH=4` takes fewer at once.
//!
//! Each network has a process of its own, so that none inherits another's memory.

#[path = "../tests/generated/mod.rs"]
mod generated;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dp2o_studio::iqa::generated::pair;
use dp2o_studio::iqa::maniqa::Maniqa;
use dp2o_studio::iqa::{self, Features, Metric};
use dp2o_studio::nn::kernels::Compute;
use generated::{Model, NETWORKS};

static MANIQA_2: Maniqa = Maniqa::pipal("maniqa-pipal-2crops", "", "", 2);
const SIZE_PX: [usize; 2] = [512, 512];
/// Rounds that are measured, as long as they fit into [`ENOUGH`].
const ROUNDS: usize = 7;
const ENOUGH: Duration = Duration::from_secs(30);
/// Names the network to the process that measures it.
const VARIABLE: &str = "DP2O_BENCH_NETWORK";

fn main() {
    if let Ok(wanted) = std::env::var(VARIABLE) {
        let known = NETWORKS.iter().find(|(network, _)| *network == wanted);
        return known
            .map_or_else(|| println!("{wanted}: no such network"), |(network, metric)| measure(network, metric));
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    println!("{:22} {:>10} {:>14} {:>9}", "network", "single ms", "batched ms", "peak MiB");
    for (network, _) in NETWORKS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name)) {
        let program = std::env::current_exe().expect("this program is a file");
        let status = std::process::Command::new(program).env(VARIABLE, network).status();
        if !status.is_ok_and(|status| status.success()) {
            println!("{network}: failed");
        }
    }
}

fn measure(network: &'static str, metric: &str) {
    // Twenty crops, at ten times the price, would tell nothing else.
    let metric: Result<Arc<dyn Metric>, _> = match network {
        "maniqa_pipal_2crops" => Ok(Arc::new(&MANIQA_2)),
        _ => iqa::by_name(metric),
    };
    let Ok(metric) = metric else { return println!("{network:22} not in this program") };
    let scorer = match metric.open(&Model::whole(network).store(), &Compute::cpu()) {
        Ok(scorer) => scorer,
        Err(error) => return println!("{network:22} {error}"),
    };
    let [reference, distorted] = pair(SIZE_PX).expect("the size is fine").map(Arc::new);
    let features = Features::default();
    forget_peak();
    let compared = metric.info().is_fr().then_some(&reference);
    let bind = || scorer.bind(compared, &Features::default()).expect("the reference is fine");
    // As pyiqa scores: both images anew.
    let single = seconds(|| {
        bind().score(&distorted, &Features::default()).expect("a score");
    });
    let bound = scorer.bind(compared, &features).expect("the reference is fine");
    let batch: usize = std::env::var("BATCH").ok().and_then(|text| text.parse().ok()).unwrap_or(16);
    let images: Vec<_> = (0..batch).map(|_| Arc::new((*distorted).clone())).collect();
    let at_once = scorer.batch(SIZE_PX);
    let batched = seconds(|| {
        for some in images.chunks(at_once) {
            let scores = bound.scores(some, &features.within());
            assert!(scores.iter().all(Result::is_ok));
        }
    });
    let peak = peak_mib().map_or_else(|| "?".into(), |mib| mib.to_string());
    println!("{network:22} {:>10.0} {:>14.0} {peak:>9}", 1e3 * single, 1e3 * batched / batch as f64);
}

/// The median of some rounds after one that is not counted.
fn seconds(mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() <= ROUNDS && (times.len() < 2 || began.elapsed() < ENOUGH) {
        let round = Instant::now();
        work();
        times.push(round.elapsed().as_secs_f64());
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// From now on the kernel counts the peak of this process's memory anew; what is resident counts.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
