//! Sending what an earlier run left in its spool: the work of `lifecycle ship`.
//!
//! Telemetry R37, R40. A spool may be of anybody and have anything in it: it is read piece by piece, nothing in it is
//! believed before its checksum fits, and only one process at a time sends it. Only what is delivered goes: a token that
//! is wrong, or an address, costs nothing but another try.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};
use rustix::io::Errno;

use super::otlp::settings::Destination;
use super::otlp::{self, Form, Network, Retry, Signal};
use super::shipper::Lane;
use super::spool::{Frame, Item, Reader};
use crate::os::error_text;

/// After how many refusals in a row a collector gets no more: it minds not single requests, but where they go or from whom.
const REFUSALS: u32 = 5;

/// A spool could not be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum ResendError {
    /// It cannot be opened.
    #[error("'{}': {}", .path.display(), error_text(.cause))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is something else.
    #[error("'{}' is no spool of this lifecycle", .0.display())]
    NoSpool(PathBuf),
    /// A phase still writes it, or another `lifecycle ship` sends it.
    #[error("'{}' is in use by a phase or by another 'lifecycle ship'", .0.display())]
    InUse(PathBuf),
}

/// What became of a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resent {
    /// How many spans and log records a collector took.
    pub sent: u64,
    /// How many it threw away, or cannot be read any more.
    pub lost: u64,
    /// How many still wait, those that it refused among them.
    pub left: u64,
    /// How many bytes are no requests, whatever they were.
    pub damaged: u64,
    /// Its writer was killed in the middle of the last request.
    pub torn: bool,
    /// The file is gone: nothing of use was left in it.
    pub removed: bool,
    /// What went wrong, each once.
    pub troubles: Vec<String>,
}

/// Sends what waits in a spool, and removes it when nothing is left. Whoever takes nothing for as long as `patience` is
/// given up.
///
/// # Errors
/// The file cannot be opened, is no spool, or is in use.
pub fn resend(
    path: &Path,
    destinations: &[Destination],
    network: &Network,
    patience: Duration,
) -> Result<Resent, ResendError> {
    let failed = |cause: io::Error| ResendError::Open { path: path.to_owned(), cause };
    // No link, and no pipe that would never answer.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(ResendError::NoSpool(path.to_owned()));
    }
    if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Err(ResendError::InUse(path.to_owned()));
    }
    // Another one may have sent and removed it just before.
    if file.metadata().map_err(failed)?.nlink() == 0 {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    let mut reader = Reader::new(&file).map_err(failed)?.ok_or_else(|| ResendError::NoSpool(path.to_owned()))?;
    let mut resent = Resent::default();
    let mut ways = Ways { destinations, network, patience, known: Vec::new() };
    let mut request = Vec::new();
    while let Some(item) = reader.next().map_err(failed)? {
        match item {
            Item::Frame(frame) => {
                request.clear();
                if frame.read(&file, &mut request).is_ok() {
                    ways.send(&file, &frame, &request, &mut resent);
                } else {
                    resent.damaged += u64::from(frame.length);
                    resent.lost += u64::from(frame.records);
                }
            }
            Item::Damage(bytes) => resent.damaged += bytes,
            Item::Torn(records) => {
                resent.torn = true;
                resent.lost += u64::from(records);
            }
        }
    }
    // What is damaged stays for who wants to look at it.
    let is_same = |now: fs::Metadata| (now.dev(), now.ino()) == (metadata.dev(), metadata.ino());
    if resent.left == 0 && resent.damaged == 0 && fs::symlink_metadata(path).is_ok_and(is_same) {
        match fs::remove_file(path) {
            Ok(()) => resent.removed = true,
            Err(error) => resent.trouble(format!("'{}' cannot be removed: {}", path.display(), error_text(&error))),
        }
    }
    Ok(resent)
}

impl Resent {
    fn trouble(&mut self, text: String) {
        if !self.troubles.contains(&text) {
            self.troubles.push(text);
        }
    }
}

/// The ways to collectors, made when they are needed.
struct Ways<'a> {
    destinations: &'a [Destination],
    network: &'a Network,
    patience: Duration,
    known: Vec<Way>,
}

/// The way of what has one signal and form.
struct Way {
    signal: Signal,
    form: Form,
    /// None where there is no way, or no more.
    lane: Option<Lane>,
    /// How many requests in a row were refused for good.
    refusals: u32,
}

impl Ways<'_> {
    /// Sends one request and gives its place back, or counts it as left.
    fn send(&mut self, file: &File, frame: &Frame, request: &[u8], resent: &mut Resent) {
        let records = u64::from(frame.records);
        let patience = self.patience;
        let way = self.way(frame.signal, frame.form, resent);
        let Some(lane) = &mut way.lane else {
            resent.left += records;
            return;
        };
        let end = Instant::now() + patience;
        loop {
            match lane.send(request, Some(end)) {
                Ok(accepted) => {
                    let rejected = accepted.rejected.min(records);
                    resent.sent += records - rejected;
                    resent.lost += rejected;
                    if let Some(text) = accepted.message {
                        resent.trouble(format!("{} says: {text}", lane.endpoint()));
                    }
                    give_back(file, frame);
                    way.refusals = 0;
                    return;
                }
                Err(refusal) if refusal.retry == Retry::Never => {
                    resent.trouble(format!("{} refused what still waits: {}", lane.endpoint(), refusal.cause));
                    resent.left += records;
                    way.refusals += 1;
                    if way.refusals == REFUSALS {
                        resent.trouble(format!(
                            "{} gets no more: it refused {REFUSALS} requests in a row",
                            lane.endpoint()
                        ));
                        way.lane = None;
                    }
                    return;
                }
                Err(refusal) => match lane.rests_until() {
                    Some(until) if until < end => {
                        std::thread::sleep(until.saturating_duration_since(Instant::now()));
                    }
                    _ => {
                        let endpoint = lane.endpoint();
                        resent.trouble(format!("{endpoint} could not be reached or took nothing: {}", refusal.cause));
                        resent.left += records;
                        way.lane = None;
                        return;
                    }
                },
            }
        }
    }

    fn way(&mut self, signal: Signal, form: Form, resent: &mut Resent) -> &mut Way {
        let index = self.known.iter().position(|way| (way.signal, way.form) == (signal, form));
        let index = index.unwrap_or_else(|| {
            let lane = self.make(signal, form).unwrap_or_else(|text| {
                resent.trouble(format!("no {} are sent: {text}", signal.things()));
                None
            });
            self.known.push(Way { signal, form, lane, refusals: 0 });
            self.known.len() - 1
        });
        &mut self.known[index]
    }

    fn make(&self, signal: Signal, form: Form) -> Result<Option<Lane>, String> {
        // What is wrong with a variable was told when they were read.
        let Some(destination) = self.destinations.iter().find(|destination| destination.signal == signal) else {
            return Ok(None);
        };
        let destination = destination.speaking(form).ok_or_else(|| {
            let variable = destination.variable("PROTOCOL");
            format!("the spool has them in JSON, which {variable}=grpc cannot carry; set it to http/json for this")
        })?;
        Ok(Some(Lane::new(&destination, otlp::transport(&destination, self.network)?)))
    }
}

/// Gives the place of a frame back, or says in the file that it is done with.
fn give_back(file: &File, frame: &Frame) {
    // First the word: a hole keeps the ends of blocks.
    if frame.mark(file).is_ok() {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = fallocate(file.as_fd(), flags, frame.at, frame.end() - frame.at);
    }
}

#[cfg(test)]
mod tests;
