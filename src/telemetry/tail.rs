//! Follows the files that programs write spans to, and gives their whole lines as they appear.
//!
//! Telemetry part "live spans". A half line waits for its end; a line that is too long is none. Each file is read on a
//! thread of its own, so the end of a program waits for nothing: what it wrote last is read beside what comes next, and
//! at the end of a phase for as long as that may wait. What is not read by then is known by its bytes, and a file that
//! cannot be read by its name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::os::error_text;

/// How often a file is looked at.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest line: the Collector's file receiver takes no longer ones either.
const LONGEST: usize = 1 << 20;
/// How much is read at once.
const PIECE: usize = 64 * 1024;
/// The end of a file whose program still runs.
const OPEN: u64 = u64::MAX;
/// How much longer than it may take somebody may be busy with what was read last.
const SLACK: Duration = Duration::from_millis(100);

/// All files that are followed.
#[derive(Default)]
pub struct Readers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Those that are not read to their ends.
    files: Vec<Arc<Followed>>,
    /// Those that cannot be, and why.
    failed: Vec<(PathBuf, String)>,
    /// When nothing more may be read, once that is known.
    stop: Option<Instant>,
}

/// A file that is followed.
struct Followed {
    file: File,
    path: PathBuf,
    /// Up to where its lines were given.
    given: AtomicU64,
    /// Up to where they are to be given: another program may go on writing.
    end: AtomicU64,
    /// There was no time for the rest.
    is_left: AtomicBool,
}

/// A program that may write to a file that is followed. Dropping it says that the program has ended.
#[must_use]
pub struct Following {
    readers: Arc<Readers>,
    followed: Arc<Followed>,
}

/// What was not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// In all files for which there was no time.
    pub bytes: u64,
    /// Where.
    pub paths: Vec<PathBuf>,
    /// The files that could not be read to their ends, and why.
    pub failed: Vec<(PathBuf, String)>,
}

impl Readers {
    /// Follows a file from an offset on. `take` gets each line, its end taken off; none in place of one that is too long
    /// or was never ended. None where there is no thread for it, which [`Self::unread`] knows.
    pub fn follow(
        self: &Arc<Self>,
        file: File,
        path: PathBuf,
        from: u64,
        mut take: impl FnMut(Option<&[u8]>) + Send + 'static,
    ) -> Option<Following> {
        let followed = Arc::new(Followed {
            file,
            path,
            given: AtomicU64::new(from),
            end: AtomicU64::new(OPEN),
            is_left: AtomicBool::new(false),
        });
        let (readers, file) = (Arc::clone(self), Arc::clone(&followed));
        self.state().files.push(Arc::clone(&followed));
        let started = thread::Builder::new().name("spans of a program".to_owned()).spawn(move || {
            match readers.read(&file, from, &mut take) {
                Ok(true) => readers.forget(&file),
                Ok(false) => {
                    file.is_left.store(true, Ordering::Release);
                    readers.wake();
                }
                Err(error) => readers.fail(&file, &error),
            }
        });
        if let Err(error) = started {
            self.fail(&followed, &error);
            return None;
        }
        Some(Following { readers: Arc::clone(self), followed })
    }

