//! Follows a file that a program writes spans to, and gives its whole lines as they appear.
//!
//! Telemetry part "live spans". A half line waits for its end; a line that is too long is none. The file is read on a
//! thread of its own until its program has ended, and then once more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a file is looked at.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest line: the Collector's file receiver takes no longer ones either.
const LONGEST: usize = 1 << 20;
/// How much is read at once.
const PIECE: usize = 64 * 1024;
/// The most that is read after a program has ended, for another may go on writing.
const MOST_AT_THE_END: u64 = 64 << 20;

/// A file that is followed. Dropping it reads what came last.
#[derive(Debug)]
pub struct Following {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Follows a file from an offset on. `take` gets each line, its end taken off; none in place of one that is too long.
    pub fn start(file: File, from: u64, take: impl FnMut(Option<&[u8]>) + Send + 'static) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let thread = thread::Builder::new().name("spans of a program".to_owned()).spawn(move || {
            let mut lines = Lines { file, at: from, half: Vec::new(), skips: false };
            let mut take = take;
            loop {
                // Looked at first: what was written before the end is read after it.
                let last = told.load(Ordering::Acquire);
                lines.read(&mut take);
                if last {
                    return;
                }
                thread::park_timeout(PAUSE);
            }
        })?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has no more to say if it panicked.
            let _ = thread.join();
        }
    }
}

struct Lines {
    file: File,
    at: u64,
    /// The beginning of a line whose end is not there yet.
    half: Vec<u8>,
    /// The line is too long, and its end is not there yet.
    skips: bool,
}

impl Lines {
    /// Gives what is there now.
    fn read(&mut self, take: &mut impl FnMut(Option<&[u8]>)) {
        let mut piece = vec![0; PIECE];
        let stop = self.at.saturating_add(MOST_AT_THE_END);
        while self.at < stop {
            match self.file.read_at(&mut piece, self.at) {
                Ok(0) => return,
                Ok(count) => {
                    self.at += count as u64;
                    self.split(&piece[..count], take);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What cannot be read now may be later.
                Err(_) => return,
            }
        }
    }

    fn split(&mut self, mut bytes: &[u8], take: &mut impl FnMut(Option<&[u8]>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
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
    use std::io::Write as _;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn whole_lines_are_given_as_they_appear_and_half_ones_wait() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"of an earlier run\n").unwrap();
        let (send, lines) = mpsc::channel();
        let take = move |line: Option<&[u8]>| send.send(line.map(<[u8]>::to_vec)).unwrap();
        let following = Following::start(file.reopen().unwrap(), 18, take).unwrap();
        file.write_all(b"one\n\r\n\ntw").unwrap();
        assert_eq!(lines.recv().unwrap().as_deref(), Some(&b"one"[..]));
        file.write_all(b"o\nhalf").unwrap();
        assert_eq!(lines.recv().unwrap().as_deref(), Some(&b"two"[..]));
        file.write_all(&vec![b'x'; LONGEST]).unwrap();
        file.write_all(b"\nlast\nnever ended").unwrap();
        drop(following);
        let rest: Vec<_> = lines.iter().collect();
        assert_eq!(rest, [None, Some(b"last".to_vec())]);
    }
}
