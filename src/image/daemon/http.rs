//! HTTP/1.1 over any stream: one request, one answer, and whether the stream can be used again.
//!
//! Small on purpose: a daemon is asked few things. Bodies go out in chunks, whatever their size, and come in as they
//! may: with a length, in chunks, or up to the end of the connection. Clause: RFC 9112.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

/// The most that the head of an answer may have, in bytes.
const HEAD_LIMIT: u64 = 64 << 10;
/// The most that the line before a chunk may have, in bytes.
const LINE_LIMIT: u64 = 4 << 10;
/// Smaller pieces are gathered to a chunk of this size, in bytes.
const CHUNK: usize = 256 << 10;

/// A stream to a daemon.
pub(super) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// A request.
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) host: &'a str,
}

/// What writes a body, and may be asked only once.
pub(super) type Content<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Why a request was not sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The connection broke. There may be an answer all the same.
    Connection(io::Error),
    /// The content broke; the connection is of no use any more.
    Content(io::Error),
}

/// The first part of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    /// The connection may take another request after the body.
    keeps: bool,
}

/// How long the body of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are left.
    Exact(u64),
    /// So many bytes are left of this chunk, and more chunks follow.
    Chunk(u64),
    /// A chunk begins.
    NextChunk,
    /// It ends with the connection.
    UntilClose,
    /// It ended with the connection.
    Closed,
}

/// A connection.
pub(super) struct Connection {
    stream: BufReader<Patient>,
}

/// A stream whose other side may neither give nor take a byte for so long at most. The stream itself gives up earlier
/// with [`io::ErrorKind::WouldBlock`], or never.
struct Patient {
    stream: Box<dyn Stream>,
    /// Who is at the other side.
    address: String,
    silence: Duration,
}

impl Patient {
    fn wait(&mut self, mut act: impl FnMut(&mut dyn Stream) -> io::Result<usize>) -> io::Result<usize> {
        let begun = Instant::now();
        loop {
            match act(&mut *self.stream) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if begun.elapsed() >= self.silence => {
                    let silent = format!("nothing came from the daemon at {} for {:?}", self.address, self.silence);
                    return Err(io::Error::new(io::ErrorKind::TimedOut, silent));
                }
                Err(_) => {}
                Ok(count) => return Ok(count),
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(|stream| stream.read(buffer))
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wait(|stream| stream.flush().map(|()| 0)).map(drop)
    }
}

impl Connection {
    /// A stream to a daemon at an address. It is patient as [`Self::allow`] says, if the stream itself gives up.
    pub(super) fn new(stream: Box<dyn Stream>, address: String) -> Self {
        let patient = Patient { stream, address, silence: Duration::MAX };
        Self { stream: BufReader::with_capacity(64 << 10, patient) }
    }

    /// Says for how long the daemon may be silent from now on.
    pub(super) fn allow(&mut self, silence: Duration) {
        self.stream.get_mut().silence = silence;
    }

    /// Sends a request.
    pub(super) fn send(&mut self, request: &Request<'_>, content: Option<Content<'_>>) -> Result<(), Unsent> {
        let Request { method, target, host } = request;
        let agent = concat!("cnb-lifecycle/", env!("CARGO_PKG_VERSION"));
        let body = match (&content, *method) {
            (Some(_), _) => "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n",
            (None, "POST") => "Content-Length: 0\r\n",
            (None, _) => "",
        };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n{body}\r\n");
        let out = self.stream.get_mut();
        out.write_all(head.as_bytes()).map_err(Unsent::Connection)?;
        if let Some(content) = content {
            let mut chunks = Chunks { out, buffer: Vec::with_capacity(CHUNK), broken: None };
            let written = content(&mut chunks).and_then(|()| chunks.finish());
            match (written, chunks.broken) {
                (_, Some(kind)) => return Err(Unsent::Connection(kind)),
                (Err(error), None) => return Err(Unsent::Content(error)),
                (Ok(()), None) => {}
            }
        }
        self.stream.get_mut().flush().map_err(Unsent::Connection)
    }

    /// Reads the head of the answer to a request of this method.
    pub(super) fn answer(&mut self, method: &str) -> io::Result<(Head, Framing)> {
        loop {
            let head = self.head()?;
            // Such as 100: the real one follows.
            if (100..200).contains(&head.status) {
                continue;
            }
            let framing =
                if method == "HEAD" || matches!(head.status, 204 | 304) { Framing::Exact(0) } else { head.framing()? };
            return Ok((head, framing));
        }
    }

