//! A connection for gRPC: addresses, a proxy, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Failed;
use crate::net::{Failure, tls};
use crate::os::lookup::Lookup;

/// The longest head of a proxy's answer.
const LONGEST_HEAD: usize = 8 * 1024;

/// A server.
#[derive(Clone)]
pub(crate) struct Target {
    /// Its name or address, without brackets.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// Whom to trust, and who this is; none for plain text.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// What lies between: a proxy that is spoken to in plain HTTP.
    pub(crate) proxy: Option<ureq::Proxy>,
}

impl Target {
    /// `http[s]://host:port`.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.authority())
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Connects before a moment.
pub(super) async fn dial(target: &Target, lookup: &Lookup, by: Instant) -> Result<Stream, Failed> {
    let stream = connect(target, lookup, by).await.map_err(Failed::of_failure)?;
    let _ = stream.set_nodelay(true);
    let Some(config) = &target.tls else { return Ok(Stream::Plain(stream)) };
    let failed = |cause: String| Failed::of_failure(Failure { cause, retryable: false });
    let name = ServerName::try_from(target.host.clone()).map_err(|error| failed(error.to_string()))?;
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.map_err(|error| Failed::of_failure(Failure::of_io(&error)))?;
    Ok(Stream::Tls(Box::new(stream)))
}

async fn connect(target: &Target, lookup: &Lookup, by: Instant) -> Result<TcpStream, Failure> {
    let Some(proxy) = &target.proxy else { return tcp(&target.host, target.port, lookup, by).await };
    let mut stream = tcp(proxy.host(), proxy.port(), lookup, by).await?;
    let login = proxy.username().map(|user| {
        let login = STANDARD.encode(format!("{user}:{}", proxy.password().unwrap_or_default()));
        format!("proxy-authorization: Basic {login}\r\n")
    });
    tunnel(&mut stream, &target.authority(), &login.unwrap_or_default()).await?;
    Ok(stream)
}

/// Tries one address after the other, each for its share of the time.
async fn tcp(host: &str, port: u16, lookup: &Lookup, by: Instant) -> Result<TcpStream, Failure> {
    let addresses = lookup.addresses(host, by).map_err(|error| Failure::of_io(&io::Error::other(error)))?;
    let mut last = Failure { cause: format!("{host} has no address"), retryable: true };
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = by.saturating_duration_since(Instant::now()) / left.max(1);
        left -= 1;
        match one(address, port, share).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Failure::of_io(&error),
        }
    }
    Err(Failure { cause: format!("dial tcp: {}", last.cause), ..last })
}

async fn one(address: IpAddr, port: u16, share: Duration) -> io::Result<TcpStream> {
    let connected = tokio::time::timeout(share, TcpStream::connect(SocketAddr::new(address, port))).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Asks a proxy for a way through.
async fn tunnel(stream: &mut TcpStream, authority: &str, login: &str) -> Result<(), Failure> {
    let head = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{login}\r\n");
    let mut sent = 0;
    while sent < head.len() {
        stream.writable().await.map_err(|error| Failure::of_io(&error))?;
        match stream.try_write(&head.as_bytes()[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Failure::of_io(&error)),
        }
    }
    // A byte at a time: what comes after the head belongs to the server behind.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.readable().await.map_err(|error| Failure::of_io(&error))?;
        match stream.try_read(&mut byte) {
            Ok(0) => return Err(Failure::of_io(&io::ErrorKind::UnexpectedEof.into())),
            Ok(_) if answer.len() < LONGEST_HEAD => answer.push(byte[0]),
            Ok(_) => return Err(Failure { cause: "the proxy's answer is too long".to_owned(), retryable: false }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Failure::of_io(&error)),
        }
    }
    let status =
        answer.split(|byte| *byte == b' ').nth(1).and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    match status {
        Some(200..=299_u16) => Ok(()),
        Some(status) => {
            let retryable = matches!(status, 429 | 502..=504);
            Err(Failure { cause: format!("the proxy answers with HTTP status {status}"), retryable })
        }
        None => Err(Failure { cause: "the proxy does not speak HTTP".to_owned(), retryable: false }),
    }
}

/// A connection in plain text or inside TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why a connection failed, in words: HTTP/2 keeps no more of it.
fn explained(stream: &mut TlsStream<TcpStream>, error: io::Error) -> io::Error {
    let (socket, connection) = stream.get_mut();
    let reason = tls::reason(&error, connection, &mut Ready(socket));
    reason.map_or(error, |reason| io::Error::new(io::ErrorKind::InvalidData, tls::words(&reason)))
}

/// Who ended a connection may have said why before: what is written to it goes nowhere, so that its words are read. An http
/// server does so that is spoken to in HTTP/2.
fn heard_out(written: io::Result<usize>, length: usize) -> io::Result<usize> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    match written {
        Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => Ok(length),
        written => written,
    }
}

/// What has come in already, whether or not the runtime knows.
struct Ready<'a>(&'a TcpStream);

impl io::Read for Ready<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, buffer)?)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(&mut *stream).poll_read(cx, buffer).map_err(|error| explained(stream, error)),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => {
                Pin::new(stream).poll_write(cx, bytes).map(|written| heard_out(written, bytes.len()))
            }
            Self::Tls(stream) => Pin::new(&mut *stream).poll_write(cx, bytes).map_err(|error| explained(stream, error)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut *stream).poll_flush(cx).map_err(|error| explained(stream, error)),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
