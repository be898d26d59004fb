//! What a terminal can show: its width, colours, and characters beyond ASCII.

use std::fmt::Write as _;

/// Where the waterfall is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Columns.
    pub width: usize,
    /// Understands colour escapes.
    pub colour: bool,
    /// Shows more than ASCII.
    pub unicode: bool,
}

/// How something stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Not at all.
    Plain,
    /// A heading.
    Bold,
    /// Of less weight.
    Dim,
    /// Something failed.
    Red,
    /// Something was saved.
    Green,
    /// Something is not finished.
    Yellow,
    /// What the build waited for.
    Cyan,
    /// What it did beside that.
    Blue,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
            Self::Blue => "34",
        }
    }
}

impl Terminal {
    /// Puts a text in a style, where there are colours.
    pub fn paint(self, style: Style, text: &str) -> String {
        if !self.colour || style == Style::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("\u{1b}[{}m{text}\u{1b}[0m", style.code())
    }

    /// Chooses between a character and its fallback in ASCII.
    pub fn either(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }

    /// A text from a file as it may be shown: it cannot move the cursor, and is ASCII where it must be.
    pub fn clean(self, text: &str) -> String {
        let show = |character: char| match character {
            // Besides controls: marks that turn the direction of writing, which could make a line read as another.
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => None,
            character if character.is_control() => Some('?'),
            character if !self.unicode && !character.is_ascii() => Some('?'),
            character => Some(character),
        };
        text.chars().filter_map(show).collect()
    }

    /// A duration for a person.
    pub fn duration(self, nanoseconds: u64) -> String {
        duration(nanoseconds).replace('µ', self.either("µ", "u"))
    }

    /// A bar for a share of something, of at most `columns`.
    pub fn share(self, part: u64, whole: u64, columns: usize) -> String {
        let filled = u128::from(part) * columns as u128 / u128::from(whole.max(1));
        let filled = usize::try_from(filled).unwrap_or(columns).min(columns);
        self.paint(Style::Cyan, &self.either("█", "#").repeat(filled))
    }

    /// Cuts a clean text to some columns, and says so with an ellipsis. It is cut in the middle: names of layers and
    /// buildpacks differ at their ends.
    pub fn fit(self, text: &str, columns: usize) -> String {
        if width(text) <= columns {
            return text.to_owned();
        }
        let Some(room) = columns.checked_sub(1) else { return String::new() };
        let front = take(text.chars(), room.div_ceil(2));
        let back: String = take(text.chars().rev(), room / 2).chars().rev().collect();
        format!("{front}{}{back}", self.either("…", "~"))
    }

    /// Puts painted parts on as few lines as there can be, each line behind `indent`.
    pub fn wrap(self, parts: &[String], separator: &str, indent: &str) -> String {
        let mut lines = String::new();
        let mut used = 0;
        for part in parts {
            let columns = painted_width(part);
            if used > 0 && used + width(separator) + columns > self.width {
                lines.push('\n');
                used = 0;
            }
            lines.push_str(if used == 0 { indent } else { separator });
            lines.push_str(part);
            used += columns + width(if used == 0 { indent } else { separator });
        }
        lines
    }
}

/// As many characters as there is room for.
fn take(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    let fits = |character: &char| {
        used += character_width(*character);
        used <= columns
    };
    characters.take_while(fits).collect()
}

/// The columns of a text with escapes for its styles.
fn painted_width(text: &str) -> usize {
    let mut pieces = text.split('\u{1b}');
    let first = pieces.next().map_or(0, width);
    first + pieces.map(|piece| piece.split_once('m').map_or(0, |(_, text)| width(text))).sum::<usize>()
}

/// The columns of a clean text.
pub fn width(text: &str) -> usize {
    text.chars().map(character_width).sum()
}

/// The columns of a character: wide ones of East Asia and pictures take two, marks that combine take none.
fn character_width(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1_f300..=0x1_faff
        | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    }
}

/// A text with blanks behind it up to some columns.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

fn duration(nanoseconds: u64) -> String {
    let microseconds = (nanoseconds + 500) / 1000;
    let milliseconds = (nanoseconds + 500_000) / 1_000_000;
    let seconds = (nanoseconds + 500_000_000) / 1_000_000_000;
    match nanoseconds {
        0..=999_499 => format!("{microseconds} µs"),
        999_500..=999_499_999 => format!("{milliseconds} ms"),
        999_500_000..=9_994_999_999 => format!("{} s", decimal((nanoseconds + 5_000_000) / 10_000_000, 2)),
        9_995_000_000..=59_949_999_999 => format!("{} s", decimal((nanoseconds + 50_000_000) / 100_000_000, 1)),
        _ if seconds < 3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A size for a person, in decimal units.
pub fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    let mut scale: u64 = 1;
    // Half of the last digit shown is rounded up, so 999 950 is already a megabyte.
    while unit + 1 < units.len() && count / scale >= 1000 - u64::from(unit > 0 && count % scale >= scale / 20 * 19) {
        unit += 1;
        scale *= 1000;
    }
    if unit == 0 {
        return format!("{count} B");
    }
    let tenths = (u128::from(count) * 10 + u128::from(scale) / 2) / u128::from(scale);
    if tenths >= 1000 {
        return format!("{} {}", tenths / 10, units[unit]);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

fn decimal(number: u64, digits: u32) -> String {
    let scale = 10_u64.pow(digits);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{}.{:0width$}", number / scale, number % scale, width = digits as usize);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Terminal = Terminal { width: 80, colour: false, unicode: true };

    #[test]
    fn durations_have_three_digits() {
        let cases = [
            (0, "0 µs"),
            (999_499, "999 µs"),
            (999_500, "1 ms"),
            (340_000_000, "340 ms"),
            (999_500_000, "1.00 s"),
            (9_994_999_999, "9.99 s"),
            (9_995_000_000, "10.0 s"),
            (59_949_999_999, "59.9 s"),
            (59_950_000_000, "1m 00s"),
            (185_000_000_000, "3m 05s"),
            (3_600_000_000_000, "1h 00m"),
            (u64::MAX - 500_000_000, "5124095h 34m"),
        ];
        for (nanoseconds, text) in cases {
            assert_eq!(duration(nanoseconds), text);
        }
    }

    #[test]
    fn sizes_are_decimal() {
        let cases = [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_250_000, "1.3 MB"), (250_000_000, "250 MB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(u64::MAX), "18.4 EB");
    }

    #[test]
    fn a_name_cannot_move_the_cursor_or_turn_a_line_around() {
        assert_eq!(PLAIN.clean("a\u{1b}[2Jb\u{9b}c\nd\u{202e}e"), "a?[2Jb?c?de");
        assert_eq!(Terminal { unicode: false, ..PLAIN }.clean("für"), "f?r");
    }

    #[test]
    fn parts_go_to_the_next_line_where_they_must() {
        let narrow = Terminal { width: 10, colour: true, unicode: true };
        let parts = [narrow.paint(Style::Red, "four"), "four".to_owned(), "much longer than that".to_owned()];
        assert_eq!(narrow.wrap(&parts, ", ", ""), "\u{1b}[31mfour\u{1b}[0m, four\nmuch longer than that");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(width("日本x"), 5);
        assert_eq!(PLAIN.fit("日本語", 5), "日…語");
        assert_eq!(PLAIN.fit("日本語", 4), "日…");
        assert_eq!(PLAIN.fit("restore samples/rust:target", 16), "restore …:target");
        assert_eq!(PLAIN.fit("abc", 3), "abc");
        assert_eq!(PLAIN.fit("abcd", 0), "");
    }
}