    fn head(&mut self) -> io::Result<Head> {
        let mut left = HEAD_LIMIT;
        let first = self.line(&mut left)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut words = first.splitn(3, ' ');
        let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let status = status.parse().ok().filter(|status| (100..600).contains(status));
        let (true, Some(status)) = (version.starts_with("HTTP/1."), status) else {
            return Err(malformed("the answer is not one of HTTP/1.1"));
        };
        let mut headers = Vec::new();
        loop {
            let line = self.line(&mut left)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header of the answer has no name"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut head = Head { status, headers, keeps: version != "HTTP/1.0" };
        if let Some(connection) = head.header("connection") {
            let said = |word: &str| connection.split(',').any(|token| token.trim().eq_ignore_ascii_case(word));
            head.keeps = (head.keeps || said("keep-alive")) && !said("close");
        }
        Ok(head)
    }

    /// Reads a line without its end; `None` at the end of the connection.
    fn line(&mut self, left: &mut u64) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let count = (&mut self.stream).take(*left).read_until(b'\n', &mut line)?;
        *left -= count as u64;
        match line.strip_suffix(b"\n") {
            Some(line) => {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                Ok(Some(String::from_utf8_lossy(line).into_owned()))
            }
            None if *left == 0 => Err(malformed("a line of the answer is too long")),
            None if line.is_empty() => Ok(None),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads some of the body; nothing at its end.
    pub(super) fn read(&mut self, framing: &mut Framing, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let most = match *framing {
                Framing::Exact(0) | Framing::Closed => return Ok(0),
                Framing::Exact(left) | Framing::Chunk(left) => left,
                Framing::UntilClose => u64::MAX,
                Framing::NextChunk => {
                    *framing = self.next_chunk()?;
                    continue;
                }
            };
            let most = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
            if most == 0 {
                return Ok(0);
            }
            let count = self.stream.read(&mut buffer[..most])?;
            *framing = match *framing {
                Framing::UntilClose if count == 0 => Framing::Closed,
                Framing::Exact(_) | Framing::Chunk(_) if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Framing::Exact(left) => Framing::Exact(left - count as u64),
                Framing::Chunk(left) if left == count as u64 => {
                    self.end_of_chunk()?;
                    Framing::NextChunk
                }
                Framing::Chunk(left) => Framing::Chunk(left - count as u64),
                other => other,
            };
            return Ok(count);
        }
    }

    fn next_chunk(&mut self) -> io::Result<Framing> {
        let line = self.line(&mut { LINE_LIMIT })?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        match size.ok_or_else(|| malformed("a chunk of the answer has no size"))? {
            0 => {
                // Trailers, of which there mostly are none.
                let mut left = HEAD_LIMIT;
                while !self.line(&mut left)?.ok_or(io::ErrorKind::UnexpectedEof)?.is_empty() {}
                Ok(Framing::Exact(0))
            }
            size => Ok(Framing::Chunk(size)),
        }
    }

    fn end_of_chunk(&mut self) -> io::Result<()> {
        match self.line(&mut { 2 })? {
            Some(line) if line.is_empty() => Ok(()),
            _ => Err(malformed("a chunk of the answer is longer than its size")),
        }
    }
}

impl Head {
    /// The value of a header; the name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Says whether the connection may take another request after the body.
    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }

    fn framing(&self) -> io::Result<Framing> {
        if let Some(coding) = self.header("transfer-encoding") {
            return if coding.eq_ignore_ascii_case("chunked") {
                Ok(Framing::NextChunk)
            } else {
                Err(malformed("the answer has a transfer coding that is not known"))
            };
        }
        match self.header("content-length") {
            Some(length) => {
                length.parse().map(Framing::Exact).map_err(|_| malformed("the length of the answer is no number"))
            }
            None => Ok(Framing::UntilClose),
        }
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes a body in chunks. It never fails by itself, so a failure of it is one of the connection.
struct Chunks<'a> {
    out: &'a mut Patient,
    buffer: Vec<u8>,
    broken: Option<io::Error>,
}

impl Chunks<'_> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let head = format!("{:x}\r\n", bytes.len());
        let out = &mut *self.out;
        let sent =
            out.write_all(head.as_bytes()).and_then(|()| out.write_all(bytes)).and_then(|()| out.write_all(b"\r\n"));
        sent.map_err(|error| self.note(error))
    }

