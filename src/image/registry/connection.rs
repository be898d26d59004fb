//! Connections whose answer is read although they took only some of the request.
//!
//! A registry, or a proxy before it, may refuse a request before it has read all of it, and end the connection: nginx does
//! so with what is too large for it. Then a write fails, while the answer waits to be read. So a write that fails is no
//! error here. What is still to be sent goes nowhere, and the answer is read; only where there is none is the error told.
//!
//! This stands below TLS, which writes before it reads and would fail at that. Linux keeps what arrived before a connection
//! was reset; an answer that is lost on its way because of that (RFC 9112, section 9.6) nobody can read.

use std::cell::Cell;
use std::time::Duration;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// How long an answer may take that should be there already.
const SOON: Duration = Duration::from_secs(1);

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

/// Makes connections of those that another connector made.
#[derive(Debug)]
pub(super) struct Attentive;

impl<In: Transport> Connector<In> for Attentive {
    type Out = Connection<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(|inner| Connection { inner, is_broken: false, why: None }))
    }
}

/// A connection that goes on being read after it broke.
#[derive(Debug)]
pub(super) struct Connection<In> {
    inner: In,
    is_broken: bool,
    /// Why it broke, until there is an answer or this is told.
    why: Option<ureq::Error>,
}

impl<In: Transport> Transport for Connection<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.is_broken {
            return Ok(());
        }
        if let Err(error) = self.inner.transmit_output(amount, timeout) {
            self.is_broken = true;
            self.why = Some(error);
            IS_BROKEN.set(true);
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if !self.is_broken {
            return self.inner.await_input(timeout);
        }
        let read = self.inner.await_input(NextTimeout { per_read: Some(SOON.into()), ..timeout });
        let why = self.why.take();
        match (read, why) {
            (Ok(false) | Err(_), Some(why)) => Err(why),
            (read, _) => read,
        }
    }

    fn is_open(&mut self) -> bool {
        !self.is_broken && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
