//! The thread that takes requests out of the spool and sends them.
//!
//! Telemetry R37 to R40; OTLP specification, "Failures": tries follow each other in growing, random pauses, or as the
//! collector asks. One signal's collector may be away: the other's gets its requests.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::otlp::settings::Destination;
use super::otlp::{Accepted, Form, Refusal, Retry, Signal, Transport};
use super::spool::{Frame, Spool};
use crate::os::{error_text, signal};

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

/// What became of what was sent, for the end.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Spans and log records that a collector took.
    pub(super) sent: u64,
    /// Those that it threw away or refused.
    pub(super) dropped: u64,
    /// One of each kind.
    troubles: Vec<Trouble>,
}

/// What went wrong with one collector.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// Requests were refused: how many things were in them, and why the first was.
    Refused { signal: Signal, endpoint: String, count: u64, cause: String },
    /// Parts of requests were thrown away.
    Rejected { signal: Signal, endpoint: String, count: u64, cause: Option<String> },
    /// The collector says something else.
    Said { endpoint: String, text: String },
    /// The spool could not be read.
    Lost { count: u64, cause: String },
    /// The collector does not take requests at the moment.
    Away { endpoint: String, cause: String },
}

impl Trouble {
    fn is_away(&self, from: &str) -> bool {
        matches!(self, Self::Away { endpoint, .. } if endpoint == from)
    }
}

impl Account {
    /// The sentences for the user. `left` are the collectors that did not take everything; trouble that passed is none.
    pub(super) fn warnings(&self, left: &BTreeSet<&str>) -> Vec<String> {
        let because = |cause: &Option<String>| cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        let mut texts: Vec<String> = self
            .troubles
            .iter()
            .filter_map(|trouble| {
                Some(match trouble {
                    Trouble::Refused { signal, endpoint, count, cause } => {
                        format!("{count} {} are lost: {endpoint} refused them: {cause}", signal.things())
                    }
                    Trouble::Rejected { signal, endpoint, count, cause } => {
                        format!("{count} {} are lost: {endpoint} threw them away{}", signal.things(), because(cause))
                    }
                    Trouble::Said { endpoint, text } => format!("{endpoint} says: {text}"),
                    Trouble::Lost { count, cause } => {
                        format!("{count} spans and log records are lost: the spool cannot be read: {cause}")
                    }
                    Trouble::Away { endpoint, cause } if left.contains(endpoint.as_str()) => {
                        format!("{endpoint} could not be reached or took nothing: {cause}")
                    }
                    Trouble::Away { .. } => return None,
                })
            })
            .collect();
        let is_away = |endpoint: &str| self.troubles.iter().any(|trouble| trouble.is_away(endpoint));
        let slow = left.iter().filter(|endpoint| !is_away(endpoint));
        texts.extend(slow.map(|endpoint| format!("{endpoint} did not take everything in time")));
        texts
    }

    fn sent(&mut self, lane: &Lane, records: u64, accepted: Accepted) {
        let rejected = accepted.rejected.min(records);
        self.sent += records - rejected;
        self.dropped += rejected;
        self.troubles.retain(|trouble| !trouble.is_away(&lane.endpoint));
        let (signal, endpoint) = (lane.signal, lane.endpoint.clone());
        match (rejected, accepted.message) {
            (0, None) => {}
            (0, Some(text)) => self.add(Trouble::Said { endpoint, text }),
            (count, cause) => self.add(Trouble::Rejected { signal, endpoint, count, cause }),
        }
    }

    fn refused(&mut self, lane: &Lane, records: u64, refusal: Refusal) {
        let (signal, endpoint, cause) = (lane.signal, lane.endpoint.clone(), refusal.cause);
        if refusal.retry == Retry::Never {
            self.dropped += records;
            self.add(Trouble::Refused { signal, endpoint, count: records, cause });
        } else {
            self.add(Trouble::Away { endpoint, cause });
        }
    }

    fn lost(&mut self, records: u64, error: &io::Error) {
        self.dropped += records;
        self.add(Trouble::Lost { count: records, cause: error_text(error) });
    }

