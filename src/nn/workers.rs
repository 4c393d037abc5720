//! Devices that share work: each takes one unit after the other, and computes it on threads of its own.
//!
//! What a unit comes to depends neither on which device computes it nor on how many there are. Units end in any order;
//! whoever adds them up does so in theirs.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder};

use crossbeam_channel::unbounded;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::kernels::Compute;
use crate::{Error, Result};

/// Stack of threads that compute: recursion over a network's graph is deep.
pub const STACK_BYTES: usize = 64 << 20;

/// A device, and the threads that work for it.
#[derive(Clone, Debug)]
pub struct Worker {
    pub compute: Compute,
    /// `None`: those of whoever gives it work.
    threads: Option<Arc<ThreadPool>>,
}

impl Worker {
    /// A device that shares work with none.
    pub fn alone(compute: Compute) -> Self {
        Self { compute, threads: None }
    }

    /// A device with so many threads of its own. Errors: they cannot be started.
    pub fn with_threads(compute: Compute, threads: usize) -> Result<Self> {
        let name = |i: usize| format!("worker thread {i}");
        let pool = ThreadPoolBuilder::new().num_threads(threads.max(1)).thread_name(name).stack_size(STACK_BYTES);
        let pool = pool.build().map_err(|e| Error::invalid(format!("threads could not be started: {e}")))?;
        Ok(Self { compute, threads: Some(Arc::new(pool)) })
    }

    /// Threads that compute for it.
    pub fn thread_count(&self) -> usize {
        self.threads.as_ref().map_or_else(rayon::current_num_threads, |pool| pool.current_num_threads())
    }

    /// Whether tensors of the one are tensors of the other.
    pub fn shares_memory_with(&self, other: &Self) -> bool {
        self.compute.device.same_device(&other.compute.device)
    }

    /// Runs on its threads.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.threads {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

/// Takes something that a unit came to; its error ends the work.
pub type Give<'g, T> = &'g mut dyn FnMut(T) -> Result<()>;

/// Computes a unit on the worker of a number, and gives what it comes to.
pub type Work<'w, U, T> = &'w (dyn for<'g> Fn(usize, U, Give<'g, T>) -> Result<()> + Sync);

/// What is brought to workers.
pub enum Next<U> {
    Unit(U),
    /// Not before more of what is under way has been taken.
    Later,
    /// There are no more.
    End,
}

impl<U> From<Option<U>> for Next<U> {
    fn from(unit: Option<U>) -> Self {
        unit.map_or(Self::End, Self::Unit)
    }
}

/// What a worker says of a unit.
enum Said<T> {
    Made(T),
    /// It is through with it, or has panicked.
    Ended(thread::Result<Result<()>>),
}

