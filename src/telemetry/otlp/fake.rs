//! A collector in this process, for tests: it answers what it is told to, however wrong.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// Certificates for 127.0.0.1 that are good for a hundred years, and for nothing else.
pub(in crate::telemetry) const AUTHORITY: &str = include_str!("../../image/daemon/tests/certificates/ca.pem");
const SERVER: &str = include_str!("../../image/daemon/tests/certificates/daemon.pem");
const SERVER_KEY: &str = include_str!("../../image/daemon/tests/certificates/daemon-key.pem");
pub(in crate::telemetry) const CLIENT: &str = include_str!("../../image/daemon/tests/certificates/client.pem");
pub(in crate::telemetry) const CLIENT_KEY: &str = include_str!("../../image/daemon/tests/certificates/client-key.pem");

/// How one request is answered.
#[derive(Clone, Debug)]
pub(in crate::telemetry) enum Reply {
    /// With this text, as it is; the connection stays open.
    Text(String),
    /// With this text, after which the connection ends.
    Last(String),
    /// The connection ends without an answer.
    Hangup,
    /// There is no answer at all.
    Silence,
    /// A good beginning without an end.
    Endless,
}

impl Reply {
    /// An answer with a status, further header lines and a body.
    pub(in crate::telemetry) fn status(status: u16, headers: &[&str], body: &str) -> Self {
        let head = [format!("HTTP/1.1 {status} -\r\nContent-Length: {}", body.len())];
        let head: Vec<&str> = head.iter().map(String::as_str).chain(headers.iter().copied()).collect();
        let head = head.join("\r\n");
        Self::Text(format!("{head}\r\n\r\n{body}"))
    }
}

/// A request that was made.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Seen {
    pub(in crate::telemetry) line: String,
    pub(in crate::telemetry) headers: BTreeMap<String, String>,
    pub(in crate::telemetry) body: Vec<u8>,
    /// Which connection it came over, from 0.
    pub(in crate::telemetry) connection: usize,
}

/// A collector on 127.0.0.1. Whatever nobody said something about is answered with success.
pub(in crate::telemetry) struct FakeCollector {
    /// `127.0.0.1:<port>`
    pub(in crate::telemetry) address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
    connections: usize,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl FakeCollector {
    /// One that speaks plainly.
    pub(in crate::telemetry) fn start() -> Self {
        Self::listen(|stream| Box::new(stream))
    }

    /// One behind TLS, which takes nobody without the client's certificate.
    pub(in crate::telemetry) fn start_tls() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate(AUTHORITY)).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let key = PrivateKeyDer::from_pem_slice(SERVER_KEY.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_client_cert_verifier(clients).with_single_cert(vec![certificate(SERVER)], key);
        let config = Arc::new(config.unwrap());
        Self::listen(move |stream| Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)))
    }

    fn listen(wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            // Ends with the test's process; a connection ends with its client.
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, stream) = (shared.clone(), wrap(stream));
                let connection = state.lock().unwrap().connections;
                state.lock().unwrap().connections += 1;
                thread::spawn(move || serve(stream, &state, connection));
            }
        });
        Self { address, state }
    }

    /// Says how the next requests are answered.
    pub(in crate::telemetry) fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().replies.extend(replies);
    }

    /// The requests since the last call.
    pub(in crate::telemetry) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// Its base address.
    pub(in crate::telemetry) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(stream: Box<dyn Stream>, state: &Mutex<State>, connection: usize) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let reply = {
            let mut state = state.lock().ok()?;
            state.seen.push(Seen { line: line.trim_end().to_owned(), headers, body, connection });
            state.replies.pop_front()
        };
        let out = stream.get_mut();
        match reply {
            None => out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?,
            Some(Reply::Text(text)) => out.write_all(text.as_bytes()).ok()?,
            Some(Reply::Last(text)) => {
                out.write_all(text.as_bytes()).ok()?;
                return None;
            }
            Some(Reply::Hangup) => return None,
            Some(Reply::Silence) => thread::sleep(Duration::from_secs(3600)),
            Some(Reply::Endless) => {
                out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
                loop {
                    out.write_all(b"1000\r\n").ok()?;
                    out.write_all(&[b'x'; 0x1000]).ok()?;
                    out.write_all(b"\r\n").ok()?;
                }
            }
        }
        out.flush().ok()?;
    }
}
