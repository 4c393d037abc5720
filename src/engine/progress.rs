//! How far a job is, how fast, and when it will be done.

use std::time::{Duration, Instant};

use crate::memory;

/// Progress of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// What is being done, such as "sampling".
    pub stage: String,
    /// What the units are, such as "candidates".
    pub unit: &'static str,
    pub done: u64,
    /// What is done of those that are begun, in units.
    pub begun: f64,
    pub total: u64,
    /// Units a second.
    pub rate: f64,
    /// Seconds left; `None` until it can be told.
    pub eta_secs: Option<f64>,
}

impl Progress {
    /// Units done, those that are begun for what is done of them.
    fn at(&self) -> f64 {
        self.done as f64 + self.begun
    }

    /// Whether this comes before the work itself.
    pub fn is_before_work(&self) -> bool {
        [MEGABYTES, PROMPTS].contains(&self.unit)
    }

    /// Share done, in [0, 1].
    pub fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { (self.at() / self.total as f64).min(1.0) }
    }
}

/// The unit of files being read, and that of texts being encoded: what comes before the work itself.
pub const MEGABYTES: &str = "MB";
pub const PROMPTS: &str = "prompts";

/// Reports are at least this far apart; a bounded channel is not a place for thousands of them.
const INTERVAL: Duration = Duration::from_millis(100);
/// The rate forgets with this time constant, so that it follows a machine that gets busy.
const MEMORY_SECS: f64 = 30.0;

/// Measures the progress of one stage.
#[derive(Debug)]
pub struct Meter {
    progress: Progress,
    counted: f64,
    since: Instant,
    reported: Option<Instant>,
}

impl Meter {
    /// A stage of `total` units.
    pub fn new(stage: impl Into<String>, unit: &'static str, total: usize) -> Self {
        let progress = Progress { stage: stage.into(), unit, total: total as u64, ..Progress::default() };
        memory::doing(&progress.stage);
        Self { progress, counted: 0.0, since: Instant::now(), reported: None }
    }

    /// The stage, which began before it was known that there is anything to report.
    pub fn since(self, began: Instant) -> Self {
        Self { since: began, ..self }
    }

    /// The stage, of which `units` were done before: they say nothing of how fast it is now.
    pub fn resumed_at(mut self, units: usize) -> Self {
        self.progress.done = units as u64;
        self.counted = units as f64;
        self
    }

    /// The stage as it stands.
    pub fn now(&self) -> Progress {
        self.progress.clone()
    }

    /// Time that passed without work, such as a pause, is not counted.
    pub fn skip_time(&mut self) {
        self.since = Instant::now();
    }

    /// Counts `units` more; returns the progress if it is time to report it.
    pub fn add(&mut self, units: usize) -> Option<Progress> {
        self.progress.done += units as u64;
        self.begun(0.0)
    }

    /// Of the units that follow, so much is done; returns the progress if it is time to report it.
    pub fn begun(&mut self, units: f64) -> Option<Progress> {
        let p = &mut self.progress;
        p.begun = units;
        let (at, elapsed) = (p.at(), self.since.elapsed().as_secs_f64());
        if at > self.counted && elapsed > 1e-3 {
            let rate = (at - self.counted) / elapsed;
            let keep = if p.rate == 0.0 { 0.0 } else { (-elapsed / MEMORY_SECS).exp() };
            p.rate = keep * p.rate + (1.0 - keep) * rate;
            (self.since, self.counted) = (Instant::now(), at);
        }
        p.eta_secs = (p.rate > 0.0).then(|| (p.total as f64 - at).max(0.0) / p.rate);
        let due = self.reported.is_none_or(|t| t.elapsed() >= INTERVAL) || p.done >= p.total;
        due.then(|| {
            self.reported = Some(Instant::now());
            p.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_unit_is_always_reported_and_the_eta_ends_at_zero() {
        let mut meter = Meter::new("sampling", "candidates", 3);
        assert!(meter.add(1).is_some());
        std::thread::sleep(Duration::from_millis(5));
        assert!(meter.add(1).is_none());
        let last = meter.add(1).unwrap();
        assert_eq!((last.done, last.share()), (3, 1.0));
        assert_eq!(last.eta_secs, Some(0.0));
    }

    #[test]
    fn what_was_done_before_does_not_count_as_fast() {
        let mut meter = Meter::new("training", "steps", 1000).resumed_at(900);
        std::thread::sleep(Duration::from_millis(5));
        let resumed = meter.add(0).unwrap();
        assert_eq!((resumed.done, resumed.rate, resumed.eta_secs), (900, 0.0, None));
        std::thread::sleep(Duration::from_millis(5));
        meter.add(1);
        let now = meter.now();
        // Nothing is faster than one unit in the time that was slept.
        assert!(now.rate > 0.0 && now.rate < 200.0 && now.eta_secs.is_some_and(|secs| secs > 0.4), "{now:?}");
    }

    #[test]
    fn what_is_begun_counts_for_what_is_done_of_it() {
        let mut meter = Meter::new("sampling", "candidates", 4);
        std::thread::sleep(Duration::from_millis(5));
        let half = meter.begun(0.5).unwrap();
        assert_eq!((half.done, half.share()), (0, 0.125));
        assert!(half.rate > 0.0 && half.eta_secs.is_some_and(|secs| secs > 0.03), "{half:?}");
        meter.add(4);
        assert_eq!(meter.now().share(), 1.0);
    }
}
