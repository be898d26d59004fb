//! The outbox of one run: a spool, the thread that empties it, and what became of it all in the end.
//!
//! Telemetry T12, T13, R37 to R40. Whoever has spans or log records appends them to [`Outbox::spool`] and goes on at once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::live::Live;
use super::otlp::settings::Destination;
use super::otlp::{self, Network, Signal};
use super::shipper::{Account, Lane, Shipper};
use super::spool::{Spool, SpoolConfig};

/// How long the end of a program may wait without a word (T13).
const SILENT: Duration = Duration::from_secs(1);
/// How much longer than its deadline a request may be on its way out.
const SLACK: Duration = Duration::from_millis(100);

/// What happens to spans and log records on their way to a collector.
pub struct Outbox {
    spool: Arc<Spool>,
    account: Arc<Mutex<Account>>,
    thread: Arc<Thread>,
    /// Somebody has said, or is about to say, what became of everything.
    told: AtomicBool,
    secrets: Vec<String>,
    signals: Vec<Signal>,
    /// Who may still put in what programs wrote.
    live: OnceLock<Arc<Live>>,
}

/// Whether the thread has ended, for who waits for that.
#[derive(Default)]
struct Thread {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Thread {
    /// Waits for its end, for so long at most; says whether it has come.
    fn join(&self, longest: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(ended, longest, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Dropped when the thread ends, however that comes.
struct Alive(Arc<Thread>);

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
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
    /// Makes the spool and starts the thread. None where nothing can be sent. Also what is wrong, a sentence each.
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
        match Self::start(&config.spool, lanes, secrets) {
            Ok(outbox) => (Some(outbox), warnings),
            Err(text) => {
                warnings.push(text);
                (None, warnings)
            }
        }
    }

    /// The same with transports of somebody's own.
    pub(super) fn start(config: &SpoolConfig, lanes: Vec<Lane>, secrets: Vec<String>) -> Result<Self, String> {
        let no_spool = |cause: &dyn std::fmt::Display| {
            format!("nothing is sent to a collector: there is no place for what waits to be sent: {cause}")
        };
        let signals = lanes.iter().map(Lane::signal).collect();
        let spool = Arc::new(Spool::create(config).map_err(|error| no_spool(&error))?);
        let account = Arc::<Mutex<Account>>::default();
        let thread = Arc::<Thread>::default();
        let alive = Alive(Arc::clone(&thread));
        let shipper = Shipper::new(Arc::clone(&spool), lanes, Arc::clone(&account));
        let started = std::thread::Builder::new().name("ship".to_owned()).spawn(move || {
            shipper.run();
            drop(alive);
        });
        if let Err(error) = started {
            spool.end();
            return Err(no_spool(&error));
        }
        Ok(Self { spool, account, thread, told: AtomicBool::new(false), secrets, signals, live: OnceLock::new() })
    }

    /// Says whether a signal has somewhere to go.
    pub fn sends(&self, signal: Signal) -> bool {
        self.signals.contains(&signal)
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
    /// more than a second, `waits` is told how many spans and log records still wait. Of several calls, also such that
    /// run at the same time because the process is told to stop, the first to end says it, the others nothing.
    pub fn finish(&self, deadline: Duration, waits: &dyn Fn(u64)) -> Delivered {
        if self.told.load(Ordering::SeqCst) {
            return Delivered::default();
        }
        let now = Instant::now();
        let end = now + deadline;
        let mut ended = self.settle(end, now + SILENT.min(deadline));
        if !ended && deadline > SILENT {
            waits(self.spool.waiting().records);
            ended = self.settle(end, end + SLACK);
        }
        if self.told.swap(true, Ordering::SeqCst) {
            return Delivered::default();
        }
        let kept = self.spool.end();
        // A late answer finds a spool that is given up: what it was about may be sent twice.
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let mut warnings = account.warnings(kept.is_some(), ended);
        if let Some((path, count)) = &kept {
            let path = path.display();
            warnings.push(format!(
                "{count} spans and log records were not delivered and wait in '{path}'; send them with: lifecycle ship {path}"
            ));
        }
        warnings.extend(self.live.get().iter().flat_map(|live| live.warnings()));
        Delivered { sent: account.sent, dropped: account.dropped, kept, warnings }
    }

    /// Waits until everything is read and sent for which there is time to `end`, but not longer than to `longest`; says
    /// whether it is.
    fn settle(&self, end: Instant, longest: Instant) -> bool {
        if let Some(live) = self.live.get()
            && !live.settle(end, longest)
            && longest < end
        {
            return false;
        }
        self.spool.close(end);
        self.thread.join(longest.saturating_duration_since(Instant::now()))
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // Who did not finish keeps everything; the thread sends no more.
        self.spool.close(Instant::now());
    }
}
