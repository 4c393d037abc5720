//! The studio: the window researchers work in, a client of the engine that knows no tensor.
//!
//! * [`studio`]: the window itself; takes events in, draws, carries out actions.
//! * [`state`]: everything known of the engine, changed only by [`state::State::apply`]; [`client`]: the way to the
//!   engine and back, never waiting.
//! * [`actions`]: what a pane is and may ask for. [`commands`]: the one table behind menu, palette, shortcuts and `?`;
//!   [`dispatch`] does what each says.
//! * [`chrome`]: the bars; [`command_palette`], [`incoming`], [`weights_window`], [`model_window`], [`dialogs`], [`toasts`]: what opens on
//!   top.
//! * [`history`]: undo and redo. [`layout`]: the tiles. [`session`]: what is remembered from start to start.
//! * [`theme`], [`widgets`], [`format`]: how things look, in one place each.
//! * [`gpu`]: what the shaders in `shaders/` draw. [`viewer`]: pictures side by side, with maps on top, for panes to use.
//! * [`panes`]: one file a pane. A pane knows egui, [`state`] and the engine's protocol, nothing below.
//!
//! The thread that draws never computes and never waits: rankings, pictures and maps are questions to the engine.

pub mod actions;
mod carry_out;
pub mod chrome;
pub mod client;
pub mod command_palette;
pub mod commands;
pub mod dialogs;
mod dispatch;
pub mod fonts;
pub mod format;
pub mod gpu;
pub mod history;
pub mod incoming;
pub mod layout;
pub mod model_window;
pub mod pane_kind;
pub mod panes;
pub mod path_field;
pub mod path_window;
pub mod session;
pub mod state;
pub mod studio;
pub mod theme;
pub mod toasts;
pub mod viewer;
pub mod weights_window;
pub mod widgets;

pub use studio::{Options, Studio, run};
