//! The collector's HTTP/1.1: one thread for each connection, which is kept until the client ends it.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::{Answer, Payload, Request, Shared};

/// A connection in plain text or inside TLS.
trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// Answers the requests of a connection until either side has enough.
pub(super) fn serve(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>, shared: &Shared) {
    let mut identified = false;
    let mut stream: Box<dyn Connection> = match tls {
        None => Box::new(stream),
        Some(config) => {
            let (mut stream, mut connection) = (stream, rustls::ServerConnection::new(config).unwrap());
            // A client that does not like the certificate goes away.
            while connection.is_handshaking() {
                if connection.complete_io(&mut stream).is_err() {
                    return;
                }
            }
            identified = connection.peer_certificates().is_some();
            Box::new(rustls::StreamOwned::new(connection, stream))
        }
    };
    let mut reader = BufReader::new(&mut *stream);
    // An error is the end of the connection, whoever ended it.
    while let Ok(Some((method, path, headers))) = head(&mut reader) {
        if method != "POST" {
            // HTTP/2 begins with a method of its own.
            let _ = send(reader.get_mut(), "400 Bad Request", &[("connection", "close")], b"");
            return;
        }
        let answer = shared.answer();
        if answer == Answer::Reset {
            // With bytes that nobody read, the end of a connection is a reset.
            return;
        }
        let Ok(body) = body(&mut reader, &headers) else { return };
        let json = headers.get("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        if answer == Answer::BlackHole {
            shared.wait(None);
            return;
        }
        if let Answer::Slow(duration) = &answer {
            shared.wait(Some(*duration));
        }
        let logs = path.ends_with("logs");
        let payload = inflated(&headers, &body).and_then(|body| decode(logs, json, &body));
        shared.keep(Request {
            path,
            size: body.len(),
            payload: payload.unwrap_or_else(Payload::Unreadable),
            taken: answer.takes(),
            identified,
            headers,
        });
        if reply(reader.get_mut(), &answer, logs, json).is_none() {
            return;
        }
    }
}

/// The method, the path and the headers of a request.
type Head = (String, String, BTreeMap<String, String>);

fn head(reader: &mut impl io::BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => return Ok(Some((method, path, headers))),
        };
    }
}

fn body(reader: &mut impl io::BufRead, headers: &BTreeMap<String, String>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = headers.get("content-length") {
        body.resize(length.parse().unwrap(), 0);
        reader.read_exact(&mut body)?;
        return Ok(body);
    }
    assert_eq!(headers.get("transfer-encoding").map(String::as_str), Some("chunked"), "a body without length");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        reader.by_ref().take(length).read_to_end(&mut body)?;
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

/// The body as it was before it was compressed.
fn inflated(headers: &BTreeMap<String, String>, body: &[u8]) -> Result<Vec<u8>, String> {
    match headers.get("content-encoding").map(String::as_str) {
        None | Some("identity") => Ok(body.to_vec()),
        Some("gzip") => gunzip(body),
        Some(other) => Err(format!("content-encoding: {other}")),
    }
}

pub(super) fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let read = flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain);
    read.map(|_| plain).map_err(|error| error.to_string())
}

/// Reads the message.
pub(super) fn decode(logs: bool, json: bool, body: &[u8]) -> Result<Payload, String> {
    fn read<T: Message + Default + serde::de::DeserializeOwned>(json: bool, body: &[u8]) -> Result<T, String> {
        if json {
            serde_json::from_slice(body).map_err(|error| error.to_string())
        } else {
            T::decode(body).map_err(|error| error.to_string())
        }
    }
    if logs {
        read::<ExportLogsServiceRequest>(json, body).map(Payload::Logs)
    } else {
        read::<ExportTraceServiceRequest>(json, body).map(Payload::Traces)
    }
}

/// The message that says how many records were refused: field 1, in it the number as field 1 and why as field 2. It is
/// the same for logs and spans.
pub(super) fn partial_success(rejected: i64, message: &str) -> Vec<u8> {
    use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
    let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: message.to_owned() };
    ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
}

/// Answers; none when the connection is over.
fn reply(stream: &mut dyn Connection, answer: &Answer, logs: bool, json: bool) -> Option<()> {
    let kind = if json { "application/json" } else { "application/x-protobuf" };
    let empty: &[u8] = if json { b"{}" } else { b"" };
    match answer {
        Answer::Ok | Answer::Slow(_) => send(stream, "200 OK", &[("content-type", kind)], empty),
        Answer::Partial(rejected, message) => {
            let body = if json {
                let name = if logs { "rejectedLogRecords" } else { "rejectedSpans" };
                let partial = serde_json::json!({name: rejected.to_string(), "errorMessage": message});
                serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
            } else {
                partial_success(*rejected, message)
            };
            send(stream, "200 OK", &[("content-type", kind)], &body)
        }
        Answer::Status(code, retry_after) => {
            let mut headers = vec![("content-type", "text/plain")];
            headers.extend(retry_after.map(|value| ("retry-after", value)));
            send(stream, &format!("{code} as told"), &headers, b"refused: token=canary-of-the-collector")
        }
        #[cfg(feature = "grpc")]
        Answer::Grpc(..) => send(stream, "500 as told", &[], b""),
        Answer::Garbage => send(stream, "200 OK", &[("content-type", kind)], b"\xff\xff\xff\xffgarbage\0{[\""),
        Answer::Html => {
            send(stream, "200 OK", &[("content-type", "text/html")], b"<!DOCTYPE html><h1>Log in, please</h1>")
        }
        Answer::Http10 => {
            let text = format!("HTTP/1.0 200 OK\r\ncontent-type: {kind}\r\n\r\n");
            stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(empty)).ok()?;
            stream.flush().ok()?;
            None
        }
        Answer::Endless => {
            let text = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
            stream.write_all(text.as_bytes()).ok()?;
            let chunk = [b"400\r\n".as_slice(), &[b' '; 1024], b"\r\n"].concat();
            // Until the client has enough.
            while stream.write_all(&chunk).is_ok() {}
            None
        }
        Answer::Unanswered | Answer::Reset | Answer::BlackHole => None,
    }
}

fn send(stream: &mut dyn Connection, status: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<()> {
    let length = body.len().to_string();
    let mut text = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers.iter().chain([&("content-length", length.as_str())]) {
        text.extend([*name, ": ", *value, "\r\n"]);
    }
    text.push_str("\r\n");
    stream.write_all(&[text.as_bytes(), body].concat()).ok()?;
    stream.flush().ok()
}
