//! A registry that answers every request the same way: what a broken, closed or foreign server looks like.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// What it answers: decides by method and path.
type Answer = dyn Fn(&str, &str) -> (u16, String) + Send + Sync;

/// A server in this process, ended when it is dropped.
pub(crate) struct Answering {
    port: u16,
    ends: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    /// Starts a server whose every answer, except to the question whether it is a registry, is this status with a body.
    pub(crate) fn always(status: u16, body: &'static str) -> Self {
        Self::by(move |_, path| if path == "/v2/" { (200, "{}".to_owned()) } else { (status, body.to_owned()) })
    }

    /// Starts a server that decides each answer.
    pub(crate) fn by(answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (ends, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ending, counting, answer) = (Arc::clone(&ends), Arc::clone(&requests), Arc::new(answer) as Arc<Answer>);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (counting, answer) = (Arc::clone(&counting), Arc::clone(&answer));
                // A client that goes away is no reason to stop.
                std::thread::spawn(move || serve(&stream, &answer, &counting));
            }
        });
        Self { port, ends, requests, thread: Some(thread) }
    }

    /// The reference of a repository here.
    pub(crate) fn image(&self, repository: &str) -> String {
        format!("127.0.0.1:{}/{repository}", self.port)
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request and closes.
fn serve(stream: &TcpStream, answer: &Arc<Answer>, requests: &AtomicUsize) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    while lines.next()?.ok()? != "" {}
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    requests.fetch_add(1, Ordering::SeqCst);
    let (status, body) = answer(method, path);
    let length = body.len();
    let body = if method == "HEAD" { "" } else { &body };
    let head = format!("HTTP/1.1 {status} \r\nContent-Length: {length}\r\nConnection: close\r\n");
    let challenge = if status == 401 { "WWW-Authenticate: Basic realm=\"acceptance\"\r\n" } else { "" };
    (&mut &*stream).write_all(format!("{head}{challenge}\r\n{body}").as_bytes()).ok()
}
