//! Pushes and loads that take long, as a bar on a terminal, elsewhere as a line now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use super::text::{Line, transfer};
use crate::effect::events::{TransferEvent, WorkId};

/// What takes less than this is not worth a word.
const LONG: Duration = Duration::from_secs(2);
/// How often there is a line.
const LINES: Duration = Duration::from_secs(10);
/// How often the bar is drawn.
const DRAWS: Duration = Duration::from_millis(200);

/// What is on its way.
#[derive(Default)]
pub(super) struct Progress {
    /// How wide the terminal is, where there is one.
    columns: Option<usize>,
    transfers: BTreeMap<WorkId, Transfer>,
    drawn: Option<Duration>,
}

struct Transfer {
    what: String,
    bytes: u64,
    size: Option<u64>,
    /// How many bytes were sent: not those that were there when it began, and twice what was sent twice.
    moved: u64,
    /// All is sent.
    awaited: bool,
    began: Duration,
    told: Duration,
}

/// What is to be shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Show {
    /// A line that stays.
    pub line: Option<Line>,
    /// The bar from now on; without text there is none.
    pub bar: Option<String>,
}

impl Progress {
    /// On a terminal with so many columns, or elsewhere.
    pub(super) fn new(columns: Option<usize>) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Takes news at a time, counted from any moment.
    pub(super) fn hear(&mut self, event: &TransferEvent, now: Duration) -> Show {
        match event {
            TransferEvent::Sent { id, what, bytes, size } => self.sent(*id, what, *bytes, *size, now),
            TransferEvent::Awaited { id, what } => {
                self.transfer(*id, what, 0, now).awaited = true;
                self.due(now)
            }
            TransferEvent::Ended { id, arrived } => self.ended(*id, *arrived, now),
        }
    }

    fn sent(&mut self, id: WorkId, what: &str, bytes: u64, size: Option<u64>, now: Duration) -> Show {
        let transfer = self.transfer(id, what, bytes, now);
        // After a cut there may be fewer than before.
        transfer.moved += bytes.saturating_sub(transfer.bytes);
        (transfer.bytes, transfer.size) = (bytes, size);
        self.due(now)
    }

    /// What is on its way, which has so many bytes where it begins.
    fn transfer(&mut self, id: WorkId, what: &str, bytes: u64, now: Duration) -> &mut Transfer {
        self.transfers.entry(id).or_insert_with(|| Transfer {
            what: what.to_owned(),
            bytes,
            size: None,
            moved: 0,
            awaited: false,
            began: now,
            told: now,
        })
    }

    /// What is to be shown at a time, also where there is no news: a push may stall. There may be more at once.
    pub(super) fn due(&mut self, now: Duration) -> Show {
        if self.columns.is_some() {
            let is_due = self.drawn.is_none_or(|drawn| now.saturating_sub(drawn) >= DRAWS);
            return if is_due { Show { line: None, bar: self.bar(now) } } else { Show::default() };
        }
        let due = self.transfers.values_mut().find(|transfer| now.saturating_sub(transfer.told) >= LINES);
        let line = due.map(|transfer| {
            transfer.told = now;
            Line::info(transfer::sending(&transfer.shown(now)))
        });
        Show { line, bar: None }
    }

    /// Tells whether anything is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.transfers.is_empty()
    }

    fn ended(&mut self, id: WorkId, arrived: bool, now: Duration) -> Show {
        let Some(transfer) = self.transfers.remove(&id) else { return Show::default() };
        let is_told = arrived && transfer.is_long(now) && !transfer.awaited;
        let line = is_told.then(|| Line::info(transfer::sent(&transfer.shown(now))));
        Show { line, bar: self.bar(now) }
    }

    /// The bar for what takes long; `None` where nothing changes.
    fn bar(&mut self, now: Duration) -> Option<String> {
        let columns = self.columns?;
        let long = self.transfers.values().filter(|transfer| transfer.is_long(now));
        let shown: Vec<_> = long.map(|transfer| transfer.shown(now)).collect();
        if shown.is_empty() {
            return self.drawn.take().map(|_| String::new());
        }
        self.drawn = Some(now);
        Some(transfer::bar(&shown, columns))
    }
}

