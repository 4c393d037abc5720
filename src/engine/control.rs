//! Pause and cancel of a job: asked for by any thread, obeyed by those that compute for it at their next checkpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::{Error, Result};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wish {
    pause: bool,
    cancel: bool,
    /// Threads that hold.
    holding: usize,
}

/// Of one job; shared by whoever asks and those that obey.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<(Mutex<Wish>, Condvar)>, Arc<AtomicBool>);

impl Control {
    /// Of a job of a queue, which share what says that the one that runs is to stop.
    pub fn sharing(cancelled: &Arc<AtomicBool>) -> Self {
        Self(Arc::default(), cancelled.clone())
    }

    fn wish(&self) -> MutexGuard<'_, Wish> {
        self.0.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change(&self, change: impl FnOnce(&mut Wish)) {
        change(&mut self.wish());
        self.0.1.notify_all();
    }

    /// Asks to hold, or to go on.
    pub fn set_pause(&self, pause: bool) {
        self.change(|wish| wish.pause = pause);
    }

    /// Asks to stop, for good.
    pub fn cancel(&self) {
        self.change(|wish| wish.cancel = true);
        self.1.store(true, Ordering::Relaxed);
    }

    /// Set once a stop was asked for: for work that cannot come to a checkpoint.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        self.1.clone()
    }

    /// Returns at once, or holds while paused; [`Error::Cancelled`] once a stop was asked for. Of several threads the first that
    /// holds tells `held` so (`true`), and the last that goes on.
    pub fn checkpoint(&self, mut held: impl FnMut(bool)) -> Result<()> {
        let mut wish = self.wish();
        if wish.pause && !wish.cancel {
            wish.holding += 1;
            let is_first = wish.holding == 1;
            drop(wish);
            if is_first {
                held(true);
            }
            wish = self.wish();
            while wish.pause && !wish.cancel {
                wish = self.0.1.wait(wish).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
            wish.holding -= 1;
            let is_last = wish.holding == 0;
            drop(wish);
            if is_last {
                held(false);
            }
            wish = self.wish();
        }
        if wish.cancel { Err(Error::Cancelled) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn pause_holds_until_resume_or_cancel() {
        for cancel in [false, true] {
            let control = Control::default();
            assert!(control.checkpoint(|_| unreachable!()).is_ok());
            control.set_pause(true);
            let held = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| control.checkpoint(|h| held.store(h, Ordering::SeqCst)));
                while !held.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                if cancel {
                    control.cancel()
                } else {
                    control.set_pause(false)
                }
                assert_eq!(waiting.join().unwrap().is_err(), cancel);
            });
        }
    }

    #[test]
    fn of_several_threads_that_hold_one_says_so_and_one_that_it_goes_on() {
        let control = Control::default();
        control.set_pause(true);
        let said = [const { AtomicUsize::new(0) }; 2];
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    control.checkpoint(|held| {
                        said[held as usize].fetch_add(1, Ordering::SeqCst);
                    })
                });
            }
            while control.wish().holding < 3 {
                std::thread::yield_now();
            }
            control.set_pause(false);
        });
        assert_eq!(said.map(AtomicUsize::into_inner), [1, 1]);
        assert_eq!(control.wish().holding, 0);
    }
}
