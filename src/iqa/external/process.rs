//! Starts a program, waits for it no longer than is allowed, and reads what it prints.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Bytes that are kept of what a program prints; what comes after is read and dropped, so that it never blocks.
const MOST_PRINTED: usize = 1 << 20;
/// Bytes that are kept of the end of what it complains.
const MOST_COMPLAINED: usize = 4 << 10;
/// How often is looked at whether it ended, and whether somebody still waits; doubles up to the second.
const LOOK: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];
/// How long is waited for the rest of its output once it ended: a child of it may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(2);

/// What the program prints on standard output. It is killed, with its children, after `limit`, or once `is_cancelled`.
///
/// Errors: it cannot be started, takes too long, ends with a fault (with the last line it complained), or prints no text.
/// [`Error::Cancelled`].
pub fn run(program: &Path, arguments: &[String], limit: Duration, is_cancelled: impl Fn() -> bool) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    own_group(&mut command);
    let child = command.spawn().map_err(|e| Error::invalid(format!("{} cannot be started: {e}", program.display())))?;
    let mut running = Running { child, has_ended: false };
    let printed = collect(running.child.stdout.take(), |all, new| {
        let room = MOST_PRINTED.saturating_sub(all.len()).min(new.len());
        all.extend_from_slice(&new[..room]);
    });
    let complained = collect(running.child.stderr.take(), |all, new| {
        all.extend_from_slice(new);
        all.drain(..all.len().saturating_sub(MOST_COMPLAINED));
    });
    let status = running.wait(limit, is_cancelled)?;
    let printed = printed.recv_timeout(DRAIN);
    if !status.success() {
        let complained = complained.recv_timeout(DRAIN).unwrap_or_default();
        let complained = String::from_utf8_lossy(&complained);
        let last = complained.lines().rfind(|line| !line.trim().is_empty()).map(str::trim);
        let last = last.map_or("it said nothing on standard error".into(), super::shortened);
        return Err(Error::invalid(format!("it failed ({status}): {last}")));
    }
    let printed = printed.map_err(|_| Error::invalid("it left a process behind that holds its output open"))?;
    String::from_utf8(printed).map_err(|_| Error::invalid("what it printed is no text; one number a line is wanted"))
}

/// A child that does not outlive this value.
struct Running {
    child: Child,
    has_ended: bool,
}

impl Running {
    fn wait(&mut self, limit: Duration, is_cancelled: impl Fn() -> bool) -> Result<ExitStatus> {
        let began = Instant::now();
        let [mut pause, longest] = LOOK;
        loop {
            if let Some(status) =
                self.child.try_wait().map_err(|e| Error::invalid(format!("it cannot be waited for: {e}")))?
            {
                self.has_ended = true;
                return Ok(status);
            }
            if is_cancelled() {
                return Err(Error::Cancelled);
            }
            if began.elapsed() >= limit {
                let secs = limit.as_secs();
                return Err(Error::invalid(format!("it took longer than {secs} s and was killed (`timeout_secs`)")));
            }
            std::thread::sleep(pause);
            pause = (2 * pause).min(longest);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The number of one that ended may be another's by now.
        if !self.has_ended {
            kill_group(&self.child);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A group of its own, so that its children can be killed with it.
#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_: &mut Command) {}

#[cfg(unix)]
fn kill_group(child: &Child) {
    // SAFETY: a call without pointers; the group has the number of the child, which was not waited for yet.
    if let Ok(group) = i32::try_from(child.id()) {
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

#[cfg(not(unix))]
fn kill_group(_: &Child) {}

/// Reads a pipe to its end on a thread of its own; `keep` says what of it is kept.
fn collect(
    pipe: Option<impl Read + Send + 'static>,
    keep: impl Fn(&mut Vec<u8>, &[u8]) + Send + 'static,
) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 13]);
        if let Some(mut pipe) = pipe {
            while let Ok(n @ 1..) = pipe.read(&mut buffer) {
                keep(&mut all, &buffer[..n]);
            }
        }
        // Fails where nobody waits any more.
        let _ = sender.send(all);
    });
    receiver
}