impl Transfer {
    fn is_long(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) > LONG
    }

    fn shown(&self, now: Duration) -> transfer::Shown {
        let took = now.saturating_sub(self.began);
        let Self { bytes, size, moved, awaited, .. } = *self;
        transfer::Shown { what: self.what.clone(), bytes, size, moved, awaited, took }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(id: WorkId, millions: u64) -> TransferEvent {
        TransferEvent::Sent { id, what: "layer 'a:b'".into(), bytes: millions * 1_000_000, size: Some(100_000_000) }
    }

    fn line(text: &str) -> Show {
        Show { line: Some(Line::info(text)), bar: None }
    }

    #[test]
    fn elsewhere_there_is_a_line_every_ten_seconds_and_at_the_end() {
        let (mut progress, id) = (Progress::new(None), WorkId::next());
        let mut hear = |event: &TransferEvent, second| progress.hear(event, Duration::from_secs(second));
        for second in 0..10 {
            assert_eq!(hear(&sent(id, second), 100 + second), Show::default());
        }
        assert_eq!(hear(&sent(id, 10), 110), line("Sending layer 'a:b': 10.0 MB of 100.0 MB, 1.0 MB/s"));
        assert_eq!(hear(&sent(id, 15), 119), Show::default());
        assert_eq!(hear(&sent(id, 40), 120), line("Sending layer 'a:b': 40.0 MB of 100.0 MB, 2.0 MB/s"));
        assert_eq!(hear(&sent(id, 100), 124), Show::default());
        let ended = TransferEvent::Ended { id, arrived: true };
        assert_eq!(hear(&ended, 125), line("Sent layer 'a:b': 100.0 MB in 25.0 s, 4.0 MB/s"));
        assert_eq!(hear(&ended, 126), Show::default());
    }

    #[test]
    fn of_what_is_still_compressed_bytes_and_rate_are_told_alone() {
        let unknown = |id, millions: u64| TransferEvent::Sent {
            id,
            what: "layer 'a:b'".into(),
            bytes: millions * 1_000_000,
            size: None,
        };
        let (mut progress, id) = (Progress::new(None), WorkId::next());
        let mut hear = |event: &TransferEvent, second| progress.hear(event, Duration::from_secs(second));
        hear(&unknown(id, 0), 0);
        assert_eq!(hear(&unknown(id, 30), 10), line("Sending layer 'a:b': 30.0 MB, 3.0 MB/s"));
        assert_eq!(hear(&sent(id, 80), 20), line("Sending layer 'a:b': 80.0 MB of 100.0 MB, 4.0 MB/s"));
        hear(&unknown(id, 90), 21);
        let ended = TransferEvent::Ended { id, arrived: true };
        assert_eq!(hear(&ended, 25), line("Sent layer 'a:b': 90.0 MB in 25.0 s, 3.6 MB/s"));

        let (mut progress, one, two) = (Progress::new(Some(80)), WorkId::next(), WorkId::next());
        progress.hear(&sent(one, 0), Duration::ZERO);
        progress.hear(&unknown(two, 0), Duration::ZERO);
        let shown = progress.hear(&unknown(two, 30), Duration::from_secs(3));
        let bar = "[....................] Sending 2 layers: 30.0 MB, 10.0 MB/s";
        assert_eq!(shown, Show { line: None, bar: Some(bar.into()) });
    }

    #[test]
    fn the_rate_is_of_what_was_sent_not_of_what_was_there() {
        let (mut progress, id) = (Progress::new(None), WorkId::next());
        let mut hear = |event: &TransferEvent, second| progress.hear(event, Duration::from_secs(second));
        hear(&sent(id, 60), 0);
        assert_eq!(hear(&sent(id, 80), 10), line("Sending layer 'a:b': 80.0 MB of 100.0 MB, 2.0 MB/s"));
        // Cut, and 10 MB of it have to be sent again.
        hear(&sent(id, 70), 11);
        assert_eq!(hear(&sent(id, 90), 20), line("Sending layer 'a:b': 90.0 MB of 100.0 MB, 2.0 MB/s"));
        hear(&sent(id, 100), 24);
        let ended = TransferEvent::Ended { id, arrived: true };
        assert_eq!(hear(&ended, 25), line("Sent layer 'a:b': 100.0 MB in 25.0 s, 2.0 MB/s"));
    }

    #[test]
    fn what_stalls_is_told_every_ten_seconds_too() {
        let (mut progress, one, two) = (Progress::new(None), WorkId::next(), WorkId::next());
        progress.hear(&sent(one, 20), Duration::ZERO);
        progress.hear(&sent(two, 0), Duration::ZERO);
        assert_eq!(progress.due(Duration::from_secs(9)), Show::default());
        for second in [10, 20] {
            let now = Duration::from_secs(second);
            let stalled = |done| line(&format!("Sending layer 'a:b': {done}.0 MB of 100.0 MB, 0.0 MB/s"));
            assert_eq!([progress.due(now), progress.due(now)], [stalled(20), stalled(0)]);
            assert_eq!(progress.due(now), Show::default());
        }

        let (mut progress, id) = (Progress::new(Some(80)), WorkId::next());
        progress.hear(&sent(id, 0), Duration::ZERO);
        let shown = progress.due(Duration::from_secs(3));
        let bar = "[....................] Sending layer 'a:b': 0.0 MB of 100.0 MB, 0.0 MB/s";
        assert_eq!(shown, Show { line: None, bar: Some(bar.into()) });
        assert_eq!(progress.due(Duration::from_secs(3)), Show::default());
    }

    #[test]
    fn a_wait_is_told_until_it_ends() {
        let awaited = |id| TransferEvent::Awaited { id, what: "the daemon to take 'a.io/app'".into() };
        let (mut progress, id) = (Progress::new(None), WorkId::next());
        assert_eq!(progress.hear(&awaited(id), Duration::from_secs(100)), Show::default());
        let told = line("Waiting for the daemon to take 'a.io/app': 10.0 s");
        assert_eq!(progress.due(Duration::from_secs(110)), told);
        let ended = TransferEvent::Ended { id, arrived: true };
        assert_eq!(progress.hear(&ended, Duration::from_secs(125)), Show::default());

        let (mut progress, id) = (Progress::new(Some(80)), WorkId::next());
        progress.hear(&awaited(id), Duration::ZERO);
        let bar = "[....................] Waiting for the daemon to take 'a.io/app': 3.0 s";
        assert_eq!(progress.due(Duration::from_secs(3)), Show { line: None, bar: Some(bar.into()) });
    }

    #[test]
    fn what_is_fast_or_fails_is_not_told() {
        for columns in [None, Some(80)] {
            let (mut progress, id) = (Progress::new(columns), WorkId::next());
            for (second, millions) in [(0, 0), (1, 50), (2, 100)] {
                assert_eq!(progress.hear(&sent(id, millions), Duration::from_secs(second)), Show::default());
            }
            let ended = TransferEvent::Ended { id, arrived: true };
            assert_eq!(progress.hear(&ended, Duration::from_secs(2)), Show::default());
        }
        let (mut progress, id) = (Progress::new(None), WorkId::next());
        progress.hear(&sent(id, 1), Duration::ZERO);
        let failed = TransferEvent::Ended { id, arrived: false };
        assert_eq!(progress.hear(&failed, Duration::from_secs(60)), Show::default());
    }

    #[test]
    fn on_a_terminal_there_is_one_bar_for_all_and_it_goes_with_the_last() {
        let (mut progress, one, two) = (Progress::new(Some(80)), WorkId::next(), WorkId::next());
        let mut hear = |event: &TransferEvent, millis| progress.hear(event, Duration::from_millis(millis));
        hear(&sent(one, 0), 0);
        hear(&sent(two, 0), 0);
        let bar = |text: &str| Show { line: None, bar: Some(text.into()) };
        let shown = hear(&sent(one, 30), 2500);
        assert_eq!(shown, bar("[###.................] Sending 2 layers: 30.0 MB of 200.0 MB, 12.0 MB/s"));
        assert_eq!(hear(&sent(two, 31), 2600), Show::default(), "not more often than eyes see");
        let shown = hear(&TransferEvent::Ended { id: two, arrived: true }, 4000);
        let left = "[######..............] Sending layer 'a:b': 30.0 MB of 100.0 MB, 7.5 MB/s";
        assert_eq!(shown.bar.as_deref(), Some(left));
        assert!(shown.line.is_some());
        let shown = hear(&TransferEvent::Ended { id: one, arrived: true }, 5000);
        assert_eq!((shown.line.is_some(), shown.bar.as_deref()), (true, Some("")));
    }

    #[test]
    fn a_bar_is_no_wider_than_the_terminal() {
        let (mut progress, id) = (Progress::new(Some(30)), WorkId::next());
        progress.hear(&sent(id, 0), Duration::ZERO);
        let shown = progress.hear(&sent(id, 0), Duration::from_secs(3));
        assert_eq!(shown.bar.as_deref(), Some("[....................] Sendin"));
    }
}