    /// Keeps one trouble of each kind and collector: the first cause and the sum, but the last cause of who is away.
    fn add(&mut self, trouble: Trouble) {
        use Trouble as T;
        for known in &mut self.troubles {
            match (known, &trouble) {
                (T::Refused { signal, count, .. }, T::Refused { signal: other, count: more, .. })
                | (T::Rejected { signal, count, .. }, T::Rejected { signal: other, count: more, .. })
                    if signal == other =>
                {
                    *count += more;
                    return;
                }
                (T::Lost { count, .. }, T::Lost { count: more, .. }) => {
                    *count += more;
                    return;
                }
                (T::Said { endpoint, .. }, T::Said { endpoint: other, .. }) if endpoint == other => return,
                (T::Away { endpoint, cause }, T::Away { endpoint: other, cause: last }) if endpoint == other => {
                    cause.clone_from(last);
                    return;
                }
                _ => {}
            }
        }
        self.troubles.push(trouble);
    }
}

/// Empties a spool.
pub(super) struct Shipper {
    spool: Arc<Spool>,
    lanes: Vec<Lane>,
    account: Arc<Mutex<Account>>,
    /// When the spool closes, once that is known.
    end: Option<Instant>,
    /// Where the next search for something to send begins: no lane waits for the other.
    turn: usize,
}

impl Shipper {
    pub(super) fn new(spool: Arc<Spool>, lanes: Vec<Lane>, account: Arc<Mutex<Account>>) -> Self {
        Self { spool, lanes, account, end: None, turn: 0 }
    }

    /// Sends until the spool is closed and empty, or its time is over.
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
            let count = self.lanes.len();
            let due = (0..count).map(|index| (self.turn + index) % count).find(|index| {
                let lane = &self.lanes[*index];
                lane.is_due(now) && !self.spool.is_empty(lane.signal)
            });
            match due {
                Some(index) => {
                    self.turn = index + 1;
                    self.send_some(index, &mut request);
                }
                None if self.is_done() => return,
                None => self.rest(),
            }
        }
    }

    /// When the end comes, pauses of our own are over: this is the last chance. Those that a collector asked for are not.
    fn notice_the_end(&mut self) {
        let known = std::mem::replace(&mut self.end, self.spool.closed());
        if known.is_none() && self.end.is_some() {
            for lane in &mut self.lanes {
                lane.pause = lane.pause.filter(|(_, asked)| *asked);
                lane.failed = 0;
            }
        }
    }

    /// Says whether nothing can be sent any more: all is, or what is left rests beyond the end.
    fn is_done(&self) -> bool {
        let Some(end) = self.end else { return false };
        self.lanes
            .iter()
            .all(|lane| self.spool.is_empty(lane.signal) || lane.rests_until().is_some_and(|until| until >= end))
    }

    /// Waits for something to do.
    fn rest(&self) {
        let now = Instant::now();
        let waking: Vec<Signal> = self.lanes.iter().filter(|lane| lane.is_due(now)).map(|lane| lane.signal).collect();
        let moments = self.lanes.iter().filter_map(Lane::rests_until).filter(|until| *until > now).chain(self.end);
        let knows_the_end = self.end.is_some();
        self.spool.wait_until(moments.min(), |queue| {
            waking.iter().any(|signal| queue.has(*signal)) || (!knows_the_end && queue.is_closed())
        });
    }

    /// Sends the first requests of a lane as one.
    fn send_some(&mut self, index: usize, request: &mut Vec<u8>) {
        let lane = &mut self.lanes[index];
        let most = if lane.alone > 0 { 0 } else { TOGETHER };
        let (frames, unreadable) = gather(&self.spool, lane.signal, most, request);
        if let Some((frame, error)) = unreadable {
            account(&self.account).lost(frame.records.into(), &error);
            self.spool.give_back(lane.signal, 1);
            return;
        }
        let records = frames.iter().map(|frame| u64::from(frame.records)).sum();
        let result = lane.send(request, self.end);
        match result {
            Ok(accepted) => {
                account(&self.account).sent(lane, records, accepted);
                lane.alone = lane.alone.saturating_sub(1);
                self.spool.give_back(lane.signal, frames.len());
            }
            // One of them may have spoilt it for all.
            Err(Refusal { retry: Retry::Never, .. }) if frames.len() > 1 => lane.alone = frames.len(),
            Err(refusal) => {
                let is_lost = refusal.retry == Retry::Never;
                account(&self.account).refused(lane, records, refusal);
                if is_lost {
                    lane.alone = lane.alone.saturating_sub(1);
                    self.spool.give_back(lane.signal, 1);
                }
            }
        }
    }
}

fn account(account: &Mutex<Account>) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
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
