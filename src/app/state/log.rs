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
    /// Others of its level that came with it and are only in the log.
    pub more: usize,
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
            self.show(Toast { born_secs: now_secs, level, text: text.clone(), offer: Some(Offer::ShowLog), more: 0 });
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
                self.show(Toast { born_secs: now_secs, level, text: text.clone(), offer: None, more: 0 });
                self.line(now_secs, level, text);
            }
            _ => self.add(now_secs, level, text),
        }
    }

    /// Adds a line and shows it with something to do about it.
    pub fn offer(&mut self, now_secs: f64, text: impl Into<String>, offer: Offer) {
        let text = text.into();
        self.show(Toast { born_secs: now_secs, level: Level::Info, text: text.clone(), offer: Some(offer), more: 0 });
        self.line(now_secs, Level::Info, text);
    }

    /// Adds a line of a refusal and shows it with the way to go on nevertheless.
    pub fn refuse(&mut self, now_secs: f64, text: impl Into<String>, offer: Option<Offer>) {
        let text = text.into();
        let offer = offer.or(Some(Offer::ShowLog));
        self.show(Toast { born_secs: now_secs, level: Level::Warning, text: text.clone(), offer, more: 0 });
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
            *same = Toast { more: same.more, ..toast };
            return;
        }
        // A folder of a hundred bad files says so once.
        let is_alike = |known: &&mut Toast| {
            let only_said = [&known.offer, &toast.offer].iter().all(|offer| **offer == Some(Offer::ShowLog));
            only_said && known.level == toast.level
        };
        if let Some(alike) = self.toasts.iter_mut().find(is_alike) {
            *alike = Toast { more: alike.more + 1, ..toast };
            return;
        }
        if self.toasts.len() >= TOASTS {
            self.toasts.remove(0);
        }
        self.toasts.push(toast);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_warnings_are_one_toast_and_a_question_stays_its_own() {
        let mut log = Log::default();
        for file in 0..100 {
            log.add(f64::from(file), Level::Warning, format!("{file}.png: damaged"));
        }
        log.toast(100.0, Level::Error, "Generate: no room");
        log.refuse(100.0, "Curate: seeds are missing", Some(Offer::Undo));
        let shown: Vec<_> = log.toasts.iter().map(|toast| (toast.text.as_str(), toast.more, toast.born_secs)).collect();
        let expected =
            [("99.png: damaged", 99, 99.0), ("Generate: no room", 0, 100.0), ("Curate: seeds are missing", 0, 100.0)];
        assert_eq!(shown, expected);
        assert_eq!(log.lines.len(), 102);
    }
}
