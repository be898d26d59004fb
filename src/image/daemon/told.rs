//! How far an image is on its way into a daemon: told of each layer, and of the time until the daemon has unpacked it.
//!
//! News is repeated while nothing moves, so that who reads it sees that, too.

use std::io::{self, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::effect::events::{Events, TransferEvent, WorkId};

/// How often news is repeated.
const REPEATED: Duration = Duration::from_millis(500);

/// Tells how far a load is. What did not end when this is dropped has failed.
pub(super) struct Told {
    news: Arc<News>,
    /// Dropped, it ends the thread.
    _stop: Sender<()>,
}

struct News {
    events: Arc<dyn Events>,
    /// What is on its way.
    latest: Mutex<Option<TransferEvent>>,
}

impl News {
    /// Told under this lock only: nothing follows the end of a transfer.
    fn latest(&self) -> MutexGuard<'_, Option<TransferEvent>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, latest: Option<&TransferEvent>) {
        if let Some(event) = latest {
            self.events.emit(event.clone().into());
        }
    }
}

impl Told {
    pub(super) fn new(events: &Arc<dyn Events>) -> Self {
        Self::every(REPEATED, events)
    }

    fn every(pause: Duration, events: &Arc<dyn Events>) -> Self {
        let news = Arc::new(News { events: Arc::clone(events), latest: Mutex::default() });
        let (stop, stopped) = channel::<()>();
        let repeated = Arc::clone(&news);
        let repeat = move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                repeated.tell(repeated.latest().as_ref());
            }
        };
        // Without the thread nothing is repeated.
        let _ = thread::Builder::new().name("daemon-load".to_owned()).spawn(repeat);
        Self { news, _stop: stop }
    }

    /// Sends a layer of so many bytes to `out` by `write`.
    pub(super) fn layer(
        &self,
        id: &str,
        size: u64,
        out: &mut dyn Write,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let what = format!("layer '{id}'");
        self.begin(TransferEvent::Sent { id: WorkId::next(), what, bytes: 0, size: Some(size) });
        let sent = write(&mut Counted { out, news: &self.news });
        self.end(sent.is_ok());
        sent
    }

    /// The image is sent; from now on the daemon is waited for.
    pub(super) fn awaits(&self, image: &str) {
        self.begin(TransferEvent::Awaited { id: WorkId::next(), what: format!("the daemon to take '{image}'") });
    }

    fn begin(&self, event: TransferEvent) {
        let mut latest = self.news.latest();
        *latest = Some(event);
        self.news.tell(latest.as_ref());
    }

    /// Ends what is on its way, if there is something.
    pub(super) fn end(&self, arrived: bool) {
        let mut latest = self.news.latest();
        self.news.tell(latest.as_ref());
        if let Some(TransferEvent::Sent { id, .. } | TransferEvent::Awaited { id, .. }) = latest.take() {
            self.news.events.emit(TransferEvent::Ended { id, arrived }.into());
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// Counts what is written.
struct Counted<'a> {
    out: &'a mut dyn Write,
    news: &'a News,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        if let Some(TransferEvent::Sent { bytes, .. }) = &mut *self.news.latest() {
            *bytes += count as u64;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::events::Event;
    use crate::image::conforms::Heard;

    #[test]
    fn news_is_repeated_while_nothing_moves_and_not_after_the_end() {
        let heard = Arc::new(Heard::default());
        let told = Told::every(Duration::from_millis(1), &heard.listener().events);
        let times = |wanted: u64| {
            let heard = heard.0.lock().unwrap();
            let sent = |event: &&Event| matches!(event, Event::Transfer(TransferEvent::Sent { bytes, .. }) if *bytes == wanted);
            heard.iter().filter(sent).count()
        };
        let stalls = |out: &mut dyn Write| {
            out.write_all(b"one")?;
            while times(3) < 3 {
                thread::sleep(Duration::from_millis(1));
            }
            out.write_all(b"two")
        };
        told.layer("a:b", 6, &mut io::sink(), stalls).unwrap();
        let ended = |event: Option<&Event>, wanted| matches!(event, Some(Event::Transfer(TransferEvent::Ended { arrived, .. })) if *arrived == wanted);
        let is_last = |wanted| ended(heard.0.lock().unwrap().last(), wanted);
        assert!(times(6) > 0 && is_last(true));
        thread::sleep(Duration::from_millis(10));
        assert!(is_last(true), "the end is the end");
        told.awaits("a.io/app");
        drop(told);
        assert!(is_last(false));
    }
}
