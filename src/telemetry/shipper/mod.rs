//! The threads that take requests out of the spool and send them: one for each signal that is sent.
//!
//! Telemetry R37 to R40; OTLP specification, "Failures": tries follow each other in growing, random pauses, or as the
//! collector asks. A request may take as long as its timeout, so a thread that sent both signals would keep log records
//! waiting for a collector of spans that hangs, until there is no more room for them.

mod account;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::otlp::settings::Destination;
use super::otlp::{Accepted, Form, Refusal, Retry, Signal, Transport};
use super::spool::{Frame, Spool};
use crate::os::signal;
pub(super) use account::Account;

/// The longest first pause after a failure, and the longest at all.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a collector may ask for at least; less is as nothing.
const LEAST_ASKED: Duration = Duration::from_millis(20);
/// What a collector may ask for at most.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);
/// How long a request may take whose destination has no limit.
const NO_LIMIT: Duration = Duration::from_secs(3600);
/// Up to how many bytes of small requests are sent as one.
const TOGETHER: u64 = 512 * 1024;

/// The way of one signal.
pub(super) struct Lane {
    signal: Signal,
    endpoint: String,
    timeout: Duration,
    transport: Box<dyn Transport>,
    /// No try before this moment, and whether the collector asked for that.
    pause: Option<(Instant, bool)>,
    /// How many tries in a row failed.
    failed: u32,
    /// How many of the next requests are sent each by itself: together they were refused.
    alone: usize,
}

impl Lane {
    /// Begins with a transport that has sent nothing yet.
    pub(super) fn new(destination: &Destination, transport: Box<dyn Transport>) -> Self {
        Self {
            signal: destination.signal,
            endpoint: destination.endpoint.to_string(),
            timeout: destination.timeout.unwrap_or(NO_LIMIT),
            transport,
            pause: None,
            failed: 0,
            alone: 0,
        }
    }

    /// What goes this way.
    pub(super) fn signal(&self) -> Signal {
        self.signal
    }

    fn is_due(&self, now: Instant) -> bool {
        self.pause.is_none_or(|(until, _)| until <= now)
    }

    /// Sends a request; after one that may be tried again the lane rests.
    pub(super) fn send(&mut self, request: &[u8], end: Option<Instant>) -> Result<Accepted, Refusal> {
        let now = Instant::now();
        let deadline = now + self.timeout;
        let deadline = end.map_or(deadline, |end| end.min(deadline));
        let result = self.transport.send(self.signal, request, deadline);
        match &result {
            Ok(_) | Err(Refusal { retry: Retry::Never, .. }) => (self.pause, self.failed) = (None, 0),
            Err(refusal) => {
                // Who asks for no pause gets those that grow: it would be asked again and again.
                let asked = match refusal.retry {
                    Retry::After(time) if time >= LEAST_ASKED => Some(time.min(LONGEST_ASKED)),
                    _ => None,
                };
                let pause = asked.unwrap_or_else(|| pause(self.failed, chance()));
                self.pause = Some((Instant::now() + pause, asked.is_some()));
                self.failed = self.failed.saturating_add(1);
            }
        }
        result
    }

    /// The collector's address.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Until when the lane rests.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.pause.map(|(until, _)| until)
    }
}

/// The pause after so many failures in a row: twice as long each time, and at random between a half and the whole.
fn pause(failed: u32, chance: f64) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << failed.min(16)).min(LONGEST_PAUSE);
    longest.mul_f64(0.5 + chance / 2.0)
}