    /// Lets everything be read until `stop` and no longer; waits for that, but not longer than to `longest`. Says whether
    /// everything is read.
    pub fn settle(&self, stop: Instant, longest: Instant) -> bool {
        let mut state = self.state();
        state.stop = Some(state.stop.map_or(stop, |known| known.min(stop)));
        // Whoever still runs is about to be killed.
        state.files.iter().for_each(|file| file.close());
        self.changed.notify_all();
        loop {
            // Another call may have brought the end closer.
            let until = state.stop.filter(|stop| *stop <= longest).map_or(longest, |stop| stop + SLACK);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.files.iter().all(|file| file.is_left.load(Ordering::Acquire)) {
                return state.files.is_empty();
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What was not read, once nothing more may be.
    pub fn unread(&self) -> Unread {
        let state = self.state();
        let mut unread = Unread { failed: state.failed.clone(), ..Unread::default() };
        for file in &state.files {
            unread.bytes += file.end().min(file.size()).saturating_sub(file.given.load(Ordering::Acquire));
            unread.paths.push(file.path.clone());
        }
        unread
    }

    /// Gives the lines of a file to its end; says whether it came so far before nothing more may be read.
    ///
    /// # Errors
    /// The file cannot be read, also not when its program has ended.
    fn read(&self, followed: &Followed, from: u64, take: &mut impl FnMut(Option<&[u8]>)) -> io::Result<bool> {
        let mut lines = Lines::default();
        let mut piece = vec![0; PIECE];
        let mut at = from;
        loop {
            // Looked at first: what was written before the end is read after it.
            let has_end = followed.end() != OPEN;
            loop {
                if self.state().stop.is_some_and(|stop| stop <= Instant::now()) {
                    return Ok(false);
                }
                let count = match followed.file.read_at(&mut piece, at) {
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if has_end => return Err(error),
                    // What cannot be read now may be later.
                    Err(_) => 0,
                };
                // Looked at behind it: what was read before the end was written before it.
                let count = count.min(usize::try_from(followed.end().saturating_sub(at)).unwrap_or(usize::MAX));
                if count == 0 {
                    break;
                }
                at += count as u64;
                lines.split(&piece[..count], take);
                followed.given.store(at - lines.half.len() as u64, Ordering::Release);
            }
            if has_end {
                if lines.skips || !lines.half.is_empty() {
                    take(None);
                }
                return Ok(true);
            }
            let state = self.state();
            if followed.end() == OPEN {
                drop(self.changed.wait_timeout(state, PAUSE));
            }
        }
    }

    fn forget(&self, followed: &Arc<Followed>) {
        self.state().files.retain(|file| !Arc::ptr_eq(file, followed));
        self.changed.notify_all();
    }

    /// Gives a file up.
    fn fail(&self, followed: &Arc<Followed>, error: &io::Error) {
        self.state().failed.push((followed.path.clone(), error_text(error)));
        self.forget(followed);
    }

    /// Lets who waits look again.
    fn wake(&self) {
        drop(self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// What is written from now on is not looked at.
    fn close(&self) {
        if self.end() == OPEN {
            self.end.store(self.size(), Ordering::Release);
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _state = self.readers.state();
        self.followed.close();
        self.readers.changed.notify_all();
    }
}

/// Cuts what is read into lines.
#[derive(Default)]
struct Lines {
    /// The beginning of a line whose end is not there yet.
    half: Vec<u8>,
    /// The line is too long, and its end is not there yet.
    skips: bool,
}

impl Lines {
    fn split(&mut self, mut bytes: &[u8], take: &mut impl FnMut(Option<&[u8]>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            self.add(line);
            if self.skips {
                take(None);
            } else if !self.half.trim_ascii().is_empty() {
                take(Some(&self.half));
            }
            self.half.clear();
            self.skips = false;
        }
        self.add(bytes);
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.skips || self.half.len() + bytes.len() > LONGEST {
            self.skips = true;
            self.half.clear();
        } else {
            self.half.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::sync::mpsc;

    use super::*;

    /// Long enough for everything, on any machine.
    const LONG: Duration = Duration::from_secs(60);

    fn settled(readers: &Readers, time: Duration) -> bool {
        let stop = Instant::now() + time;
        readers.settle(stop, stop)
    }

    #[test]
    fn whole_lines_are_given_as_they_appear_and_half_ones_wait() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"of an earlier run\n").unwrap();
        let (send, lines) = mpsc::channel();
        let take = move |line: Option<&[u8]>| send.send(line.map(<[u8]>::to_vec)).unwrap();
        let readers = Arc::<Readers>::default();
        let following = readers.follow(file.reopen().unwrap(), "f".into(), 18, take).unwrap();
        file.write_all(b"one\n\r\n\ntw").unwrap();
        assert_eq!(lines.recv().unwrap().as_deref(), Some(&b"one"[..]));
        file.write_all(b"o\nhalf").unwrap();
        assert_eq!(lines.recv().unwrap().as_deref(), Some(&b"two"[..]));
        file.write_all(&vec![b'x'; LONGEST]).unwrap();
        file.write_all(b"\nlast\nnever ended").unwrap();
        drop(following);
        file.write_all(b"\nof somebody else\n").unwrap();
        assert!(settled(&readers, LONG));
        let rest: Vec<_> = lines.iter().collect();
        assert_eq!(rest, [None, Some(b"last".to_vec()), None]);
        assert_eq!(readers.unread(), Unread::default());
    }

    #[test]
    fn the_end_of_a_program_waits_for_nobody_and_what_is_not_read_in_time_is_known() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        // More than one piece, so that the second is not read while the first line is taken.
        let line = vec![b'x'; PIECE - 1];
        (0..10).for_each(|_| file.write_all(&[&line[..], b"\n"].concat()).unwrap());
        let (send, taken) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let readers = Arc::<Readers>::default();
        let take = move |line: Option<&[u8]>| {
            send.send(line.map(<[u8]>::len)).unwrap();
            let _ = wait.recv();
        };
        let following = readers.follow(file.reopen().unwrap(), "f".into(), 0, take).unwrap();
        assert_eq!(taken.recv().unwrap(), Some(line.len()));
        // It would wait here for ever.
        drop(following);
        file.write_all(b"of somebody else\n").unwrap();
        assert!(!settled(&readers, Duration::ZERO));
        let all = Unread { bytes: 10 * PIECE as u64, paths: vec!["f".into()], failed: Vec::new() };
        assert_eq!(readers.unread(), all);
        drop(go_on);
        assert!(taken.recv().is_err(), "nothing more is read");
        assert_eq!(readers.unread(), Unread { bytes: 9 * PIECE as u64, ..all });
    }

    #[test]
    fn a_file_that_cannot_be_read_is_known_by_its_name_and_keeps_nobody_waiting() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "line\n").unwrap();
        let only_written = fs::OpenOptions::new().write(true).open(file.path()).unwrap();
        let readers = Arc::<Readers>::default();
        drop(readers.follow(only_written, "f".into(), 0, |_| panic!("nothing can be read")).unwrap());
        assert!(settled(&readers, LONG));
        let failed = vec![("f".into(), "bad file descriptor".to_owned())];
        assert_eq!(readers.unread(), Unread { failed, ..Unread::default() });
    }

    #[test]
    fn what_a_program_wrote_before_it_ended_is_read_in_time_and_the_earliest_end_counts() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&b"line\n".repeat(100_000)).unwrap();
        let readers = Arc::<Readers>::default();
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let take = move |_: Option<&[u8]>| {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        // Also of one that still runs.
        let following = readers.follow(file.reopen().unwrap(), "f".into(), 0, take).unwrap();
        assert!(settled(&readers, LONG));
        assert_eq!(count.load(Ordering::Relaxed), 100_000);
        drop(following);
        settled(&readers, Duration::ZERO);
        settled(&readers, LONG);
        assert!(readers.state().stop.unwrap() < Instant::now() + LONG / 2);
    }
}
