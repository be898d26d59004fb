//! The outbox of one run: a spool, the threads that empty it, and what became of it all in the end.
//!
//! Telemetry T12, T13, R37 to R40. Whoever has spans or log records appends them to [`Outbox::spool`] and goes on at once.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::live::Live;
use super::otlp::settings::Destination;
use super::otlp::{self, Network, Signal};
use super::shipper::{Account, Lane, Shipper};
use super::spool::{Rest, Spool, SpoolConfig};
use crate::os::error_text;

/// How long the end of a program may wait without a word (T13).
const SILENT: Duration = Duration::from_secs(1);
/// How much longer than its deadline a request may be on its way out.
const SLACK: Duration = Duration::from_millis(100);

/// What happens to spans and log records on their way to a collector.
pub struct Outbox {
    spool: Arc<Spool>,
    ways: Vec<Way>,
    sending: Arc<Sending>,
    /// Since when nobody is to wait for a collector any more.
    hurried: OnceLock<Instant>,
    secrets: Vec<String>,
    /// Who may still put in what programs wrote.
    live: OnceLock<Arc<Live>>,
}

/// What is sent, where to, and what became of it.
struct Way {
    signal: Signal,
    endpoint: String,
    account: Arc<Mutex<Account>>,
}

/// How many threads still send, for who waits for their end.
#[derive(Default)]
struct Sending {
    threads: Mutex<usize>,
    changed: Condvar,
}

impl Sending {
    fn threads(&self) -> MutexGuard<'_, usize> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of all until a moment, which may come closer meanwhile; says whether it has come.
    fn join(&self, until: impl Fn() -> Instant) -> bool {
        let mut threads = self.threads();
        loop {
            let left = until().saturating_duration_since(Instant::now());
            if *threads == 0 || left.is_zero() {
                return *threads == 0;
            }
            threads = self.changed.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets who waits look again at how long.
    fn wake(&self) {
        drop(self.threads());
        self.changed.notify_all();
    }
}

/// One thread that sends. Dropped when it ends, however that comes.
struct Alive(Arc<Sending>);

impl Alive {
    fn new(sending: &Arc<Sending>) -> Self {
        *sending.threads() += 1;
        Self(Arc::clone(sending))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.threads() -= 1;
        self.0.changed.notify_all();
    }
}

/// What an outbox is made of.
pub struct OutboxConfig {
    /// The spool; its forms are set by the destinations.
    pub spool: SpoolConfig,
    /// Where signals go.
    pub destinations: Vec<Destination>,
    /// How others are reached.
    pub network: Network,
}

/// What became of everything that was appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many spans and log records a collector took.
    pub sent: u64,
    /// How many it threw away or refused for good.
    pub dropped: u64,
    /// Where the rest is, and how many.
    pub kept: Option<(PathBuf, u64)>,
    /// What the user should know, a sentence each.
    pub warnings: Vec<String>,
}

impl Outbox {
    /// Makes the spool and starts a thread for each signal that can be sent. None where nothing can be sent. Also what is
    /// wrong, a sentence each.
    pub fn open(mut config: OutboxConfig) -> (Option<Self>, Vec<String>) {
        let mut warnings = Vec::new();
        let mut lanes = Vec::new();
        let mut secrets = Vec::new();
        for destination in &config.destinations {
            match otlp::transport(destination, &config.network) {
                Ok(transport) => lanes.push(Lane::new(destination, transport)),
                Err(text) => warnings.push(format!("no {} are sent: {text}", destination.signal.things())),
            }
            secrets.extend(destination.secrets());
            match destination.signal {
                Signal::Traces => config.spool.traces = destination.protocol.form(),
                Signal::Logs => config.spool.logs = destination.protocol.form(),
            }
        }
        if lanes.is_empty() {
            return (None, warnings);
        }
        let (outbox, more) = Self::start(&config.spool, lanes, secrets, Builder::new);
        warnings.extend(more);
        (outbox, warnings)
    }