    /// Remembers why the connection broke, whatever the content makes of the error that it gets.
    fn note(&mut self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.broken.get_or_insert(error);
        kind.into()
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let sent = self.send(&buffer);
        buffer.clear();
        self.buffer = buffer;
        sent
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush_buffer()?;
        self.out.write_all(b"0\r\n\r\n").map_err(|error| self.note(error))
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Archives come in pieces of this size already: those are not copied once more.
        if bytes.len() >= CHUNK {
            self.flush_buffer()?;
            self.send(bytes)?;
            return Ok(bytes.len());
        }
        let count = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == CHUNK {
            self.flush_buffer()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Says something, and keeps what it hears up to a limit.
    struct Script {
        says: Cursor<Vec<u8>>,
        heard: Arc<Mutex<Vec<u8>>>,
        limit: usize,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // Few bytes at a time: nothing may rely on more.
            let most = buffer.len().min(3);
            self.says.read(&mut buffer[..most])
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut heard = self.heard.lock().unwrap();
            if heard.len() + bytes.len() > self.limit {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            heard.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn script(says: &str, limit: usize) -> (Connection, Arc<Mutex<Vec<u8>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let says = Cursor::new(says.as_bytes().to_vec());
        (Connection::new(Box::new(Script { says, heard: heard.clone(), limit }), "unix x".to_owned()), heard)
    }

    fn read(says: &str, method: &str) -> io::Result<(u16, bool, String)> {
        let (mut connection, _) = script(says, 0);
        let (head, mut framing) = connection.answer(method)?;
        let mut body = Vec::new();
        let mut buffer = [0; 7];
        loop {
            match connection.read(&mut framing, &mut buffer)? {
                0 => return Ok((head.status, head.keeps(), String::from_utf8_lossy(&body).into_owned())),
                count => body.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn reads_bodies_of_every_framing() {
        for (says, method, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOKrest", "GET", (200, true, "OK")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HEAD", (200, true, "")),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nx", "POST", (204, true, "")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n, 10 bytes\r\n0\r\nT: 1\r\n\r\n",
                "GET",
                (200, true, "hello, 10 bytes"),
            ),
            ("HTTP/1.1 404 \r\nConnection: close\r\n\r\nuntil the end", "GET", (404, false, "until the end")),
            ("HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 1\n\nx", "GET", (200, true, "x")),
        ] {
            let (status, keeps, body) = read(says, method).unwrap();
            assert_eq!((status, keeps, body.as_str()), expected, "{says}");
        }
    }

    #[test]
    fn tells_an_answer_that_is_cut_off_or_none() {
        for says in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b",
            "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nhe\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        ] {
            assert!(read(says, "GET").is_err(), "{says}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(1 << 17));
        assert!(read(&endless, "GET").unwrap_err().to_string().contains("too long"));
    }

    #[test]
    fn sends_a_body_in_chunks() {
        let (mut connection, heard) = script("", usize::MAX);
        let request = Request { method: "POST", target: "/x?y=z", host: "h" };
        let sent =
            connection.send(&request, Some(&mut |out| out.write_all(b"one").and_then(|()| out.write_all(b"two"))));
        assert!(sent.is_ok());
        connection.send(&request, Some(&mut |out| out.write_all(&vec![b'x'; CHUNK + 1]))).unwrap();
        connection.send(&request, None).unwrap();
        let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
        assert!(heard.starts_with("POST /x?y=z HTTP/1.1\r\nHost: h\r\n"), "{heard}");
        assert!(heard.contains("\r\n\r\n6\r\nonetwo\r\n0\r\n\r\nPOST"), "{heard}");
        assert!(heard.contains("\r\n\r\n40001\r\nxxx") && heard.contains("x\r\n0\r\n\r\n"));
        assert!(heard.ends_with("Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn tells_a_broken_connection_from_a_broken_content() {
        let request = Request { method: "POST", target: "/x", host: "h" };
        let (mut connection, _) = script("", 300);
        let swallow = &mut |out: &mut dyn Write| {
            let _ = out.write_all(&vec![0; 2 * CHUNK]);
            Ok(())
        };
        let error = connection.send(&request, Some(swallow)).unwrap_err();
        assert!(matches!(error, Unsent::Connection(cause) if cause.kind() == io::ErrorKind::BrokenPipe));
        let (mut connection, _) = script("", usize::MAX);
        let error = connection.send(&request, Some(&mut |_| Err(io::Error::other("file changed")))).unwrap_err();
        assert!(matches!(error, Unsent::Content(cause) if cause.to_string() == "file changed"));
    }

    mod fuzz {
        use super::*;

        #[test]
        fn answers_of_a_daemon() {
            crate::fuzz::parser("daemon-answer", 400, &[], |bytes| {
                let says = String::from_utf8_lossy(bytes);
                for method in ["GET", "HEAD"] {
                    let _ = read(&says, method);
                }
            });
        }
    }
}
