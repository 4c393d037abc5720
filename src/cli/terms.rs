//! Terms that restrict what weights may be used for, before their first use on this machine.
//!
//! On a terminal they are asked for once. A script has nobody to ask: the terms are said and the work goes on, as nothing that was
//! set up to run at night should stand still over a question; `--accept-terms` confirms them.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::sync::OnceLock;

use super::out::note;
use super::weights::store;
use crate::weights::{Part, terms};
use crate::{Error, Result};

static ACCEPTS: OnceLock<bool> = OnceLock::new();

/// Whether this process was started with `--accept-terms`.
pub fn keep(accepts: bool) {
    ACCEPTS.get_or_init(|| accepts);
}

/// Shows the terms of the parts that will be used, where they restrict something and were not confirmed here yet.
/// Errors: a person declines.
pub fn confirm(parts: &[&'static Part]) -> Result<()> {
    let used: Vec<&'static Part> = parts.iter().copied().filter(|part| store().state(part).is_here()).collect();
    let restricting = terms::restricting(&used);
    let known = if restricting.is_empty() { BTreeSet::new() } else { terms::confirmed() };
    let unread: BTreeSet<String> = restricting.into_iter().filter(|terms| !known.contains(terms)).collect();
    if unread.is_empty() {
        return Ok(());
    }
    let accepts = ACCEPTS.get().is_some_and(|&accepts| accepts);
    if !accepts {
        note(format_args!("The weights in use are under terms that restrict what they may be used for:"));
        unread.iter().for_each(|terms| note(format_args!("  {terms}")));
    }
    let asks = !accepts && stdin().is_terminal() && stderr().is_terminal();
    if asks && !says_yes() {
        return Err(Error::invalid("the terms of the weights were not confirmed; nothing was computed"));
    }
    if !accepts && !asks {
        note(format_args!("note: nobody is here to confirm that, so it is said each time; --accept-terms confirms it"));
        return Ok(());
    }
    // What cannot be remembered is asked again.
    terms::confirm(unread).unwrap_or_else(|error| note(format_args!("warning: {error}")));
    Ok(())
}

fn says_yes() -> bool {
    let _ = write!(stderr(), "Use them under these terms? Remembered on this machine. [y/N] ");
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer);
    read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}