/// Gives units to workers as `next` brings them, until there are none: `work` is told the worker's number and the unit, and
/// what it gives is taken by `take`, on this thread, as is what `next` brings. No more units are under way than there are workers,
/// and one that waits. The first error ends it; what was given before is taken. A single worker works on this thread.
pub fn share<U: Send, T: Send>(
    workers: &[Worker],
    next: &mut dyn FnMut() -> Result<Next<U>>,
    work: Work<U, T>,
    take: &mut dyn FnMut(T) -> Result<()>,
) -> Result<()> {
    if let [_] = workers {
        // With one there is nothing to wait for.
        while let Next::Unit(unit) = next()? {
            work(0, unit, take)?;
        }
        return Ok(());
    }
    let is_over = AtomicBool::new(false);
    let (brought, units) = unbounded::<U>();
    let (say, said) = unbounded::<Said<T>>();
    let panic: Option<Box<dyn Any + Send>> = thread::scope(|scope| {
        for (index, worker) in workers.iter().enumerate() {
            let (units, say, is_over) = (units.clone(), say.clone(), &is_over);
            let body = move || {
                for unit in units {
                    let mut give = |made| match is_over.load(Ordering::Relaxed) {
                        true => Err(Error::Cancelled),
                        false => say.send(Said::Made(made)).map_err(|_| Error::Cancelled),
                    };
                    let ended = catch_unwind(AssertUnwindSafe(|| match is_over.load(Ordering::Relaxed) {
                        true => Err(Error::Cancelled),
                        false => worker.run(|| work(index, unit, &mut give)),
                    }));
                    if say.send(Said::Ended(ended)).is_err() {
                        return;
                    }
                }
            };
            let builder = Builder::new().name(format!("worker {index}")).stack_size(STACK_BYTES);
            if let Err(e) = builder.spawn_scoped(scope, body) {
                drop(brought);
                return Err(Error::invalid(format!("a thread could not be started: {e}")));
            }
        }
        let (mut under_way, mut is_last, mut result, mut panic) = (0, false, Ok(()), None);
        loop {
            while under_way <= workers.len() && !is_last && result.is_ok() {
                match next() {
                    Ok(Next::Unit(unit)) => {
                        under_way += 1;
                        // They listen until this end is dropped.
                        let _ = brought.send(unit);
                    }
                    Ok(Next::Later) if under_way > 0 => break,
                    Ok(Next::Later | Next::End) => is_last = true,
                    Err(error) => result = Err(error),
                }
            }
            is_over.store(result.is_err() || panic.is_some(), Ordering::Relaxed);
            if under_way == 0 {
                break;
            }
            match said.recv() {
                Ok(Said::Made(made)) if result.is_ok() => result = take(made),
                Ok(Said::Made(_)) => {}
                Ok(Said::Ended(ended)) => {
                    under_way -= 1;
                    match ended {
                        Ok(Err(error)) if result.is_ok() => result = Err(error),
                        Ok(_) => {}
                        Err(payload) => panic = panic.or(Some(payload)),
                    }
                }
                Err(_) => break,
            }
        }
        drop(brought);
        match panic {
            Some(payload) => Ok(Some(payload)),
            None => result.map(|()| None),
        }
    })?;
    match panic {
        // As if it had happened on this thread.
        Some(payload) => resume_unwind(payload),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    fn workers(count: usize) -> Vec<Worker> {
        match count {
            1 => vec![Worker::alone(Compute::cpu())],
            _ => (0..count).map(|_| Worker::with_threads(Compute::cpu(), 1).unwrap()).collect(),
        }
    }

    /// Shares units `0..count`, of which each gives itself twice.
    fn shared(
        workers: &[Worker],
        count: usize,
        work: &(dyn Fn(usize, usize) -> Result<()> + Sync),
    ) -> (Vec<usize>, Result<()>) {
        let (mut units, mut taken) = (0..count, Vec::new());
        let result = share(
            workers,
            &mut || Ok(units.next().into()),
            &|worker, unit, give: Give<usize>| {
                give(unit)?;
                work(worker, unit)?;
                give(unit)
            },
            &mut |made| {
                taken.push(made);
                Ok(())
            },
        );
        (taken, result)
    }

    #[test]
    fn every_unit_is_made_once_and_all_workers_take_part() {
        for count in [1, 2, 3] {
            let workers = workers(count);
            let (met, seen) = (Barrier::new(count), (0..count).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
            let (mut taken, result) = shared(&workers, 20, &|worker, unit| {
                // The first ones wait for each other: each on a worker of its own.
                if unit < count {
                    met.wait();
                }
                seen[worker].fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            result.unwrap();
            taken.sort_unstable();
            assert_eq!(taken, (0..20).flat_map(|unit| [unit; 2]).collect::<Vec<_>>());
            assert!(seen.iter().all(|seen| seen.load(Ordering::Relaxed) > 0), "{seen:?}");
        }
    }

    #[test]
    fn no_more_is_brought_than_is_soon_worked_at() {
        let workers = workers(2);
        let (brought, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut units = 0..30;
        let mut next = || {
            let ahead = brought.fetch_add(1, Ordering::Relaxed) - taken.load(Ordering::Relaxed);
            assert!(ahead <= 3, "{ahead} ahead");
            Ok(units.next().into())
        };
        share(&workers, &mut next, &|_, unit: usize, give: Give<usize>| give(unit), &mut |_| {
            taken.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn what_is_to_wait_is_brought_once_something_was_taken() {
        let workers = workers(2);
        let (mut units, taken) = (0..20, std::cell::Cell::new(0));
        let mut given = 0;
        let mut next = || {
            if given > taken.get() {
                return Ok(Next::Later);
            }
            given += 1;
            Ok(units.next().into())
        };
        let mut take = |_| {
            taken.set(taken.get() + 1);
            Ok(())
        };
        share(&workers, &mut next, &|_, unit: usize, give: Give<usize>| give(unit), &mut take).unwrap();
        assert_eq!(taken.get(), 20);
    }

    #[test]
    fn the_first_error_ends_it_and_what_was_given_before_is_taken() {
        for count in [1, 2] {
            let workers = workers(count);
            let (taken, result) = shared(&workers, 1000, &|_, unit| match unit {
                5 => Err(Error::invalid("the fifth")),
                _ => Ok(()),
            });
            assert_eq!(result.unwrap_err().to_string(), "the fifth");
            let taken: BTreeSet<usize> = taken.into_iter().collect();
            assert!(taken.len() < 20 && (count > 1 || (0..=5).all(|unit| taken.contains(&unit))), "{taken:?}");
            // So do those of this thread.
            let mut units = 0..10;
            let refused = share(
                &workers,
                &mut || Ok(units.next().into()),
                &|_, unit: usize, give: Give<usize>| give(unit),
                &mut |_| Err(Error::invalid("no room")),
            );
            assert_eq!(refused.unwrap_err().to_string(), "no room");
            let mut nothing = || Err::<Next<usize>, _>(Error::invalid("no units"));
            let empty = share(&workers, &mut nothing, &|_, unit: usize, give: Give<usize>| give(unit), &mut |_| Ok(()));
            assert_eq!(empty.unwrap_err().to_string(), "no units");
        }
    }

    #[test]
    fn a_panic_is_that_of_whoever_gave_the_work() {
        let workers = workers(2);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            shared(&workers, 50, &|_, unit| if unit == 3 { panic!("unit 3") } else { Ok(()) })
        }));
        assert_eq!(*caught.unwrap_err().downcast_ref::<&str>().unwrap(), "unit 3");
    }

    #[test]
    fn work_is_done_on_the_workers_threads() {
        let workers = [2, 1].map(|threads| Worker::with_threads(Compute::cpu(), threads).unwrap());
        let mut units = 0..8;
        let counts = |worker: usize, _: usize, give: Give<(usize, usize)>| give((worker, rayon::current_num_threads()));
        share(&workers, &mut || Ok(units.next().into()), &counts, &mut |(worker, threads)| {
            assert_eq!(threads, [2, 1][worker]);
            Ok(())
        })
        .unwrap();
        assert!(workers[0].shares_memory_with(&workers[1]));
    }
}
