//! Ids of traces and spans.

use std::sync::Arc;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// Gives every root span the trace id of the build, and takes span ids from another generator.
///
/// A phase without a parent is a root in the SDK's eyes, but all phases of a build share one trace (T6): so the trace id
/// comes from here and not from chance.
#[derive(Clone, Debug)]
pub struct BuildIds {
    trace_id: TraceId,
    spans: Arc<dyn IdGenerator>,
}

impl BuildIds {
    /// Takes the trace id of the build.
    pub fn new(trace_id: TraceId, spans: Arc<dyn IdGenerator>) -> Self {
        Self { trace_id, spans }
    }
}

impl IdGenerator for BuildIds {
    fn new_trace_id(&self) -> TraceId {
        self.trace_id
    }

    fn new_span_id(&self) -> SpanId {
        span_id(&*self.spans)
    }
}

/// The generator for real builds: random, seeded by the operating system.
pub fn random() -> Arc<dyn IdGenerator> {
    Arc::new(RandomIdGenerator::default())
}

/// A new trace id, never all zero.
pub fn trace_id(ids: &dyn IdGenerator) -> TraceId {
    std::iter::repeat_with(|| ids.new_trace_id()).find(|id| *id != TraceId::INVALID).unwrap_or(TraceId::INVALID)
}

/// A new span id, never all zero.
pub fn span_id(ids: &dyn IdGenerator) -> SpanId {
    std::iter::repeat_with(|| ids.new_span_id()).find(|id| *id != SpanId::INVALID).unwrap_or(SpanId::INVALID)
}

/// Counts up, for tests: trace ids from 1, span ids from 1.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct CountedIds(std::sync::atomic::AtomicU64, std::sync::atomic::AtomicU64);

#[cfg(test)]
impl IdGenerator for CountedIds {
    fn new_trace_id(&self) -> TraceId {
        let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        TraceId::from(u128::from(count) + 1)
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1)
    }
}
