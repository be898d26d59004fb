//! A collector on 127.0.0.1 that takes OTLP in all three protocols, keeps what it took, and misbehaves on request.
//!
//! Telemetry R38-R40. It speaks http and https ([`http`]) and, in a form of its own, gRPC. Nothing in here uses the code
//! under test: requests are decoded by `opentelemetry-proto`'s types alone.

#[cfg(feature = "grpc")]
mod grpc;
mod http;
pub(crate) mod tls;

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;

/// How long a test waits for something that should happen, whatever the machine's speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a request is answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// Well.
    Ok,
    /// Well, after a while.
    Slow(Duration),
    /// With a status of HTTP and a value of `Retry-After`. gRPC: as the status that the specification maps it to.
    Status(u16, Option<&'static str>),
    /// With a status of gRPC, a message, and when to try again. HTTP: 500.
    #[cfg(feature = "grpc")]
    Grpc(u32, &'static str, Option<Duration>),
    /// Well, but so many records were refused, because.
    Partial(i64, &'static str),
    /// Taken, but the connection ends before the answer.
    Unanswered,
    /// The connection is reset in the middle of the request.
    Reset,
    /// Never.
    BlackHole,
    /// Well, by an old server: HTTP/1.0 without length. gRPC: as [`Answer::Ok`].
    Http10,
    /// Well, with a body that has no end.
    Endless,
    /// Well, with a body that is no message.
    Garbage,
    /// Well, with a page for people, as a proxy or a login page sends it.
    Html,
}

impl Answer {
    /// Says whether the records of the request are now the collector's.
    fn takes(&self) -> bool {
        #[cfg(feature = "grpc")]
        if matches!(self, Self::Grpc(..)) {
            return false;
        }
        !matches!(self, Self::Status(..) | Self::Reset | Self::BlackHole)
    }
}

/// What a request carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    /// Log records.
    Logs(ExportLogsServiceRequest),
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// No message of the kind that the path names, because.
    Unreadable(String),
}

/// A request that came whole.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The path, with the query.
    pub(crate) path: String,
    /// Its headers, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// The bytes of its body as they came.
    pub(crate) size: usize,
    /// What it carries.
    pub(crate) payload: Payload,
    /// The records are the collector's: the answer says so, or would have.
    pub(crate) taken: bool,
    /// The client showed a certificate.
    pub(crate) identified: bool,
}

/// A log record with what it was sent below.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The record.
    pub(crate) record: LogRecord,
}

impl Record {
    /// Its line.
    pub(crate) fn body(&self) -> &str {
        match self.record.body.as_ref().and_then(|body| body.value.as_ref()) {
            Some(Value::StringValue(text)) => text,
            other => panic!("a body that is no text: {other:?}"),
        }
    }

    /// One of its attributes, as text.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.record.attributes, key)
    }
}

/// The value of an attribute, as text.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()?;
    Some(match found {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        other => format!("{other:?}"),
    })
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    #[cfg(feature = "grpc")]
    Grpc,
}

/// A collector in this process; it ends when it is dropped.
pub(crate) struct Collector {
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<Arc<rustls::ServerConfig>>,
    shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    script: VecDeque<Answer>,
    otherwise: Option<Answer>,
    connections: BTreeMap<usize, TcpStream>,
    /// Connections so far, also those of earlier lives.
    connected: usize,
    stopping: bool,
}

impl Collector {
    /// Starts one that speaks http and answers all requests well.
    pub(crate) fn http() -> Self {
        Self::start(Protocol::Http, None)
    }

    /// Starts one that speaks https.
    pub(crate) fn https(identity: tls::Identity) -> Self {
        Self::start(Protocol::Http, Some(identity.config(b"http/1.1")))
    }

    /// Starts one that speaks gRPC without TLS.
    #[cfg(feature = "grpc")]
    pub(crate) fn grpc() -> Self {
        Self::start(Protocol::Grpc, None)
    }

    /// Starts one that speaks gRPC inside TLS.
    #[cfg(feature = "grpc")]
    pub(crate) fn grpcs(identity: tls::Identity) -> Self {
        Self::start(Protocol::Grpc, Some(identity.config(b"h2")))
    }

