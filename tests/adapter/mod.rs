//! The graphics adapter, for tests that need one and skip without; with `DP2O_NEEDS_ADAPTER` set they fail instead.

use std::task::{Context, Poll, Waker};

/// Waits for a future of wgpu's, which are ready at once outside of browsers.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        std::thread::yield_now();
    }
}

/// An adapter, if there is one. Panics: there is none, and `DP2O_NEEDS_ADAPTER` says that there must be.
pub fn adapter() -> Option<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let found = now(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).ok();
    let is_needed = std::env::var_os("DP2O_NEEDS_ADAPTER").is_some_and(|value| value != "0");
    assert!(found.is_some() || !is_needed, "there is no graphics adapter, and DP2O_NEEDS_ADAPTER is set");
    found
}
