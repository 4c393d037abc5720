//! The log, and the toasts that show its weightier lines for a while.

use std::collections::VecDeque;

use crate::Permit;
use crate::engine::protocol::{Job, Level};

/// Lines kept.
const LINES: usize = 5000;
/// Toasts on the screen at once.
const TOASTS: usize = 4;

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Seconds since the studio started.
    pub at_secs: f64,
    pub level: Level,
    pub text: String,
}

/// What a toast offers to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Offer {
    Undo,
    ShowLog,
    /// Gives a refused job again, with what it was refused for permitted.
    Permit(Box<Job>, Permit),
}

/// A line shown on top of everything for some seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Toast {
    pub born_secs: f64,
    pub level: Level,
    pub text: String,
    pub offer: Option<Offer>,
}

impl Toast {
    /// How long it stays, in seconds: what went wrong stays longer.
    pub fn life_secs(&self) -> f64 {
        match self.level {
            // A question waits for its answer.
            _ if matches!(self.offer, Some(Offer::Permit(..))) => 60.0,
            Level::Info => 4.0,
            Level::Warning => 8.0,
            Level::Error => 14.0,
        }
    }
}

/// Lines and toasts.
#[derive(Debug, Default)]
pub struct Log {
    pub lines: VecDeque<Line>,
    pub toasts: Vec<Toast>,
    /// Errors and warnings since the log was last looked at.
    pub unseen: usize,
}

impl Log {
    /// Adds a line; warnings and errors are shown as toasts too.
    pub fn add(&mut self, now_secs: f64, level: Level, text: impl Into<String>) {
        let text = text.into();
        if level > Level::Info {
            self.show(Toast { born_secs: now_secs, level, text: text.clone(), offer: Some(Offer::ShowLog) });
            self.unseen += 1;
        }
        self.line(now_secs, level, text);
    }

    /// Adds a line that a toast tells the gist of.
    pub fn note(&mut self, now_secs: f64, level: Level, text: impl Into<String>) {
        self.unseen += usize::from(level > Level::Info);
        self.line(now_secs, level, text.into());
    }

    /// Adds a line and shows it, whatever its level.
    pub fn toast(&mut self, now_secs: f64, level: Level, text: impl Into<String>) {
        let text = text.into();
        match level {
            Level::Info => {
                self.show(Toast { born_secs: now_secs, level, text: text.clone(), offer: None });
                self.line(now_secs, level, text);
            }
            _ => self.add(now_secs, level, text),
        }
    }

    /// Adds a line and shows it with something to do about it.
    pub fn offer(&mut self, now_secs: f64, text: impl Into<String>, offer: Offer) {
        let text = text.into();
        self.show(Toast { born_secs: now_secs, level: Level::Info, text: text.clone(), offer: Some(offer) });
        self.line(now_secs, Level::Info, text);
    }

    /// Adds a line of a refusal and shows it with the way to go on nevertheless.
    pub fn refuse(&mut self, now_secs: f64, text: impl Into<String>, offer: Option<Offer>) {
        let text = text.into();
        let offer = offer.or(Some(Offer::ShowLog));
        self.show(Toast { born_secs: now_secs, level: Level::Warning, text: text.clone(), offer });
        self.unseen += 1;
        self.line(now_secs, Level::Warning, text);
    }

    /// Drops toasts that have been shown long enough.
    pub fn expire(&mut self, now_secs: f64) {
        self.toasts.retain(|toast| now_secs - toast.born_secs < toast.life_secs());
    }

    fn line(&mut self, at_secs: f64, level: Level, text: String) {
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at_secs, level, text });
    }

    fn show(&mut self, toast: Toast) {
        if let Some(same) = self.toasts.iter_mut().find(|t| t.text == toast.text) {
            *same = toast;
            return;
        }
        if self.toasts.len() >= TOASTS {
            self.toasts.remove(0);
        }
        self.toasts.push(toast);
    }
}