    fn start(protocol: Protocol, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let address = ([127, 0, 0, 1], 0).into();
        let mut collector = Self { address, protocol, tls, shared: Arc::default(), running: None };
        collector.restart();
        collector
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT` for it. The port stays over restarts.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}://localhost:{}", if self.tls.is_some() { "https" } else { "http" }, self.address.port())
    }

    /// Answers the next requests in this way, one each; those after them as before.
    pub(crate) fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state().script.extend(answers);
    }

    /// Answers all requests in this way that have no answer of their own.
    pub(crate) fn always(&self, answer: Answer) {
        self.state().otherwise = Some(answer);
    }

    /// Stops listening and cuts all connections: who calls is refused.
    pub(crate) fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        self.state().stopping = true;
        self.shared.changed.notify_all();
        // Who waits for a connection gets one.
        drop(TcpStream::connect(self.address));
        for connection in self.state().connections.values() {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        running.join().unwrap();
    }

    /// Listens again where it did before. What it took is still there.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let listener = TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        self.state().stopping = false;
        let (shared, tls, protocol) = (Arc::clone(&self.shared), self.tls.clone(), self.protocol);
        self.running = Some(std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(connection) = shared.connected(&stream) else { break };
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                std::thread::spawn(move || {
                    match protocol {
                        Protocol::Http => http::serve(stream, tls, &shared),
                        #[cfg(feature = "grpc")]
                        Protocol::Grpc => grpc::serve(stream, tls, connection, &shared),
                    }
                    shared.cut(connection);
                });
            }
        }));
    }

    /// All requests that came whole, in the order in which they came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Waits until the requests are as a test wants them.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, wanted: impl Fn(&[Request]) -> bool) {
        let pending = |state: &mut State| !wanted(&state.requests);
        let (state, timeout) = self.shared.changed.wait_timeout_while(self.state(), PATIENCE, pending).unwrap();
        assert!(!timeout.timed_out(), "waited for {what}; there are {} requests", state.requests.len());
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.state().connected
    }

    /// The log records that it took, in order.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for request in self.state().requests.iter().filter(|request| request.taken) {
            let Payload::Logs(logs) = &request.payload else { continue };
            for below in &logs.resource_logs {
                let all = below.scope_logs.iter().flat_map(|scope| &scope.log_records);
                records.extend(all.map(|record| Record { record: record.clone() }));
            }
        }
        records
    }

    /// The lines of the log records that it took, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.records().iter().map(|record| record.body().to_owned()).collect()
    }

    /// The spans that it took, in order, each below the attributes of its resource.
    pub(crate) fn spans(&self) -> Vec<(Vec<KeyValue>, Span)> {
        let mut spans = Vec::new();
        for request in self.state().requests.iter().filter(|request| request.taken) {
            let Payload::Traces(traces) = &request.payload else { continue };
            for below in &traces.resource_spans {
                let resource = below.resource.clone().unwrap_or_default().attributes;
                let all = below.scope_spans.iter().flat_map(|scope| &scope.spans);
                spans.extend(all.map(|span| (resource.clone(), span.clone())));
            }
        }
        spans
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Keeps a connection, to cut it, and counts it; none when the collector stops.
    fn connected(&self, stream: &TcpStream) -> Option<usize> {
        let mut state = self.lock();
        if state.stopping {
            return None;
        }
        state.connected += 1;
        let number = state.connected;
        state.connections.insert(number, stream.try_clone().unwrap());
        Some(number)
    }

    /// Ends a connection, whoever still has it.
    fn cut(&self, connection: usize) {
        if let Some(stream) = self.lock().connections.remove(&connection) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// The answer for the request that is coming in.
    fn answer(&self) -> Answer {
        let mut state = self.lock();
        let scripted = state.script.pop_front();
        scripted.or_else(|| state.otherwise.clone()).unwrap_or(Answer::Ok)
    }

    fn keep(&self, request: Request) {
        self.lock().requests.push(request);
        self.changed.notify_all();
    }

    /// Waits as a slow collector does, or as one that never answers: until it is stopped.
    fn wait(&self, duration: Option<Duration>) {
        let duration = duration.unwrap_or(Duration::from_secs(3600));
        drop(self.changed.wait_timeout_while(self.lock(), duration, |state| !state.stopping).unwrap());
    }
}
