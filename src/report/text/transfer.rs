//! Sentences of pushes and loads that take long: layer, bytes, rate.

use std::time::Duration;

/// A transfer as its reader sees it.
#[derive(Clone, Debug)]
pub(in crate::report) struct Shown {
    /// What is sent.
    pub what: String,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all, as far as that is known.
    pub size: Option<u64>,
    /// Bytes that went over the line.
    pub moved: u64,
    /// All is sent, and somebody is waited for.
    pub awaited: bool,
    /// How long it has taken.
    pub took: Duration,
}

/// How wide the bar itself is, in columns.
const BAR: u64 = 20;

/// The line for one that is on its way.
pub(in crate::report) fn sending(shown: &Shown) -> String {
    if shown.awaited {
        return format!("Waiting for {}: {:.1} s", shown.what, shown.took.as_secs_f64());
    }
    let of = shown.size.map(|size| format!(" of {}", megabytes(size))).unwrap_or_default();
    format!("Sending {}: {}{of}, {}", shown.what, megabytes(shown.bytes), rate(shown))
}

/// The line for one that has arrived.
pub(in crate::report) fn sent(shown: &Shown) -> String {
    let seconds = shown.took.as_secs_f64();
    let size = megabytes(shown.size.unwrap_or(shown.bytes));
    format!("Sent {}: {size} in {seconds:.1} s, {}", shown.what, rate(shown))
}

/// The bar for all that are on their way, cut to the width of the terminal; nothing if there are none. It is empty until
/// all sizes are known.
pub(in crate::report) fn bar(shown: &[Shown], columns: usize) -> String {
    let Some(first) = shown.first() else { return String::new() };
    let all = Shown {
        what: if shown.len() == 1 { first.what.clone() } else { format!("{} layers", shown.len()) },
        bytes: shown.iter().map(|one| one.bytes).sum(),
        size: shown.iter().map(|one| one.size).sum(),
        moved: shown.iter().map(|one| one.moved).sum(),
        awaited: shown.iter().all(|one| one.awaited),
        took: shown.iter().map(|one| one.took).max().unwrap_or_default(),
    };
    let filled = all.size.map_or(0, |size| BAR * all.bytes.min(size) / size.max(1));
    let filled = usize::try_from(filled).unwrap_or_default();
    let rest = usize::try_from(BAR).unwrap_or_default() - filled;
    let text = format!("[{}{}] {}", "#".repeat(filled), ".".repeat(rest), sending(&all));
    // A full last column would begin another line.
    text.chars().take(columns.saturating_sub(1)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "one decimal place is shown")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "one decimal place is shown")]
fn rate(shown: &Shown) -> String {
    format!("{:.1} MB/s", shown.moved as f64 / 1e6 / shown.took.as_secs_f64().max(0.001))
}
