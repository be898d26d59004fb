//! Spans on their way to a collector, beside the files: the lifecycle's as they end, those of programs as they write them.
//!
//! Telemetry T11, R22 and part "live spans". What is sent is what the files say, but for the resource, to which users may
//! add, and for secrets in what programs wrote (R35). A span that does not get into the spool is counted, and costs the
//! build nothing.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message as _;

use super::line::Lines;
use super::otlp::foreign::Line;
use super::otlp::resource::ResourceOverrides;
use super::otlp::{Form, Signal};
use super::redact::Redactor;
use super::spool::{Loss, Spool};
use super::tail::{Following, Readers};

/// The most span ids of one program that are remembered, to send none twice.
const MOST_REMEMBERED: usize = 1 << 18;

/// Where spans go that are sent, and how many did not get there.
pub struct Live {
    spool: Arc<Spool>,
    resource: ResourceOverrides,
    /// Takes secrets out of what programs wrote, where that is sent.
    redactor: Option<Arc<Redactor>>,
    readers: Arc<Readers>,
    /// Spans that the spool did not take.
    lost: Loss,
    /// What programs wrote to their files that is no span.
    garbage: AtomicU64,
    programs: AtomicU64,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

impl Live {
    /// Sends through a spool. With a redactor, spans that programs wrote are sent, too, without secrets.
    pub fn new(spool: Arc<Spool>, resource: ResourceOverrides, redactor: Option<Arc<Redactor>>) -> Self {
        let (garbage, programs) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { spool, resource, redactor, readers: Arc::default(), lost: Loss::default(), garbage, programs }
    }

    /// Says whether spans that programs wrote are sent, too.
    pub fn follows(&self) -> bool {
        self.redactor.is_some()
    }

    /// The resource of the lifecycle's spans as it is sent.
    pub(super) fn resource(&self, own: &[KeyValue]) -> Vec<KeyValue> {
        self.resource.apply(own)
    }

    /// Sends what a program writes to its file from an offset on, until the result is dropped.
    pub(super) fn follow(self: &Arc<Self>, file: File, path: PathBuf, from: u64) -> Option<Following> {
        let live = Arc::clone(self);
        // Every program has a share of the spool of its own; the lifecycle's own is another.
        let program = u64::MAX - 1 - self.programs.fetch_add(1, Ordering::Relaxed);
        let mut known = HashSet::new();
        self.readers.follow(file, path, from, move |line| {
            let Some(line) = line else {
                live.garbage.fetch_add(1, Ordering::Relaxed);
                return;
            };
            if known.len() >= MOST_REMEMBERED {
                known.clear();
            }
            let mut line = Line::read(line, |trace, span| known.insert((trace, span)));
            live.garbage.fetch_add(line.bad, Ordering::Relaxed);
            if line.spans() > 0 {
                live.redactor.iter().for_each(|redactor| redactor.spans(&mut line.data));
                live.send(program, &line.data, line.spans());
            }
        })
    }

    fn send(&self, program: u64, data: &TracesData, spans: usize) {
        let request = match self.spool.form(Signal::Traces) {
            // The message of the file and that of a request are the same.
            Form::Protobuf => data.encode_to_vec(),
            Form::Json => serde_json::to_vec(data).unwrap_or_default(),
        };
        let spans = u32::try_from(spans).unwrap_or(u32::MAX);
        if let Err(why) = self.spool.append(Signal::Traces, program, &request, spans) {
            self.lost.add(spans.into(), &why);
        }
    }

    /// Lets what programs wrote be read until `stop` and no longer; waits for that, but not longer than to `longest`. Says
    /// whether everything is read.
    pub(super) fn settle(&self, stop: Instant, longest: Instant) -> bool {
        self.readers.settle(stop, longest)
    }

    /// What is to be told to the user, as warnings, once nothing more is sent.
    pub(super) fn warnings(&self) -> Vec<String> {
        let garbage = self.garbage.load(Ordering::Relaxed);
        let unread = self.readers.unread();
        let mut warnings = Vec::new();
        let mut missing = self.lost.told(
            |count| format!("there was no room for {count} in the spool"),
            |count, cause| format!("{count} could not be kept until then: {cause}"),
        );
        if let Some(first) = unread.paths.first().filter(|_| unread.bytes > 0) {
            let (bytes, first, others) = (unread.bytes, first.display(), others(&unread.paths));
            missing.push(format!("there was no time to read {bytes} bytes of '{first}'{others}"));
        }
        if let Some((first, cause)) = unread.failed.first() {
            let (first, others) = (first.display(), others(&unread.failed));
            missing.push(format!("'{first}'{others} could not be read: {cause}"));
        }
        warnings.extend(self.redactor.iter().filter_map(|redactor| redactor.take_warning()));
        if !missing.is_empty() {
            let files = if self.follows() { "; the files of telemetry have them all" } else { "" };
            warnings.push(format!("not all spans are sent: {}{files}", missing.join(", ")));
        }
        if garbage > 0 {
            warnings
                .push(format!("{garbage} entries in telemetry files of programs are no spans, so they are not sent"));
        }
        warnings
    }
}

/// How many there are besides the first, in words.
fn others<T>(files: &[T]) -> String {
    match files.len() - 1 {
        0 => String::new(),
        others => format!(" and {others} other files"),
    }
}

/// Sends each span when it ends.
#[derive(Debug)]
pub(super) struct ToCollector {
    lines: Lines,
    live: Arc<Live>,
}

impl ToCollector {
    /// Takes what all spans of a phase have in common.
    pub(super) fn new(lines: Lines, live: Arc<Live>) -> Self {
        Self { lines, live }
    }
}

impl SpanProcessor for ToCollector {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        // The platform does not want this trace to be collected (R22).
        if span.span_context.is_sampled() {
            self.live.send(u64::MAX, &self.lines.data(span), 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: std::time::Duration) -> OTelSdkResult {
        Ok(())
    }
}
