//! The spool: requests that wait to be sent, in a file of their own, so that a build never waits for a collector.
//!
//! Telemetry T12, R37, R40. Whoever has something to send appends it, in the form in which it is sent; a thread for each
//! signal (see [`super::outbox`]) takes it from there and gives its place back. What is open stays open when the process drops its
//! privileges. What is left at the end stays in the file, for `lifecycle ship`.

mod frame;
mod loss;
mod rest;
#[cfg(test)]
pub(in crate::telemetry) mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use super::otlp::{Form, Signal};
use crate::os::error_text;
pub(super) use frame::{Frame, Item, Reader};
use frame::{HEAD, LONGEST, TITLE};
pub use loss::Loss;
pub(super) use rest::Rest;

/// How many bytes of one program's output may wait, unless somebody says otherwise (R37).
pub const DEFAULT_CAP: u64 = 64 << 20;

/// After how many delivered bytes their places are given back, where others still wait: file systems take their time
/// for it, and may write first what is about to go.
const PLACES: u64 = 4 << 20;

/// Where a spool is made, and for what.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// The lifecycle's folder for temporary files; `/tmp` is taken where that is in a forbidden one.
    pub folder: PathBuf,
    /// Folders that become part of an image, or that are shown to others: the app, `<layers>`, `<platform>`.
    pub forbidden: Vec<PathBuf>,
    /// A word in the file's name that tells people what it is: the phase.
    pub name: &'static str,
    /// Who gets the file, where this process is root and will become another user.
    pub owner: Option<(u32, u32)>,
    /// How many bytes of one program's output may wait.
    pub cap: u64,
    /// The form of requests with spans.
    pub traces: Form,
    /// The form of requests with log records.
    pub logs: Form,
}

/// A spool could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .folder.display(), error_text(.cause))]
pub struct SpoolError {
    /// Its folder.
    pub folder: PathBuf,
    /// Why.
    pub cause: io::Error,
}

/// Something was not taken into the spool.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Too much of this program's output waits already.
    #[error("too much waited to be sent")]
    Full,
    /// The file cannot be written: the disk is full, for example. Nothing of the request is in it.
    #[error("{}", error_text(.0))]
    Failed(io::Error),
}

/// Requests that wait to be sent.
pub struct Spool {
    path: PathBuf,
    /// Appends, and reads anywhere.
    file: File,
    /// Writes anywhere: what appends cannot.
    marks: File,
    cap: u64,
    forms: [Form; 2],
    state: Mutex<State>,
    changed: Condvar,
    /// Whoever gives places back holds this: what it found free would else be in use again before it is done.
    places: Mutex<()>,
}

/// What is known of the file without reading it.
struct State {
    /// Where the next frame goes.
    end: u64,
    /// Frames that wait, by signal, in their order.
    lanes: [VecDeque<Frame>; 2],
    /// How many bytes of each program wait.
    waiting: BTreeMap<u64, u64>,
    /// Places of delivered frames that are not given back yet.
    delivered: Vec<(u64, u64)>,
    /// The file system gives no places back, so that the file only shrinks when it is empty.
    keeps_places: bool,
    /// Nothing more is taken in; whoever ships gives up at this moment.
    closed: Option<Instant>,
    /// Nobody ships any more, and nothing may be given back.
    abandoned: bool,
}