    /// The same with transports of somebody's own, on threads that are made so.
    pub(super) fn start(
        config: &SpoolConfig,
        lanes: Vec<Lane>,
        secrets: Vec<String>,
        thread: fn() -> Builder,
    ) -> (Option<Self>, Vec<String>) {
        let spool = match Spool::create(config) {
            Ok(spool) => Arc::new(spool),
            Err(error) => {
                let warning =
                    format!("nothing is sent to a collector: there is no place for what waits to be sent: {error}");
                return (None, vec![warning]);
            }
        };
        let sending = Arc::<Sending>::default();
        let (mut ways, mut warnings) = (Vec::new(), Vec::new());
        for lane in lanes {
            let signal = lane.signal();
            let way = Way { signal, endpoint: lane.endpoint().to_owned(), account: Arc::default() };
            let shipper = Shipper::new(Arc::clone(&spool), lane, Arc::clone(&way.account));
            let alive = Alive::new(&sending);
            let started = thread().name("ship".to_owned()).spawn(move || {
                shipper.run();
                drop(alive);
            });
            match started {
                Ok(_) => ways.push(way),
                Err(error) => {
                    let things = signal.things();
                    warnings.push(format!("no {things} are sent: no thread can be started: {}", error_text(&error)));
                }
            }
        }
        if ways.is_empty() {
            spool.end();
            return (None, warnings);
        }
        let (hurried, live) = (OnceLock::new(), OnceLock::new());
        (Some(Self { spool, ways, sending, hurried, secrets, live }), warnings)
    }

    /// Says whether a signal has somewhere to go.
    pub fn sends(&self, signal: Signal) -> bool {
        self.ways.iter().any(|way| way.signal == signal)
    }

    /// Where what is to be sent goes.
    pub fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// What must not be in anything that is sent: values of headers, and of the query of an address.
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// At the end, what this one still reads is waited for, and what it has to tell is told. There is one at most.
    pub fn waits_for(&self, live: Arc<Live>) {
        let _ = self.live.set(live);
    }

    /// Takes nothing more in, sends what waits for `deadline` at most, and says what became of it all. When that takes
    /// more than a second, `waits` is told how many spans and log records still wait.
    pub fn finish(&self, deadline: Duration, waits: &dyn Fn(u64)) -> Delivered {
        let began = Instant::now();
        let (end, silent) = (began + deadline, began + SILENT);
        if !self.settle(end, end.min(silent)) && self.until(end) > silent {
            waits(self.spool.waiting().records);
            self.settle(end, end + SLACK);
        }
        // A late answer finds a spool that is given up: what it was about may be sent twice.
        let rest = self.spool.end();
        let mut delivered = Delivered::default();
        for Way { signal, endpoint, account } in &self.ways {
            let account = account.lock().unwrap_or_else(PoisonError::into_inner);
            delivered.sent += account.sent;
            delivered.dropped += account.dropped();
            for warning in account.warnings(*signal, endpoint, !self.spool.is_empty(*signal)) {
                // By gRPC both signals have the same address, and then mostly the same trouble.
                if !delivered.warnings.contains(&warning) {
                    delivered.warnings.push(warning);
                }
            }
        }
        match rest {
            Rest::Nothing => {}
            Rest::Kept { path, records } => {
                let shown = path.display();
                delivered.warnings.push(format!(
                    "{records} spans and log records were not delivered and wait in '{shown}'; send them with: lifecycle \
                     ship {shown}"
                ));
                delivered.kept = Some((path, records));
            }
            Rest::Gone { path, records } => {
                delivered.dropped += records;
                delivered.warnings.push(format!(
                    "{records} spans and log records are lost: they waited in '{}', which somebody removed or changed",
                    path.display()
                ));
            }
        }
        delivered.warnings.extend(self.live.get().iter().flat_map(|live| live.warnings()));
        delivered
    }

    /// Nobody waits for a collector any more: [`Self::finish`], on another thread or to come, takes no more time.
    pub fn hurry(&self) {
        let now = *self.hurried.get_or_init(Instant::now);
        if let Some(live) = self.live.get() {
            live.settle(now, now);
        }
        if self.spool.closed().is_some() {
            self.spool.close(now);
        }
        self.sending.wake();
    }

    /// Waits until everything is read and sent for which there is time to `end`, but not longer than to `longest`; says
    /// whether it is.
    fn settle(&self, end: Instant, longest: Instant) -> bool {
        if let Some(live) = self.live.get()
            && !live.settle(self.until(end), longest)
            && longest < self.until(end)
        {
            return false;
        }
        self.spool.close(self.until(end));
        self.sending.join(|| self.until(longest))
    }

    /// A moment, or when nobody was to wait any more.
    fn until(&self, moment: Instant) -> Instant {
        self.hurried.get().map_or(moment, |hurried| moment.min(*hurried))
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // Who did not finish keeps everything; the threads send no more.
        self.spool.close(Instant::now());
    }
}
