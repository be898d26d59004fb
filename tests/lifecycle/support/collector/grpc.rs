//! The collector's gRPC: calls of one answer each over HTTP/2, on a thread and runtime for each connection.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{Cursor, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};
use ureq::http;

use super::http::{decode, gunzip, partial_success};
use super::{Answer, Payload, Request, Shared};

type Bytes = Cursor<Vec<u8>>;

/// Answers the calls of a connection until either side has enough.
pub(super) fn serve(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>, number: usize, shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        match tls {
            None => calls(stream, false, number, shared).await,
            Some(config) => {
                // A client that does not like the certificate goes away.
                let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await else { return };
                let identified = stream.get_ref().1.peer_certificates().is_some();
                calls(stream, identified, number, shared).await;
            }
        }
    });
}

async fn calls(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    identified: bool,
    number: usize,
    shared: &Arc<Shared>,
) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 22);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            if call(request, respond, identified, &shared).await.is_none() {
                shared.cut(number);
            }
        });
    }
}

/// Answers a call; none when the connection is to end.
async fn call(
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    identified: bool,
    shared: &Shared,
) -> Option<()> {
    let answer = shared.answer();
    if answer == Answer::Reset {
        return None;
    }
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.ok()?;
        body.extend_from_slice(&chunk);
        stream.flow_control().release_capacity(chunk.len()).ok()?;
    }
    match &answer {
        Answer::BlackHole => {
            shared.wait(None);
            return None;
        }
        Answer::Slow(duration) => shared.wait(Some(*duration)),
        _ => {}
    }
    let path = parts.uri.path().to_owned();
    let headers = parts.headers.iter();
    let headers: BTreeMap<String, String> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let compress = headers.contains_key("grpc-encoding");
    shared.keep(Request {
        payload: message(&path, &headers, &body).unwrap_or_else(Payload::Unreadable),
        path,
        headers,
        size: body.len(),
        taken: answer.takes(),
        identified,
    });
    reply(respond, &answer, compress).await
}

/// Reads the one message of a call, as the protocol demands it of clients.
fn message(path: &str, headers: &BTreeMap<String, String>, body: &[u8]) -> Result<Payload, String> {
    let header = |name: &str| headers.get(name).map(String::as_str);
    if !header("content-type").is_some_and(|kind| kind.starts_with("application/grpc")) {
        return Err(format!("content-type: {:?}", header("content-type")));
    }
    if header("te") != Some("trailers") {
        return Err(format!("te: {:?}", header("te")));
    }
    let logs = match path {
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => true,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => false,
        other => return Err(other.to_owned()),
    };
    let (prefix, message) = body.split_at_checked(5).ok_or("no prefix")?;
    if u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize != message.len() {
        return Err("another length than the prefix says".to_owned());
    }
    match (prefix[0], header("grpc-encoding")) {
        (0, _) => decode(logs, false, message),
        (1, Some("gzip")) => decode(logs, false, &gunzip(message)?),
        other => Err(format!("compressed: {other:?}")),
    }
}

/// Answers, compressed where the request was, as grpc-go does it.
async fn reply(mut respond: SendResponse<Bytes>, answer: &Answer, compress: bool) -> Option<()> {
    let head = |status: u16, kind: &str| http::Response::builder().status(status).header("content-type", kind);
    let grpc = "application/grpc";
    let body = match answer {
        Answer::Ok | Answer::Slow(_) | Answer::Http10 => framed(b"", compress),
        Answer::Partial(rejected, message) => framed(&partial_success(*rejected, message), compress),
        Answer::Garbage => b"\0\0\0\0\x04\xff\xff\xff\xff".to_vec(),
        Answer::Status(code, retry_after) => {
            // As a proxy answers that knows nothing of gRPC.
            let mut response = head(*code, "text/plain");
            if let Some(value) = retry_after {
                response = response.header("retry-after", *value);
            }
            let mut stream = respond.send_response(response.body(()).unwrap(), false).ok()?;
            return stream.send_data(Cursor::new(b"refused: token=canary-of-the-collector".to_vec()), true).ok();
        }
        Answer::Html => {
            let mut stream = respond.send_response(head(200, "text/html").body(()).unwrap(), false).ok()?;
            return stream.send_data(Cursor::new(b"<!DOCTYPE html><h1>Log in, please</h1>".to_vec()), true).ok();
        }
        Answer::Grpc(code, message, retry) => {
            let mut response = head(200, grpc).header("grpc-status", code.to_string()).header("grpc-message", *message);
            if let Some(after) = retry {
                let details = STANDARD_NO_PAD.encode(status_with_retry(u8::try_from(*code).unwrap(), *after));
                response = response.header("grpc-status-details-bin", details);
            }
            return respond.send_response(response.body(()).unwrap(), true).ok().map(drop);
        }
        Answer::Endless => {
            let stream = respond.send_response(head(200, grpc).body(()).unwrap(), false).ok()?;
            return endless(stream).await;
        }
        Answer::Unanswered | Answer::Reset | Answer::BlackHole => return None,
    };
    let mut response = head(200, grpc);
    if compress {
        response = response.header("grpc-encoding", "gzip");
    }
    let mut stream = respond.send_response(response.body(()).unwrap(), false).ok()?;
    stream.send_data(Cursor::new(body), false).ok()?;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    stream.send_trailers(trailers).ok()
}

/// Sends blanks until the client has enough.
async fn endless(mut stream: SendStream<Bytes>) -> Option<()> {
    loop {
        stream.reserve_capacity(1024);
        let size = poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
        stream.send_data(Cursor::new(vec![b' '; size]), false).ok()?;
    }
}

fn framed(message: &[u8], compress: bool) -> Vec<u8> {
    let mut message = message.to_vec();
    if compress {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&message).unwrap();
        message = encoder.finish().unwrap();
    }
    let length = u32::try_from(message.len()).unwrap();
    [&[u8::from(compress)], length.to_be_bytes().as_slice(), &message].concat()
}

/// A `google.rpc.Status` with a `google.rpc.RetryInfo`, by hand: no crate here knows them.
fn status_with_retry(code: u8, after: Duration) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let mut duration = vec![1 << 3, u8::try_from(after.as_secs()).unwrap()];
    let mut nanos = after.subsec_nanos();
    duration.push(2 << 3);
    while nanos > 0x7f {
        duration.push(u8::try_from(nanos & 0x7f).unwrap() | 0x80);
        nanos >>= 7;
    }
    duration.push(u8::try_from(nanos).unwrap());
    let info = field(1, &duration);
    let any = [field(1, b"type.googleapis.com/google.rpc.RetryInfo"), field(2, &info)].concat();
    [vec![1 << 3, code], field(3, &any)].concat()
}
