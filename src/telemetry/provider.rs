//! The OpenTelemetry SDK as phases use it: a provider for each phase, whose ended spans go to that phase's file, and to a
//! collector.
//!
//! The SDK gives the span model, ids, limits and the tracer. Three of its parts are replaced: its simple processor drops
//! spans that are not sampled, its parent-based sampler records none of them (R22), and its resource has no order (R7).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample, SimpleSpanProcessor, Span, SpanData,
    SpanLimits, SpanProcessor,
};

use super::Faults;
use super::files::LineFile;
use super::ids::BuildIds;
use super::line::Lines;
use super::live::{Live, ToCollector};

/// The name of the instrumentation scope of every span.
pub const SCOPE: &str = "cnb-lifecycle";

/// Builds the tracer of one phase. Without a file its spans exist, so that others can be their children, but go nowhere.
pub fn tracer(
    resource: Vec<KeyValue>,
    version: &str,
    ids: BuildIds,
    file: Option<LineFile>,
    stdout: bool,
    faults: Arc<Faults>,
    live: Option<Arc<Live>>,
) -> SdkTracer {
    let scope = InstrumentationScope::builder(SCOPE).with_version(version.to_owned()).build();
    // Nothing here may come from OTEL_RESOURCE_ATTRIBUTES, OTEL_SPAN_* or OTEL_TRACES_SAMPLER, which the SDK reads.
    let mut provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().with_attributes(resource.iter().cloned()).build())
        .with_span_limits(SpanLimits { max_events_per_span: 1024, ..SpanLimits::default() })
        .with_sampler(RecordAll)
        .with_id_generator(ids);
    if let Some(live) = live {
        let lines = Lines::new(live.resource(&resource), &scope);
        provider = provider.with_span_processor(ToCollector::new(lines, live));
    }
    if let Some(file) = file {
        let lines = Lines::new(resource, &scope);
        provider = provider.with_span_processor(ToFile { file, lines, faults, broken: AtomicBool::new(false) });
    }
    if stdout {
        let printer = SimpleSpanProcessor::new(opentelemetry_stdout::SpanExporter::default());
        provider = provider.with_span_processor(ToPerson { printer, broken: AtomicBool::new(false) });
    }
    provider.build().tracer_with_scope(scope)
}

/// Records every span; the sampled flag of a remote parent only decides what is sent live.
#[derive(Clone, Debug)]
struct RecordAll;

impl ShouldSample for RecordAll {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let unsampled = parent.is_some_and(|context| {
            let span = context.span();
            span.span_context().is_valid() && !span.span_context().is_sampled()
        });
        SamplingResult {
            decision: if unsampled { SamplingDecision::RecordOnly } else { SamplingDecision::RecordAndSample },
            attributes: Vec::new(),
            trace_state: TraceState::NONE,
        }
    }
}

/// Writes each span when it ends, one line and one `write` each.
#[derive(Debug)]
struct ToFile {
    file: LineFile,
    lines: Lines,
    faults: Arc<Faults>,
    /// After a failed write the file is left alone: a full disk would tear one line after the other.
    broken: AtomicBool,
}

impl SpanProcessor for ToFile {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.broken.load(Ordering::Relaxed) {
            return;
        }
        let written = self.file.append(&self.lines.render(span));
        if self.faults.unless(written).is_none() {
            self.broken.store(true, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

thread_local! {
    static PRINTING: Cell<bool> = const { Cell::new(false) };
}

/// Says whether this thread prints a span for a person. A panic is then no fault of ours: nobody reads, it is caught, and
/// whoever is told of panics must not touch spans, which may be locked.
pub fn is_printing() -> bool {
    PRINTING.get()
}

/// Prints each span for a person to read.
#[derive(Debug)]
struct ToPerson {
    printer: SimpleSpanProcessor<opentelemetry_stdout::SpanExporter>,
    broken: AtomicBool,
}

impl SpanProcessor for ToPerson {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        // The exporter prints with `println!`, which panics when nobody reads: that must not end a build (T13).
        if self.broken.load(Ordering::Relaxed) {
            return;
        }
        PRINTING.set(true);
        let printed = catch_unwind(AssertUnwindSafe(|| self.printer.on_end(span)));
        PRINTING.set(false);
        if printed.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.printer.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.printer.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.printer.set_resource(resource);
    }
}
