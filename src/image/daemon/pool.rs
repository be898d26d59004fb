//! Connections to a daemon: kept, lent one request at a time, and opened again where that is possible.
//!
//! Catalogue 1, section 1.8; policy P29. A socket of root can be opened only before privileges are dropped. So a few
//! connections are opened then; later, who finds none free opens another one if that is allowed, and else waits until one
//! comes back. Nobody here holds a connection while waiting for another, so nobody waits for ever.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::address::Address;
use super::http::{Connection, Stream};
use super::tls::Tls;
use crate::os::lookup::Lookup;

/// How long it may take to reach another machine.
const CONNECT: Duration = Duration::from_secs(15);

/// How long a daemon may say nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Where it looks something up or notes it down.
    pub(super) answer: Duration,
    /// Where it packs or unpacks an image, and says nothing before it is done.
    pub(super) work: Duration,
}

impl Default for Patience {
    /// Daemons under load take seconds to answer; 50 GB take half an hour on a disk that writes 30 MB/s.
    fn default() -> Self {
        Self { answer: Duration::from_secs(60), work: Duration::from_secs(1800) }
    }
}

/// Connections to one daemon.
pub(super) struct Pool {
    address: Address,
    tls: Option<Tls>,
    patience: Patience,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    lent: usize,
}

/// A connection that is used by one request. Dropped, it is closed; see [`Lease::give_back`].
pub(super) struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    /// It served requests before, so the daemon may have closed it meanwhile.
    pub(super) idled: bool,
}

impl Pool {
    /// No connections yet.
    pub(super) fn new(address: Address, tls: Option<Tls>, patience: Patience) -> Arc<Self> {
        Arc::new(Self { address, tls, patience, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Where the daemon is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// How long the daemon may say nothing.
    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// A connection that idled, or a new one. Where none can be opened, waits for one that is lent.
    ///
    /// # Errors
    /// None can be opened, and none is lent.
    pub(super) fn take(self: &Arc<Self>) -> io::Result<Lease> {
        let mut state = self.lock();
        loop {
            if let Some(connection) = state.idle.pop() {
                state.lent += 1;
                return Ok(self.lease(connection, true));
            }
            // Counted as lent while it is opened, so that others wait for it rather than fail.
            state.lent += 1;
            drop(state);
            match self.open() {
                Ok(connection) => return Ok(self.lease(connection, false)),
                Err(error) => {
                    state = self.lock();
                    state.lent -= 1;
                    if state.lent == 0 && state.idle.is_empty() {
                        self.changed.notify_all();
                        return Err(error);
                    }
                    if state.idle.is_empty() {
                        state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            }
        }
    }

    /// Opens a connection beside those that there are.
    pub(super) fn take_new(self: &Arc<Self>) -> io::Result<Lease> {
        let connection = self.open()?;
        self.lock().lent += 1;
        Ok(self.lease(connection, false))
    }

    fn lease(self: &Arc<Self>, connection: Connection, idled: bool) -> Lease {
        Lease { pool: Arc::clone(self), connection: Some(connection), idled }
    }

    fn open(&self) -> io::Result<Connection> {
        // Whoever may wait for longer asks again; the system may give up a little early.
        let limit = Some(self.patience.answer / 10);
        let stream: Box<dyn Stream> = match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(limit)?;
                Box::new(stream)
            }
            Address::Tcp { host, port, .. } => {
                let stream = connect(host, *port)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(limit)?;
                match &self.tls {
                    Some(tls) => Box::new(tls.wrap(host, stream)?),
                    None => Box::new(stream),
                }
            }
        };
        Ok(Connection::new(stream, self.address.to_string()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let by = Instant::now() + CONNECT;
    let mut failure = None;
    for address in Lookup::default().addresses(host, by).map_err(io::Error::other)? {
        match TcpStream::connect_timeout(&(address, port).into(), CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

impl Lease {
    /// The connection. `None` only after it was given back.
    pub(super) fn connection(&mut self) -> io::Result<&mut Connection> {
        self.connection.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Where it goes.
    pub(super) fn address(&self) -> &Address {
        &self.pool.address
    }

    /// How long the daemon may say nothing.
    pub(super) fn patience(&self) -> Patience {
        self.pool.patience
    }

    /// Gives it back, to be used again.
    pub(super) fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.lock().idle.push(connection);
        }
    }

    /// Says whether another one could be opened in its place, as far as can be known without trying.
    pub(super) fn is_replaceable(&self) -> bool {
        match &self.pool.address {
            Address::Unix(path) => {
                let access = rustix::fs::Access::WRITE_OK;
                rustix::fs::accessat(rustix::fs::CWD, path, access, rustix::fs::AtFlags::EACCESS).is_ok()
            }
            Address::Tcp { .. } => true,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.lock().lent -= 1;
        self.pool.changed.notify_all();
    }
}
