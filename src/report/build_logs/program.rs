//! What one program prints: what of it is shown, and which records it becomes.
//!
//! Telemetry R31 to R36.

use std::sync::{Arc, Mutex, MutexGuard};

use super::{Wishes, lock, nanoseconds};
use crate::effect::clock::Clock;
use crate::effect::processes::{Printed, Stream};
use crate::telemetry::logs::{Escapes, Lines, Piece, Record, Severity, Source};
use crate::telemetry::redact::{Redactor, Released, Scanner};

/// What one program prints.
pub(super) struct Program {
    redacts: bool,
    clock: Arc<dyn Clock>,
    printing: Mutex<Printing>,
    /// Held by who shows what was redacted.
    turn: Mutex<()>,
}

struct Printing {
    scanner: Scanner,
    /// What is shown is scanned apart where records have no escape sequences: taking those out may join what was none.
    shown: Option<Scanner>,
    escapes: Option<[Escapes; 2]>,
    output: Option<Output>,
    observed: u64,
    /// What may be shown now.
    redacted: Vec<u8>,
    /// Nothing more is heard.
    is_closed: bool,
}

struct Output {
    lines: [Lines; 2],
    source: Source,
}

impl Program {
    /// Begins to hear a program. Without a source there are no records.
    pub(super) fn new(wishes: Wishes, redactor: &Arc<Redactor>, clock: Arc<dyn Clock>, source: Option<Source>) -> Self {
        let scanner = || Scanner::new(Arc::clone(redactor));
        let strips = wishes.strips && source.is_some();
        let printing = Printing {
            scanner: scanner(),
            shown: (strips && wishes.redacts).then(scanner),
            escapes: strips.then(Default::default),
            output: source.map(|source| Output { lines: Default::default(), source }),
            observed: 0,
            redacted: Vec::new(),
            is_closed: false,
        };
        Self { redacts: wishes.redacts, clock, printing: Mutex::new(printing), turn: Mutex::default() }
    }

    /// Puts what was gathered into the spool.
    pub(super) fn flush(&self) {
        self.lock().flush();
    }

    /// Puts everything into the spool; from now on nothing is heard.
    pub(super) fn close(&self) {
        self.lock().close();
    }

    fn lock(&self) -> MutexGuard<'_, Printing> {
        lock(&self.printing)
    }

    /// Shows what was redacted so far, in the order in which it came.
    fn show_redacted(&self, show: &dyn Fn(&[u8])) {
        let _turn = lock(&self.turn);
        let redacted = std::mem::take(&mut self.lock().redacted);
        if !redacted.is_empty() {
            show(&redacted);
        }
    }
}

impl Printed for Program {
    /// Records first, and shows when nothing is locked: nobody may read what is shown, and what was taken must not be lost.
    fn take(&self, stream: Stream, bytes: &[u8], show: &dyn Fn(&[u8])) -> bool {
        let now = nanoseconds(self.clock.now());
        if !self.lock().take(stream, bytes, now, self.redacts) {
            return false;
        }
        if self.redacts {
            self.show_redacted(show);
        } else {
            show(bytes);
        }
        true
    }

    fn end(&self, show: &dyn Fn(&[u8])) {
        self.lock().finish(self.redacts);
        self.show_redacted(show);
    }
}

impl Printing {
    /// Says whether the bytes are heard.
    fn take(&mut self, stream: Stream, bytes: &[u8], now: u64, redacts: bool) -> bool {
        if self.is_closed {
            return false;
        }
        self.observed = now;
        if let Some(shown) = &mut self.shown {
            shown.push(stream, bytes, now, &mut |released| self.redacted.extend_from_slice(released.bytes));
        }
        let stripped = self.escapes.as_mut().map(|escapes| escapes[stream.index()].strip(bytes));
        let shows = redacts && self.shown.is_none();
        self.scanner.push(stream, stripped.as_deref().unwrap_or(bytes), now, &mut |released| {
            if shows {
                self.redacted.extend_from_slice(released.bytes);
            }
            if let Some(output) = &mut self.output {
                output.take(released, now);
            }
        });
        true
    }

    /// Nothing more is waited for: what is held is released, lines end, records go to the spool.
    fn finish(&mut self, redacts: bool) {
        if let Some(shown) = &mut self.shown {
            shown.finish(&mut |released| self.redacted.extend_from_slice(released.bytes));
        }
        let (shows, observed) = (redacts && self.shown.is_none(), self.observed);
        self.scanner.finish(&mut |released| {
            if shows {
                self.redacted.extend_from_slice(released.bytes);
            }
            if let Some(output) = &mut self.output {
                output.take(released, observed);
            }
        });
        if let Some(Output { lines, source }) = &mut self.output {
            for (lines, stream) in lines.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
                lines.finish(&mut |piece| add(source, piece, observed, Some(stream), None));
            }
            source.flush();
        }
    }

    /// The same at the end of the process.
    fn close(&mut self) {
        self.finish(false);
        if let Some(output) = &mut self.output {
            output.source.finish();
        }
        self.is_closed = true;
    }

    fn flush(&mut self) {
        if let Some(output) = &mut self.output {
            output.source.flush();
        }
    }
}

impl Output {
    fn take(&mut self, released: Released<'_>, now: u64) {
        let Self { lines, source } = self;
        let Released { stream, bytes, time } = released;
        lines[stream.index()].push(bytes, time, &mut |piece| add(source, piece, now, Some(stream), None));
    }
}

/// Makes a record of a line or a part of one.
pub(super) fn add(
    source: &mut Source,
    piece: Piece<'_>,
    observed: u64,
    stream: Option<Stream>,
    severity: Option<Severity>,
) {
    source.add(&Record {
        body: &String::from_utf8_lossy(piece.bytes),
        time: piece.time,
        observed,
        severity,
        stream: stream.map(Stream::name),
        uid: "",
        part: piece.part,
        dropped: None,
    });
}
