//! Secrets in the two streams of one program, wherever its writes end.
//!
//! A secret counts where it stands in one stream, and where it stands in both together as they came: a program may print
//! one half here and the other there, and a terminal shows it whole. Bytes are held only while they may begin a secret.

use std::collections::VecDeque;
use std::sync::Arc;

use aho_corasick::automaton::StateID;

use super::patterns::Patterns;
use super::{MARK, Redactor};
use crate::effect::processes::Stream;

/// Bytes without secrets.
#[derive(Clone, Copy, Debug)]
pub struct Released<'a> {
    /// Where they were printed.
    pub stream: Stream,
    /// What is left of them.
    pub bytes: &'a [u8],
    /// When the first of them came, in nanoseconds.
    pub time: u64,
}

/// Reads what a program prints.
pub struct Scanner {
    redactor: Arc<Redactor>,
    patterns: Arc<Patterns>,
    streams: [Tail; 2],
    /// Both streams as one.
    merged: StateID,
    /// How many bytes came in both.
    count: u64,
}

/// The end of a stream.
#[derive(Default)]
struct Tail {
    state: StateID,
    held: VecDeque<Held>,
    /// When the first held byte came.
    time: u64,
    /// What was released last belonged to a secret: more of it has no mark of its own.
    in_secret: bool,
    /// The number of the byte, in both streams, behind the last one.
    end: u64,
}

/// A byte that may belong to a secret.
struct Held {
    byte: u8,
    /// Its number in both streams.
    number: u64,
    is_secret: bool,
}

impl Scanner {
    /// Starts to read.
    pub fn new(redactor: Arc<Redactor>) -> Self {
        let patterns = redactor.patterns();
        let start = patterns.start();
        let streams = [(); 2].map(|()| Tail { state: start, ..Tail::default() });
        Self { redactor, patterns, streams, merged: start, count: 0 }
    }

    /// Reads bytes that came at `time`, and releases what can no longer belong to a secret, secrets replaced.
    pub fn push(&mut self, stream: Stream, bytes: &[u8], time: u64, release: &mut dyn FnMut(Released<'_>)) {
        let latest = self.redactor.patterns();
        if !Arc::ptr_eq(&latest, &self.patterns) {
            self.start_over(latest);
        }
        if self.patterns.is_empty() {
            return release(Released { stream, bytes, time });
        }
        let secret = self.read(stream, bytes);
        // The other stream may have waited for this.
        self.release(stream.other(), &[], None, time, release);
        self.release(stream, bytes, secret.as_deref(), time, release);
    }

    /// Releases what is held: nothing more comes, or nobody waits for it any longer.
    pub fn finish(&mut self, release: &mut dyn FnMut(Released<'_>)) {
        let start = self.patterns.start();
        self.merged = start;
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.streams[stream.index()].state = start;
            self.release(stream, &[], None, 0, release);
        }
    }

    /// Takes other patterns: what is held is read again.
    fn start_over(&mut self, patterns: Arc<Patterns>) {
        self.patterns = patterns;
        let start = self.patterns.start();
        self.merged = start;
        let mut held = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let tail = &mut self.streams[stream.index()];
            tail.state = start;
            held.extend(tail.held.iter().map(|held| (held.number, stream, held.byte)));
        }
        held.sort_unstable_by_key(|(number, ..)| *number);
        let mut next = None;
        for (number, stream, byte) in held {
            // What came between was released: it is no part of a secret with its neighbours.
            if next != Some(number) {
                self.merged = start;
            }
            next = Some(number + 1);
            let tail = &mut self.streams[stream.index()];
            let place = tail.held.partition_point(|held| held.number <= number);
            let mut found = 0;
            tail.state = self.patterns.read(tail.state, &[byte], &mut |_, length| found = length);
            tail.held.range_mut(place - found..place).for_each(|held| held.is_secret = true);
            let mut found = 0;
            self.merged = self.patterns.read(self.merged, &[byte], &mut |_, length| found = length as u64);
            self.mark_merged(number + 1 - found, number + 1);
        }
        if next != Some(self.count) {
            self.merged = start;
        }
    }

