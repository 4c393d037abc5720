//! Files of gigabytes, read with progress, and until nobody wants the rest.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};
use rayon::prelude::*;

use super::context::Context;
use super::memory_need;
use super::progress::{MEGABYTES, Meter};
use super::protocol::Level;
use crate::weights::Part;
use crate::{Error, Result};

const MEGABYTE: u64 = 1_000_000;
/// Time between two reports.
const EVERY: Duration = Duration::from_millis(100);
/// Less is read before anybody would read that it is.
const WORTH_SAYING: u64 = 100 * MEGABYTE;

/// Reports what is read of files, until it is dropped.
pub(super) struct Watched {
    ended: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watched {
    /// Reports what is read from now on as progress of `stage`, of so many bytes.
    pub fn new(context: &Context, stage: impl Into<String>, bytes: u64) -> Self {
        let (ended, end) = crossbeam_channel::bounded::<()>(0);
        let (reading, report, stage) = (context.reading.clone(), context.reporter(), stage.into());
        let before = reading.bytes();
        let thread = thread::spawn(move || {
            let (began, mut meter, mut counted) = (Instant::now(), None, 0);
            while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let read = (reading.bytes().saturating_sub(before) / MEGABYTE) as usize;
                if read > counted {
                    let total = bytes.div_ceil(MEGABYTE) as usize;
                    let meter = meter.get_or_insert_with(|| Meter::new(stage.as_str(), MEGABYTES, total).since(began));
                    meter.add(read - counted).into_iter().for_each(&report);
                    counted = read;
                }
            }
        });
        Self { ended: Some(ended), thread: Some(thread) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ended = None;
        // It panics nowhere; and if it did, what it reports is not needed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Says that a file is read, where that takes its time.
pub(super) fn say_file(context: &Context, path: &Path) {
    if std::fs::metadata(path).is_ok_and(|file| file.len() >= WORTH_SAYING) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        context.report(Some(Meter::new(format!("reading {name}"), "files", 1).now()));
    }
}

/// Reads files of parts for their SHA-256 where it is not known, before whoever opens them would. Errors: it was cancelled; what
/// cannot be read is said when it is opened.
pub(super) fn hash(context: &Context, parts: &[&'static Part]) -> Result<()> {
    let store = context.store();
    let unread = store.unread(parts);
    let bytes = unread.iter().map(|(_, bytes)| bytes).sum();
    if bytes >= WORTH_SAYING {
        let text = "of weights are read for their SHA-256, which is remembered until a file changes";
        context.log(Level::Info, format!("{} {text}", memory_need::gigabytes(bytes)));
    }
    let _watched = Watched::new(context, "reading weights for their SHA-256", bytes);
    let reading = context.reading.clone();
    let read = unread.par_iter().try_for_each(|(path, _)| store.hash_watched(path, &reading).map(drop));
    match read {
        Err(Error::Cancelled) => Err(Error::Cancelled),
        _ => Ok(()),
    }
}