/// A random number from 0 up to 1.
fn chance() -> f64 {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_or(0.5, |()| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

/// Takes what waits of one signal out of the spool and sends it.
pub(super) struct Shipper {
    spool: Arc<Spool>,
    lane: Lane,
    account: Arc<Mutex<Account>>,
    /// When the spool closes, once that is known.
    end: Option<Instant>,
}

impl Shipper {
    pub(super) fn new(spool: Arc<Spool>, lane: Lane, account: Arc<Mutex<Account>>) -> Self {
        Self { spool, lane, account, end: None }
    }

    /// Sends until the spool is closed and has nothing more of the signal, or its time is over.
    pub(super) fn run(mut self) {
        // Signals are for who knows what to do about them.
        signal::leave_to_others();
        let mut request = Vec::new();
        loop {
            self.notice_the_end();
            let now = Instant::now();
            if self.end.is_some_and(|end| end <= now) {
                return;
            }
            if self.lane.is_due(now) && !self.spool.is_empty(self.lane.signal) {
                self.send_some(&mut request);
            } else if self.is_done() {
                return;
            } else {
                self.rest(now);
            }
        }
    }

    /// When the end comes, pauses of our own are over: this is the last chance. Those that a collector asked for are not.
    fn notice_the_end(&mut self) {
        let known = std::mem::replace(&mut self.end, self.spool.closed());
        if known.is_none() && self.end.is_some() {
            self.lane.pause = self.lane.pause.filter(|(_, asked)| *asked);
            self.lane.failed = 0;
        }
    }

    /// Says whether nothing can be sent any more: all is, or what is left rests beyond the end.
    fn is_done(&self) -> bool {
        let Some(end) = self.end else { return false };
        self.spool.is_empty(self.lane.signal) || self.lane.rests_until().is_some_and(|until| until >= end)
    }

    /// Waits for something to do.
    fn rest(&self, now: Instant) {
        let pause = self.lane.rests_until().filter(|until| *until > now);
        let knows_the_end = self.end.is_some();
        self.spool.wait_until(pause.into_iter().chain(self.end).min(), |queue| {
            (pause.is_none() && queue.has(self.lane.signal)) || (!knows_the_end && queue.is_closed())
        });
    }

    /// Sends the first requests as one.
    fn send_some(&mut self, request: &mut Vec<u8>) {
        let Self { spool, lane, account, end } = self;
        let account = || account.lock().unwrap_or_else(PoisonError::into_inner);
        let most = if lane.alone > 0 { 0 } else { TOGETHER };
        let (frames, unreadable) = gather(spool, lane.signal, most, request);
        if let Some((frame, error)) = unreadable {
            account().unreadable(frame.records.into(), &error);
            spool.give_back(lane.signal, 1);
            return;
        }
        let records = frames.iter().map(|frame| u64::from(frame.records)).sum();
        match lane.send(request, *end) {
            Ok(accepted) => {
                account().sent(records, accepted);
                lane.alone = lane.alone.saturating_sub(1);
                spool.give_back(lane.signal, frames.len());
            }
            // One of them may have spoilt it for all.
            Err(Refusal { retry: Retry::Never, .. }) if frames.len() > 1 => lane.alone = frames.len(),
            Err(Refusal { retry: Retry::Never, cause }) => {
                account().refused(records, cause);
                lane.alone = lane.alone.saturating_sub(1);
                spool.give_back(lane.signal, 1);
            }
            Err(refusal) => account().away(refusal.cause),
        }
    }
}

/// Reads the first requests of a signal into one, or only the first where that is all that can be. A first one that
/// cannot be read is told.
fn gather(spool: &Spool, signal: Signal, most: u64, request: &mut Vec<u8>) -> (Vec<Frame>, Option<(Frame, io::Error)>) {
    request.clear();
    let mut together = spool.first(signal, most);
    for (index, frame) in together.iter().enumerate() {
        let start = request.len();
        let read = spool.read(frame, request);
        let joined = read.is_ok() && (index == 0 || join(frame.form, signal, request, start));
        if !joined {
            request.truncate(start);
            let unreadable = if index == 0 { read.err().map(|error| (*frame, error)) } else { None };
            together.truncate(index);
            return (together, unreadable);
        }
    }
    (together, None)
}

/// Makes one request of two that follow each other, the second from `start` on; false if they are not of the usual form.
/// Messages of protobuf that follow each other are one already.
fn join(form: Form, signal: Signal, requests: &mut Vec<u8>, start: usize) -> bool {
    let head: &[u8] = match (form, signal) {
        (Form::Protobuf, _) => return true,
        (Form::Json, Signal::Traces) => br#"{"resourceSpans":["#,
        (Form::Json, Signal::Logs) => br#"{"resourceLogs":["#,
    };
    let tail = b"]}";
    let is_usual = |request: &[u8]| {
        request.len() > head.len() + tail.len() && request.starts_with(head) && request.ends_with(tail)
    };
    let (first, second) = requests.split_at(start);
    if !is_usual(first) || !is_usual(second) {
        return false;
    }
    requests.drain(start..start + head.len());
    requests.splice(start - tail.len()..start, *b",");
    true
}

#[cfg(test)]
mod tests;
