//! Pause and cancel: asked for by any thread, obeyed by the one that computes at its next checkpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::{Error, Result};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wish {
    pause: bool,
    cancel: bool,
}

/// Shared by the thread that asks and the one that obeys.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<(Mutex<Wish>, Condvar)>, Arc<AtomicBool>);

impl Control {
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

    /// Asks to stop.
    pub fn cancel(&self) {
        self.change(|wish| wish.cancel = true);
        self.1.store(true, Ordering::Relaxed);
    }

    /// Forgets that a stop was asked for: the next job begins.
    pub fn reset(&self) {
        self.change(|wish| wish.cancel = false);
        self.1.store(false, Ordering::Relaxed);
    }

    /// Set while a stop is asked for: for work that cannot come to a checkpoint.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        self.1.clone()
    }

    /// Returns at once, or holds while paused; [`Error::Cancelled`] once a stop was asked for. `held` is told when
    /// holding begins (`true`) and ends.
    pub fn checkpoint(&self, mut held: impl FnMut(bool)) -> Result<()> {
        let mut wish = self.wish();
        if wish.pause && !wish.cancel {
            drop(wish);
            held(true);
            wish = self.wish();
            while wish.pause && !wish.cancel {
                wish = self.0.1.wait(wish).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
            drop(wish);
            held(false);
            wish = self.wish();
        }
        if wish.cancel { Err(Error::Cancelled) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_holds_until_resume_or_cancel() {
        let control = Control::default();
        assert!(control.checkpoint(|_| unreachable!()).is_ok());
        for cancel in [false, true] {
            control.reset();
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
}
