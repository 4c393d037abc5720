//! Which commands may be started on this machine: those that a person allowed here, once each.
//!
//! A recipe may name commands as metrics, and a workspace comes with a recipe. Opening one that somebody else made must not
//! start anything, so every command is refused until it was allowed; a program that changed is another command.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use crate::fs::atomic::write_atomic;
use crate::fs::{hash, places};
use crate::iqa::External;
use crate::{Error, Permit, Result};

/// Allowed while this process runs, where there is no place to remember it in.
static ALLOWED: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// Refused unless every one of these commands was allowed. Errors: a program is not there.
pub fn check(commands: &[&External]) -> Result<()> {
    let known = known();
    for command in commands {
        if !known.contains(&identity(command)?) {
            let (name, template) = (&command.name, command.template());
            let cause = format!(
                "the metric `{name}` starts `{template}`, which was never allowed on this machine or has changed; look at what \
                 it does, then allow it"
            );
            return Err(Error::Refused { cause, permit: Permit::External });
        }
    }
    Ok(())
}

/// Allows commands on this machine, now and later.
pub fn allow(commands: &[External]) -> Result<()> {
    let mut known = known();
    known.extend(commands.iter().filter(|command| !command.is_imported()).map(identity).collect::<Result<Vec<_>>>()?);
    ALLOWED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).extend(known.iter().cloned());
    let Some(file) = file() else { return Ok(()) };
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Error::file(dir, e))?;
    }
    write_atomic(&file, &serde_json::to_vec_pretty(&known).map_err(Error::invalid)?)
}

/// Names a command with the contents of its program and of the files among its arguments.
fn identity(command: &External) -> Result<String> {
    let program = command.resolve().and_then(|resolved| resolved.hash());
    let program = program.map_err(|e| Error::invalid(format!("{}: {e}", command.name)))?;
    Ok(hash::hash_bytes(format!("{program} {:?}", command.program).as_bytes()))
}

/// What was allowed; a file that cannot be read allows nothing.
fn known() -> BTreeSet<String> {
    let mut known: BTreeSet<String> = file()
        .and_then(|file| std::fs::read(file).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    known.extend(ALLOWED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).iter().cloned());
    known
}

fn file() -> Option<PathBuf> {
    Some(places::data_dir()?.join("allowed-commands.json"))
}
