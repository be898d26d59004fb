//! gRPC as a client that makes one call after the other: HTTP/2 by `h2`, on a runtime of one thread, the caller's.
//!
//! The runtime lives as long as the client and works only within a call. Nothing here knows what OTLP is. Clause: gRPC
//! over HTTP2 (PROTOCOL-HTTP2.md), http-grpc-status-mapping.md.

mod dial;
mod status;

use std::io::{self, Cursor, Read as _};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use h2::client::SendRequest;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use ureq::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use ureq::http::{HeaderMap, Request, Response, StatusCode};

pub(crate) use dial::Target;
pub(crate) use status::{Code, Failed};

use crate::os::lookup::Lookup;

/// The longest answer: what says that all is well, or how much is not.
const LONGEST_ANSWER: usize = 32 * 1024;
/// The most that headers of an answer may come to.
const MOST_HEADERS: u32 = 16 * 1024;
/// A connection that rested longer may have been ended by the server, which shows only when it is looked at.
const RESTED: Duration = Duration::from_millis(100);

/// What is sent of a body: HTTP/2 takes the bytes over.
type Body = Cursor<Vec<u8>>;

/// A client of one server. Its connection is kept and used again.
pub(crate) struct Client {
    runtime: Runtime,
    target: Target,
    lookup: Lookup,
    open: Option<Open>,
}

/// A call with one message and one answer.
pub(crate) struct Call<'a> {
    /// `/<service>/<method>`.
    pub(crate) path: &'a str,
    /// Metadata.
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    /// What this client calls itself.
    pub(crate) user_agent: &'static str,
    /// The message, as gzip where `compressed` says so.
    pub(crate) message: &'a [u8],
    /// The message is compressed.
    pub(crate) compressed: bool,
    /// How long it may take, with the connection.
    pub(crate) timeout: Duration,
}

/// A connection, and who works for it.
struct Open {
    requests: SendRequest<Body>,
    /// Why the connection ended, if by an error.
    task: JoinHandle<Option<h2::Error>>,
    used: Instant,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Makes the runtime; connects when the first call is made.
    pub(crate) fn new(target: Target, lookup: Lookup) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        Ok(Self { runtime, target, lookup, open: None })
    }

    /// Makes a call and gives the answer's message. After a failure of the connection the next call makes a new one.
    pub(crate) fn call(&mut self, call: &Call<'_>) -> Result<Vec<u8>, Failed> {
        let Self { runtime, target, lookup, open } = self;
        let began = Instant::now();
        let by = began + call.timeout;
        let result = runtime.block_on(async {
            let whole = async {
                let mut connection = ready(open.take(), target, lookup, by).await?;
                let mut answer = exchange(&mut connection.requests, &target.origin(), call).await;
                // A request learns only that its connection is no more.
                if matches!(&answer, Err(failed) if failed.is_local)
                    && connection.task.is_finished()
                    && let Ok(Some(error)) = (&mut connection.task).await
                {
                    answer = Err(Failed::of(&error));
                }
                connection.used = Instant::now();
                // What an answer says of the call says nothing against the connection.
                if !matches!(&answer, Err(failed) if failed.is_local) {
                    *open = Some(connection);
                }
                answer
            };
            tokio::time::timeout(call.timeout, whole).await
        });
        result.unwrap_or_else(|_| {
            Err(Failed::local(Code::DEADLINE_EXCEEDED, format!("timed out after {} ms", call.timeout.as_millis())))
        })
    }
}

/// The open connection, if it still is one, or a new one.
async fn ready(open: Option<Open>, target: &Target, lookup: &Lookup, by: Instant) -> Result<Open, Failed> {
    if let Some(mut open) = open {
        if open.used.elapsed() > RESTED {
            // Its task hears now what the server said meanwhile.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if !open.task.is_finished()
            && let Ok(requests) = open.requests.clone().ready().await
        {
            open.requests = requests;
            return Ok(open);
        }
    }
    let stream = dial::dial(target, lookup, by).await?;
    let mut builder = h2::client::Builder::new();
    builder.enable_push(false).max_header_list_size(MOST_HEADERS);
    let (requests, connection) = builder.handshake::<_, Body>(stream).await.map_err(|error| Failed::of(&error))?;
    let task = tokio::spawn(async move { connection.await.err() });
    let requests = requests.ready().await.map_err(|error| Failed::of(&error))?;
    Ok(Open { requests, task, used: Instant::now() })
}

async fn exchange(requests: &mut SendRequest<Body>, origin: &str, call: &Call<'_>) -> Result<Vec<u8>, Failed> {
    let request = request(origin, call)
        .ok_or_else(|| Failed::local(Code::INVALID_ARGUMENT, "a header has no valid form".to_owned()))?;
    let (response, mut stream) = requests.send_request(request, false).map_err(|error| Failed::of(&error))?;
    let length = u32::try_from(call.message.len())
        .map_err(|_| Failed::local(Code::INVALID_ARGUMENT, "the message is too long".to_owned()))?;
    let mut body = Vec::with_capacity(5 + call.message.len());
    body.push(u8::from(call.compressed));
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(call.message);
    stream.send_data(Cursor::new(body), true).map_err(|error| Failed::of(&error))?;
    let (head, mut stream) = response.await.map_err(|error| Failed::of(&error))?.into_parts();
    let head = Response::from_parts(head, ());
    let is_grpc = head.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if head.status() != StatusCode::OK || !is_grpc {
        return Err(Failed::of_http(&head));
    }
    if head.headers().contains_key(status::STATUS) {
        return status::check(head.headers()).map(|()| Vec::new());
    }
    let mut answer = Vec::new();
    while let Some(chunk) = stream.data().await {
        answer.extend_from_slice(&chunk.map_err(|error| Failed::of(&error))?);
        if answer.len() > LONGEST_ANSWER {
            return Err(Failed::local(Code::RESOURCE_EXHAUSTED, "the answer is too long".to_owned()));
        }
    }
    let trailers = stream.trailers().await.map_err(|error| Failed::of(&error))?.unwrap_or_default();
    status::check(&trailers)?;
    Ok(message(&answer))
}

/// The message of a body, behind one byte that says whether it is compressed and four that say how long it is. Servers
/// compress as the request was compressed, whether or not that was asked for.
fn message(body: &[u8]) -> Vec<u8> {
    let Some((head, message)) = body.split_at_checked(5) else { return Vec::new() };
    if head[0] == 0 {
        return message.to_vec();
    }
    let mut plain = Vec::new();
    // What cannot be read is an odd answer like others.
    let read = GzDecoder::new(message).take(LONGEST_ANSWER as u64).read_to_end(&mut plain);
    read.map_or_else(|_| message.to_vec(), |_| plain)
}

/// The head of the request; none if a header cannot be sent.
fn request(origin: &str, call: &Call<'_>) -> Option<Request<()>> {
    let mut request = Request::post(format!("{origin}{}", call.path)).body(()).ok()?;
    let headers = request.headers_mut();
    for (name, value) in &call.headers {
        let mut value = HeaderValue::from_str(value).ok()?;
        // Headers are credentials: HTTP/2 then keeps them out of its table, and nothing shows them.
        value.set_sensitive(true);
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    own(headers, call);
    Some(request)
}

fn own(headers: &mut HeaderMap, call: &Call<'_>) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static(call.user_agent));
    // At most eight digits.
    let timeout = format!("{}m", call.timeout.as_millis().min(99_999_999));
    headers.extend(HeaderValue::try_from(timeout).ok().map(|value| (HeaderName::from_static("grpc-timeout"), value)));
    if call.compressed {
        headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
}
