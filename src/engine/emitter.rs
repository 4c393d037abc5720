//! The way of events to the client.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::protocol::Event;

/// Called after each event, from the engine's threads; must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Sends events to the client.
#[derive(Clone)]
pub(super) struct Emitter {
    sender: Sender<Event>,
    wake: Wake,
}

impl Emitter {
    pub fn new(sender: Sender<Event>, wake: Wake) -> Self {
        Self { sender, wake }
    }

    /// Waits for room.
    pub fn send(&self, event: Event) {
        // Fails only when the client is gone, and then nobody misses the event.
        let _ = self.sender.send(event);
        (self.wake)();
    }

    /// Never waits, for the client's own thread, which is the one that makes room; an event without room is lost.
    pub fn try_send(&self, event: Event) {
        let _ = self.sender.try_send(event);
        (self.wake)();
    }
}
