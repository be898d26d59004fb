//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`. Flags and Dockerfiles have them.

use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration that is not negative.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() || text.is_empty() {
        let (whole, behind) = digits(rest);
        let (fraction, behind) = behind.strip_prefix('.').map_or(("", behind), digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(Duration::from_nanos(whole.checked_mul(*nanoseconds)?))?;
        // Digits behind the ninth are less than a nanosecond of a second, and little more of an hour.
        let kept = &fraction[..fraction.len().min(9)];
        if !kept.is_empty() {
            let power = 10_u128.pow(u32::try_from(kept.len()).ok()?);
            let part = kept.parse::<u128>().ok()? * u128::from(*nanoseconds) / power;
            total = total.checked_add(Duration::from_nanos(u64::try_from(part).ok()?))?;
        }
        rest = behind;
    }
    Some(total)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}
