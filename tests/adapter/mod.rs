//! The graphics adapter, for tests that need one and skip without.

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

/// An adapter, if there is one.
pub fn adapter() -> Option<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    now(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).ok()
}