impl Spool {
    /// Makes a spool: a file of mode 0600 that nobody else has.
    ///
    /// # Errors
    /// There is no folder for it.
    pub fn create(config: &SpoolConfig) -> Result<Self, SpoolError> {
        let Some(folder) = place(&config.folder, &config.forbidden) else {
            let cause = io::Error::other("it is a part of what is built");
            return Err(SpoolError { folder: config.folder.clone(), cause });
        };
        let failed = |cause| SpoolError { folder: folder.clone(), cause };
        let prefix = format!("lifecycle-{}-", config.name);
        let made = tempfile::Builder::new().prefix(&prefix).suffix(".spool").make_in(&folder, |path| {
            OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)
        });
        let (file, path) = made.map_err(failed)?.into_parts();
        let ready = || {
            let marks = OpenOptions::new().write(true).open(&path)?;
            if let Some((user, group)) = config.owner {
                fchown(&file, Some(user), Some(group))?;
            }
            // Who sends what is left of it later must see that it is in use. Some file systems know no locks.
            let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
            (&file).write_all(TITLE)?;
            Ok(marks)
        };
        let marks = ready().map_err(failed)?;
        let path = path.keep().map_err(|error| failed(error.error))?;
        let state = State {
            end: TITLE.len() as u64,
            lanes: Default::default(),
            waiting: BTreeMap::new(),
            delivered: Vec::new(),
            keeps_places: false,
            closed: None,
            abandoned: false,
        };
        let forms = [config.traces, config.logs];
        Ok(Self {
            path,
            file,
            marks,
            cap: config.cap,
            forms,
            state: Mutex::new(state),
            changed: Condvar::new(),
            places: Mutex::default(),
        })
    }

    /// How requests of a signal must be written.
    pub fn form(&self, signal: Signal) -> Form {
        self.forms[lane(signal)]
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes in one request in the form that [`Self::form`] tells, with so many spans or log records of a program. A
    /// request of up to 512 KiB goes well with every collector; several small ones may be sent as one.
    ///
    /// # Errors
    /// Nothing of it was taken in.
    pub fn append(&self, signal: Signal, process: u64, request: &[u8], records: u32) -> Result<(), Refused> {
        let too_long = || Refused::Failed(io::Error::from(io::ErrorKind::FileTooLarge));
        let length = u32::try_from(request.len()).ok().filter(|length| *length <= LONGEST).ok_or_else(too_long)?;
        let sum = libdeflater::crc32(request);
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err(Refused::Failed(io::Error::from(io::ErrorKind::BrokenPipe)));
        }
        let frame = Frame { at: state.end, signal, form: self.form(signal), length, records, process, sum };
        let size = frame.end() - frame.at;
        let held = if state.keeps_places { state.end } else { 0 };
        if held.max(state.waiting.get(&process).copied().unwrap_or(0)) + size > self.cap {
            return Err(Refused::Full);
        }
        if let Err(error) = write(&self.file, &frame.head(), request) {
            // No torn frame in front of later ones.
            let _ = self.file.set_len(state.end);
            return Err(Refused::Failed(error));
        }
        state.end = frame.end();
        *state.waiting.entry(process).or_default() += size;
        state.lanes[lane(signal)].push_back(frame);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// How many spans and records wait, and in how many bytes.
    pub fn waiting(&self) -> Waiting {
        let state = self.lock();
        state.lanes.iter().flatten().fold(Waiting::default(), |sum, frame| Waiting {
            records: sum.records + u64::from(frame.records),
            bytes: sum.bytes + u64::from(frame.length),
        })
    }

    /// The first frames of a signal that have no more than so many bytes together; the first one in any case.
    pub(super) fn first(&self, signal: Signal, most: u64) -> Vec<Frame> {
        let mut bytes = 0;
        let fits = |frame: &&Frame| {
            bytes += u64::from(frame.length);
            bytes <= most || bytes == u64::from(frame.length)
        };
        self.lock().lanes[lane(signal)].iter().take_while(fits).copied().collect()
    }

    /// Says whether nothing of a signal waits.
    pub(super) fn is_empty(&self, signal: Signal) -> bool {
        self.lock().lanes[lane(signal)].is_empty()
    }

    /// Puts the bytes of a frame behind what is in `buffer`.
    pub(super) fn read(&self, frame: &Frame, buffer: &mut Vec<u8>) -> io::Result<()> {
        frame.read(&self.file, buffer)
    }

    /// Forgets the first frames of a signal, and gives their places back. Only one thread may call this for a signal.
    pub(super) fn give_back(&self, signal: Signal, count: usize) {
        let _places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        if state.abandoned {
            return;
        }
        let mut gone = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(frame) = state.lanes[lane(signal)].pop_front() else { break };
            if let Some(waiting) = state.waiting.get_mut(&frame.process) {
                *waiting = waiting.saturating_sub(frame.end() - frame.at);
                if *waiting == 0 {
                    state.waiting.remove(&frame.process);
                }
            }
            gone.push(frame);
        }
        if gone.is_empty() {
            return;
        }
        if state.lanes.iter().all(VecDeque::is_empty) {
            // Under the lock: nobody appends meanwhile.
            if self.file.set_len(TITLE.len() as u64).is_ok() {
                state.end = TITLE.len() as u64;
            }
            state.delivered.clear();
            return;
        }
        for frame in &gone {
            match state.delivered.last_mut() {
                Some((_, end)) if *end == frame.at => *end = frame.end(),
                _ => state.delivered.push((frame.at, frame.end())),
            }
        }
        let holes = state.holes();
        drop(state);
        // Not under the state's lock: nobody else shortens the file or makes holes now, and what waits is in none of them.
        for frame in &gone {
            // Without the mark it may be sent twice, if this process is killed.
            let _ = frame.mark(&self.marks);
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if !holes.iter().all(|(start, end)| fallocate(&self.file, flags, *start, end - start).is_ok()) {
            self.lock().keeps_places = true;
        }
    }

    /// Waits until `is_due` or a moment.
    pub(super) fn wait_until(&self, moment: Option<Instant>, is_due: impl Fn(&Queue<'_>) -> bool) {
        let mut state = self.lock();
        while !is_due(&Queue(&state)) {
            state = match moment {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(moment) => {
                    let left = moment.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes nothing more in; who ships has until `end`, or until the end that is known already, if that is earlier.
    pub(super) fn close(&self, end: Instant) {
        let mut state = self.lock();
        state.closed = Some(state.closed.map_or(end, |known| known.min(end)));
        drop(state);
        self.changed.notify_all();
    }

    /// When who ships must give up, once that is known.
    pub(super) fn closed(&self) -> Option<Instant> {
        self.lock().closed
    }

    /// From now on the file stays as it is, even if an answer comes late; or it goes, where nothing waits.
    pub(super) fn end(&self) -> Rest {
        let end = {
            let mut state = self.lock();
            state.abandoned = true;
            state.closed.get_or_insert_with(Instant::now);
            state.end
        };
        let Waiting { records, bytes } = self.waiting();
        let is_whole = rest::is_whole(&self.file, &self.path, end);
        if records == 0 && bytes == 0 {
            if is_whole {
                // Root may have made it where the user of the build can remove nothing: then it is empty.
                let _ = fs::remove_file(&self.path);
            }
            return Rest::Nothing;
        }
        let path = self.path.clone();
        if is_whole { Rest::Kept { path, records } } else { Rest::Gone { path, records } }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The places to give back now, if it is time for that. Only whole blocks are given back, so each reaches from what
    /// waits before it to what waits behind it.
    fn holes(&mut self) -> Vec<(u64, u64)> {
        if self.delivered.iter().map(|(start, end)| end - start).sum::<u64>() < PLACES {
            return Vec::new();
        }
        let mut holes = Vec::new();
        for (at, _) in std::mem::take(&mut self.delivered) {
            let around = |lane: &VecDeque<Frame>| {
                let index = lane.partition_point(|other| other.at < at);
                let start = index.checked_sub(1).map_or(TITLE.len() as u64, |index| lane[index].end());
                (start, lane.get(index).map_or(self.end, |next| next.at))
            };
            let [one, two] = [around(&self.lanes[0]), around(&self.lanes[1])];
            let hole = (one.0.max(two.0), one.1.min(two.1));
            if holes.last() != Some(&hole) {
                holes.push(hole);
            }
        }
        holes
    }
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Spans and log records.
    pub records: u64,
    /// Bytes of their requests.
    pub bytes: u64,
}

/// What a waiting thread may ask.
pub(super) struct Queue<'a>(&'a State);

impl Queue<'_> {
    /// Whether something of a signal waits.
    pub(super) fn has(&self, signal: Signal) -> bool {
        !self.0.lanes[lane(signal)].is_empty()
    }

    /// Whether nothing more comes.
    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.is_some()
    }
}

fn lane(signal: Signal) -> usize {
    match signal {
        Signal::Traces => 0,
        Signal::Logs => 1,
    }
}

/// The folder for a spool; none where all may become a part of the image.
fn place(folder: &Path, forbidden: &[PathBuf]) -> Option<PathBuf> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let within = |path: &Path| forbidden.iter().any(|forbidden| real(path).starts_with(real(forbidden)));
    [folder, Path::new("/tmp")].into_iter().find(|folder| !within(folder)).map(Path::to_owned)
}

/// Writes head and request with one call where the file system lets it.
fn write(mut file: &File, head: &[u8; HEAD], request: &[u8]) -> io::Result<()> {
    let mut parts = [IoSlice::new(head), IoSlice::new(request)];
    let mut parts = &mut parts[..];
    while !parts.is_empty() {
        match file.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut parts, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