    /// Reads new bytes in both ways; marks held ones that turn out to belong to secrets, and says which of the new do.
    fn read(&mut self, stream: Stream, bytes: &[u8]) -> Option<Vec<bool>> {
        let mut secret: Option<Vec<bool>> = None;
        let mut mark = |from: usize, to: usize| {
            secret.get_or_insert_with(|| vec![false; bytes.len()])[from..to].fill(true);
        };
        let mut in_held: usize = 0;
        let own = &mut self.streams[stream.index()];
        let before = own.state;
        own.state = self.patterns.read(before, bytes, &mut |end, length| {
            mark(end.saturating_sub(length), end);
            in_held = in_held.max(length.saturating_sub(end));
        });
        let held = own.held.len();
        own.held.range_mut(held.saturating_sub(in_held)..).for_each(|held| held.is_secret = true);
        let first = self.count;
        self.count += bytes.len() as u64;
        own.end = self.count;
        // Mostly one stream has been silent for a while, and both ways of reading are one.
        let behind = u64::from(self.patterns.state(before).depth);
        if before == self.merged && self.streams[stream.other().index()].end + behind <= first {
            self.merged = self.streams[stream.index()].state;
            return secret;
        }
        let mut before_first: u64 = 0;
        self.merged = self.patterns.read(self.merged, bytes, &mut |end, length| {
            mark(end.saturating_sub(length), end);
            before_first = before_first.max(length.saturating_sub(end) as u64);
        });
        self.mark_merged(first - before_first, first);
        secret
    }

    /// Marks held bytes by their numbers in both streams.
    fn mark_merged(&mut self, from: u64, to: u64) {
        for tail in &mut self.streams {
            let range = tail.held.partition_point(|held| held.number < from)
                ..tail.held.partition_point(|held| held.number < to);
            tail.held.range_mut(range).for_each(|held| held.is_secret = true);
        }
    }

    /// Releases the held bytes of a stream and then new ones, as far as neither way of reading wants to keep them.
    fn release(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        secret: Option<&[bool]>,
        time: u64,
        release: &mut dyn FnMut(Released<'_>),
    ) {
        let in_merged = self.count - u64::from(self.patterns.state(self.merged).held);
        let first = self.count - bytes.len() as u64;
        let tail = &mut self.streams[stream.index()];
        let own = (tail.held.len() + bytes.len()).saturating_sub(self.patterns.state(tail.state).held.into());
        let from_held = own.min(tail.held.partition_point(|held| held.number < in_merged));
        if from_held > 0 {
            let (mut text, mut flags) = (Vec::with_capacity(from_held), Vec::with_capacity(from_held));
            for held in tail.held.drain(..from_held) {
                text.push(held.byte);
                flags.push(held.is_secret);
            }
            replace(&text, Some(&flags), &mut tail.in_secret, |bytes| {
                release(Released { stream, bytes, time: tail.time });
            });
        }
        if !tail.held.is_empty() || bytes.is_empty() {
            tail.hold(bytes, secret, first);
            return;
        }
        let kept = (own - from_held).min(usize::try_from(in_merged.saturating_sub(first)).unwrap_or(usize::MAX));
        let flags = secret.map(|flags| &flags[..kept]);
        replace(&bytes[..kept], flags, &mut tail.in_secret, |bytes| release(Released { stream, bytes, time }));
        if kept < bytes.len() {
            tail.time = time;
            tail.hold(&bytes[kept..], secret.map(|flags| &flags[kept..]), first + kept as u64);
        }
    }
}

impl Tail {
    fn hold(&mut self, bytes: &[u8], secret: Option<&[bool]>, first: u64) {
        let is_secret = |index: usize| secret.is_some_and(|flags| flags[index]);
        let held = (first..).zip(bytes).enumerate();
        self.held.extend(held.map(|(index, (number, byte))| Held { byte: *byte, number, is_secret: is_secret(index) }));
    }
}

/// Passes bytes on, each row of those that are secret as one mark.
pub(super) fn replace(bytes: &[u8], secret: Option<&[bool]>, in_secret: &mut bool, mut out: impl FnMut(&[u8])) {
    let Some(mut flags) = secret else {
        if !bytes.is_empty() {
            *in_secret = false;
            out(bytes);
        }
        return;
    };
    let mut bytes = bytes;
    while let Some(is_secret) = flags.first().copied() {
        let count = flags.iter().position(|flag| *flag != is_secret).unwrap_or(flags.len());
        if !is_secret {
            out(&bytes[..count]);
        } else if !*in_secret {
            out(MARK);
        }
        *in_secret = is_secret;
        (bytes, flags) = (&bytes[count..], &flags[count..]);
    }
}
