//! Ctrl-C as a wish to stop: what is begun is finished, what is done is kept. A second one ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once the person wants the work of this process to stop.
static STOP: std::sync::OnceLock<Arc<AtomicBool>> = std::sync::OnceLock::new();

/// From now on Ctrl-C sets what is returned, the first time.
pub fn flag() -> Arc<AtomicBool> {
    let flag = STOP.get_or_init(Arc::default).clone();
    #[cfg(unix)]
    listen();
    flag
}

#[cfg(unix)]
fn listen() {
    extern "C" fn stop(_: libc::c_int) {
        if let Some(flag) = STOP.get() {
            flag.store(true, Ordering::Relaxed);
        }
    }
    let handler: extern "C" fn(libc::c_int) = stop;
    // SAFETY: the handler only stores to an atomic that is there for as long as the process; all fields of the action are set,
    // and with SA_RESETHAND the second signal does what it did before.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGINT, &action, std::ptr::null_mut());
    }
}
