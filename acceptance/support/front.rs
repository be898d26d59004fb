//! A server that stands before a registry and answers some requests itself: what a broken, closed or foreign registry
//! looks like. Requests that it does not answer go on to the registry, a connection for each.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::registry::Registry;

/// An answer: a status and a body; status 0 is none, the connection is closed.
pub(crate) type Answer = (u16, &'static str);

/// Decides by method and path what is answered here.
type Decide = dyn Fn(&str, &str) -> Option<Answer> + Send + Sync;

/// A server in this process, ended when it is dropped.
pub(crate) struct Front {
    port: u16,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// Starts a server that is a registry by its first answer, and then always gives another one.
    pub(crate) fn always(status: u16, body: &'static str) -> Self {
        Self::start(None, move |_, path| Some(if path == "/v2/" { (200, "{}") } else { (status, body) }))
    }

    /// Starts a server before a registry.
    pub(crate) fn of(
        registry: &Registry,
        decide: impl Fn(&str, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(registry.address()), decide)
    }

    fn start(
        behind: Option<SocketAddr>,
        decide: impl Fn(&str, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = Arc::new(AtomicBool::new(false));
        let (ending, decide): (_, Arc<Decide>) = (Arc::clone(&ends), Arc::new(decide));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let decide = Arc::clone(&decide);
                // A client that goes away is no reason to stop.
                std::thread::spawn(move || serve(stream, &*decide, behind));
            }
        });
        Self { port, ends, thread: Some(thread) }
    }

    /// The host and port, as it stands before a repository.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The reference of a repository here.
    pub(crate) fn image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.host())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes one request, answers it or passes it on, and closes.
fn serve(stream: TcpStream, decide: &Decide, behind: Option<SocketAddr>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            break;
        }
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head.push(line);
        }
    }
    let mut words = head[0].split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (decide(method, path), behind) {
        (Some((0, _)), _) => Ok(()),
        (Some(answer), _) => reply(stream, method, answer),
        (None, None) => reply(stream, method, (404, "")),
        (None, Some(address)) => {
            let mut registry = TcpStream::connect(address)?;
            write!(registry, "{}Connection: close\r\n\r\n", head.concat())?;
            let mut back = registry.try_clone()?;
            let mut client = stream;
            let answering = std::thread::spawn(move || {
                let _ = io::copy(&mut back, &mut client);
                client.shutdown(Shutdown::Both)
            });
            // The body; it ends when the client has its answer.
            let _ = io::copy(&mut reader, &mut registry);
            let _ = answering.join();
            Ok(())
        }
    }
}

fn reply(mut stream: TcpStream, method: &str, (status, body): Answer) -> io::Result<()> {
    let challenge = if status == 401 { "WWW-Authenticate: Basic realm=\"acceptance\"\r\n" } else { "" };
    let head = format!("HTTP/1.1 {status} \r\nContent-Length: {}\r\nConnection: close\r\n{challenge}", body.len());
    let body = if method == "HEAD" { "" } else { body };
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    // What the client still sends is read, because closing a socket with unread bytes would take the answer back.
    io::copy(&mut stream, &mut io::sink()).map(drop)
}
