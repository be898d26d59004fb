//! TCP connections whose answer is read although they took only some of the request.
//!
//! A registry, or a proxy before it, may refuse a request before it has read all of it, and end the connection: nginx does
//! so with what is too large for it. Then a write fails, while the answer waits to be read. So a write that fails is no
//! error here. What is still to be sent goes nowhere, and the answer is read; only where there is none is the error told.
//!
//! Some refuse and then neither read on nor end the connection. So a write that does not go on while an answer waits counts
//! as failed too. With TLS what waits on a new connection may be tickets: there only what comes during the wait counts as an
//! answer, and else it is read when the time for a sign of life is over.
//!
//! This stands below TLS, which writes before it reads and would fail at that. Linux keeps what arrived before a connection
//! was reset; an answer that is lost on its way because of that (RFC 9112, section 9.6) nobody can read.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// How long an answer may take that should be there already.
const SOON: Duration = Duration::from_secs(1);

/// How long a write waits before it looks whether there is an answer.
const LOOK: Duration = Duration::from_secs(1);

thread_local! {
    /// A request is sent and answered on one thread, but ureq lets its body know nothing of the connection.
    static IS_BROKEN: Cell<bool> = const { Cell::new(false) };
}

/// Says that this thread begins a request.
pub(super) fn begin() {
    IS_BROKEN.set(false);
}

/// Tells whether the connection takes nothing more of this thread's request: it is of no use to read on in its body.
pub(super) fn is_broken() -> bool {
    IS_BROKEN.get()
}

/// Makes connections, unless another connector made one: ureq has those to proxies made here too.
#[derive(Debug)]
pub(super) struct Attentive {
    /// TLS is spoken to the server.
    pub(super) tls: bool,
}

impl<In: Transport> Connector<In> for Attentive {
    type Out = Either<In, Connection>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        if let Some(made) = chained {
            return Ok(Some(Either::A(made)));
        }
        let stream = connect(&details.addrs, details.timeout)?;
        stream.set_nodelay(details.config.no_delay())?;
        stream.set_write_timeout(Some(LOOK))?;
        Ok(Some(Either::B(Connection {
            stream,
            buffers: LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size()),
            read_timeout: None,
            has_only_answers: !self.tls && !details.needs_tls(),
            is_broken: false,
            why: None,
        })))
    }
}

/// Connects to the first address that can be reached. None takes the time of all that follow.
fn connect(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, ureq::Error> {
    let end = timeout.not_zero().map(|limit| Instant::now() + *limit);
    let mut failed = io::Error::from(ErrorKind::ConnectionRefused);
    for (index, address) in addresses.iter().enumerate() {
        let connected = match end.map(|end| end.saturating_duration_since(Instant::now())) {
            None => TcpStream::connect(address),
            Some(Duration::ZERO) => break,
            Some(left) if index + 1 == addresses.len() => TcpStream::connect_timeout(address, left),
            Some(left) => TcpStream::connect_timeout(address, left / 2),
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(told(failed, timeout))
}

/// An error in ureq's terms.
fn told(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

/// A connection that goes on being read after it broke.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffers: LazyBuffers,
    /// What the system was told last.
    read_timeout: Option<Duration>,
    /// What arrives while a request is sent is its answer, and nothing of TLS.
    has_only_answers: bool,
    is_broken: bool,
    /// Why it broke, until there is an answer or this is told.
    why: Option<ureq::Error>,
}

impl Connection {
    /// Sends so much of the output. The time limit begins anew with each byte that goes out.
    fn write(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        let mut left = &self.buffers.output()[..amount];
        let mut went_on = Instant::now();
        // How much there is to read that is no answer.
        let mut unrelated = self.has_only_answers.then_some(0);
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(count) => {
                    left = &left[count..];
                    went_on = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let waiting = ioctl_fionread(&self.stream).unwrap_or(0);
                    if waiting > *unrelated.get_or_insert(waiting) {
                        return Err(io::Error::from(ErrorKind::BrokenPipe).into());
                    }
                    if timeout.not_zero().is_some_and(|limit| went_on.elapsed() >= *limit) {
                        return Err(ureq::Error::Timeout(timeout.reason));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        let limit = timeout.not_zero().map(|limit| *limit);
        if limit != self.read_timeout {
            self.stream.set_read_timeout(limit)?;
            self.read_timeout = limit;
        }
        let buffer = self.buffers.input_append_buf();
        let count = loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|error| told(error, timeout))?,
            }
        };
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Tells whether the other side neither ended the connection nor said anything.
    fn is_quiet(&self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        Ok(peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.is_broken {
            return Ok(());
        }
        if let Err(error) = self.write(amount, timeout) {
            self.is_broken = true;
            self.why = Some(error);
            IS_BROKEN.set(true);
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if !self.is_broken {
            return self.read(timeout);
        }
        let read = self.read(NextTimeout { per_read: Some(SOON.into()), ..timeout });
        let why = self.why.take();
        match (read, why) {
            (Ok(false) | Err(_), Some(why)) => Err(why),
            (read, _) => read,
        }
    }

    /// Who asks wants to send another request: what TLS had to say of itself has been read with the last answer.
    fn is_open(&mut self) -> bool {
        let is_open = !self.is_broken && self.is_quiet().unwrap_or(false);
        self.has_only_answers |= is_open;
        is_open
    }
}
