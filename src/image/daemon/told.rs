//! How far an image is on its way into a daemon: told of each layer, and of the time until the daemon has unpacked it.

use std::cell::RefCell;
use std::io::{self, Write};

use crate::effect::events::{Events, TransferEvent, WorkId};

/// After how many bytes there is news.
const STEP: u64 = 1 << 20;

/// Tells how far a load is. What did not end when this is dropped has failed.
pub(super) struct Told<'a> {
    events: &'a dyn Events,
    /// What is on its way.
    latest: RefCell<Option<TransferEvent>>,
}

impl<'a> Told<'a> {
    pub(super) fn new(events: &'a dyn Events) -> Self {
        Self { events, latest: RefCell::default() }
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
        let sent = write(&mut Counted { out, told: self });
        self.end(sent.is_ok());
        sent
    }

    /// The image is sent; from now on the daemon is waited for.
    pub(super) fn awaits(&self, image: &str) {
        self.begin(TransferEvent::Awaited { id: WorkId::next(), what: format!("the daemon to take '{image}'") });
    }

    fn begin(&self, event: TransferEvent) {
        self.events.emit(event.clone().into());
        *self.latest.borrow_mut() = Some(event);
    }

    /// Ends what is on its way, if there is something.
    pub(super) fn end(&self, arrived: bool) {
        let Some(latest) = self.latest.take() else { return };
        let (TransferEvent::Sent { id, .. } | TransferEvent::Awaited { id, .. } | TransferEvent::Ended { id, .. }) =
            latest;
        self.events.emit(latest.into());
        self.events.emit(TransferEvent::Ended { id, arrived }.into());
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// Counts what is written.
struct Counted<'a, 'b> {
    out: &'a mut dyn Write,
    told: &'a Told<'b>,
}

impl Write for Counted<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        if let Some(latest) = &mut *self.told.latest.borrow_mut()
            && let TransferEvent::Sent { bytes, .. } = latest
        {
            let before = *bytes / STEP;
            *bytes += count as u64;
            if *bytes / STEP > before {
                self.told.events.emit(latest.clone().into());
            }
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
    fn every_piece_is_told_and_how_it_ended() {
        let heard = Heard::default();
        let told = Told::new(&heard);
        let write = |out: &mut dyn Write| (0..5).try_for_each(|_| out.write_all(&vec![0; 700_000]));
        told.layer("a:b", 3_500_000, &mut io::sink(), write).unwrap();
        told.layer("c:d", 9, &mut io::sink(), |_| Err(io::Error::other("gone"))).unwrap_err();
        told.awaits("a.io/app");
        drop(told);
        let heard = heard.0.lock().unwrap();
        let news = heard.iter().map(|event| match event {
            Event::Transfer(TransferEvent::Sent { what, bytes, .. }) => format!("{what} {bytes}"),
            Event::Transfer(TransferEvent::Awaited { what, .. }) => what.clone(),
            Event::Transfer(TransferEvent::Ended { arrived, .. }) => arrived.to_string(),
            other => panic!("{other:?}"),
        });
        let (one, two, wait) = ("layer 'a:b'", "layer 'c:d' 0", "the daemon to take 'a.io/app'");
        let told = [0, 1_400_000, 2_100_000, 3_500_000, 3_500_000].map(|bytes| format!("{one} {bytes}"));
        let rest = ["true", two, two, "false", wait, wait, "false"].map(str::to_owned);
        assert_eq!(news.collect::<Vec<_>>(), [&told[..], &rest[..]].concat());
    }
}
