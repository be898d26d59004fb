//! Lines of a stream, wherever its writes end.

use super::Part;

/// The longest body of a record in bytes of output; longer lines come in parts.
pub const LONGEST: usize = 64 * 1024;

/// A line without its end, or a part of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its bytes, which may be no UTF-8.
    pub bytes: &'a [u8],
    /// When the first of them came, in nanoseconds.
    pub time: u64,
    /// Which part it is, of a line in parts.
    pub part: Option<Part>,
}

/// Cuts one stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The line that is not complete: at most [`LONGEST`], and a carriage return that may belong to its end.
    open: Vec<u8>,
    time: u64,
    /// How many parts of it were told already.
    parts: u32,
}

impl Lines {
    /// Takes bytes that came at `time`, and tells each line that ends in them. An end is `\n` or `\r\n`.
    pub fn push(&mut self, mut bytes: &[u8], time: u64, line: &mut dyn FnMut(Piece<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (text, rest) = (&bytes[..end], &bytes[end + 1..]);
            let whole = without_return(text);
            if self.open.is_empty() && self.parts == 0 && whole.len() <= LONGEST {
                line(Piece { bytes: whole, time, part: None });
            } else {
                self.extend(text, time, line);
                self.close(true, line);
            }
            bytes = rest;
        }
        self.extend(bytes, time, line);
    }

    /// Tells the last line, which has no end.
    pub fn finish(&mut self, line: &mut dyn FnMut(Piece<'_>)) {
        if self.open.len() > LONGEST {
            // The carriage return was none of a line's end.
            self.cut(line);
        }
        if !self.open.is_empty() || self.parts > 0 {
            self.close(false, line);
        }
    }

    fn extend(&mut self, mut bytes: &[u8], time: u64, line: &mut dyn FnMut(Piece<'_>)) {
        while let Some(first) = bytes.first() {
            if self.open.is_empty() {
                self.time = time;
            }
            let room = match LONGEST.checked_sub(self.open.len()) {
                Some(0) if *first == b'\r' => 1,
                None | Some(0) => {
                    self.cut(line);
                    self.time = time;
                    continue;
                }
                Some(room) => room,
            };
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.open.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Tells as much of the open line as one record holds.
    fn cut(&mut self, line: &mut dyn FnMut(Piece<'_>)) {
        let end = character_end(&self.open[..LONGEST]);
        self.parts += 1;
        let part = Some(Part { number: self.parts, is_last: false });
        line(Piece { bytes: &self.open[..end], time: self.time, part });
        self.open.drain(..end);
    }

    fn close(&mut self, has_end: bool, line: &mut dyn FnMut(Piece<'_>)) {
        let bytes = if has_end { without_return(&self.open) } else { &self.open };
        let part = (self.parts > 0).then_some(Part { number: self.parts + 1, is_last: true });
        line(Piece { bytes, time: self.time, part });
        self.open.clear();
        self.parts = 0;
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where the last character that is complete ends; what is no UTF-8 is cut anywhere.
fn character_end(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let start = (tail..bytes.len()).rev().find(|index| bytes[*index] & 0xc0 != 0x80);
    let is_open = |start: &usize| {
        std::str::from_utf8(&bytes[*start..])
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    start.filter(is_open).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Told = Vec<(Vec<u8>, u64, Option<(u32, bool)>)>;

    /// What is told of writes that come one after the other, at 1, 2, 3, ...
    fn told(writes: &[&[u8]]) -> Told {
        let (mut lines, mut told) = (Lines::default(), Told::new());
        let mut keep = |piece: Piece<'_>| {
            told.push((piece.bytes.to_vec(), piece.time, piece.part.map(|part| (part.number, part.is_last))));
        };
        (1..).zip(writes).for_each(|(time, write)| lines.push(write, time, &mut keep));
        lines.finish(&mut keep);
        told
    }

    fn whole(text: &str, time: u64) -> (Vec<u8>, u64, Option<(u32, bool)>) {
        (text.into(), time, None)
    }

    #[test]
    fn r33_a_line_has_the_time_of_its_first_byte_and_no_end() {
        assert_eq!(
            told(&[b"a", b"b\nc\r\n", b"\r", b"\n\n"]),
            [whole("ab", 1), whole("c", 2), whole("", 3), whole("", 4)]
        );
    }

    #[test]
    fn r33_a_line_without_end_is_told_at_the_end() {
        assert_eq!(told(&[b"50%\r", b"100%\r"]), [whole("50%\r100%\r", 1)]);
        assert_eq!(told(&[]), []);
    }

    #[test]
    fn r33_long_lines_come_in_parts_that_end_between_characters() {
        let long = format!("x{}", "ü".repeat(LONGEST));
        for size in [1000, LONGEST, 200_000] {
            let writes: Vec<&[u8]> = long.as_bytes().chunks(size).chain([&b"\nnext\n"[..]]).collect();
            let told = told(&writes);
            let (parts, next) = told.split_at(told.len() - 1);
            let numbers: Vec<_> = parts.iter().map(|(.., part)| part.unwrap()).collect();
            assert_eq!(numbers, [(1, false), (2, false), (3, true)]);
            assert!(parts.iter().all(|(text, ..)| std::str::from_utf8(text).is_ok() && text.len() <= LONGEST));
            assert_eq!(parts.iter().flat_map(|(text, ..)| text.clone()).collect::<Vec<_>>(), long.as_bytes());
            assert_eq!((next[0].0.as_slice(), next[0].2), (&b"next"[..], None));
        }
    }

    #[test]
    fn a_line_of_the_greatest_length_is_whole() {
        let line = "x".repeat(LONGEST);
        assert_eq!(told(&[line.as_bytes(), b"\n"]), [whole(&line, 1)]);
        assert_eq!(told(&[format!("{line}\n").as_bytes()]), [whole(&line, 1)]);
    }

    #[test]
    fn r33_a_line_of_the_greatest_length_is_whole_also_with_a_carriage_return_in_its_end() {
        let line = "x".repeat(LONGEST);
        for writes in
            [vec![format!("{line}\r\n")], vec![line.clone(), "\r\n".into()], vec![format!("{line}\r"), "\n".into()]]
        {
            let writes: Vec<&[u8]> = writes.iter().map(String::as_bytes).collect();
            assert_eq!(told(&writes), [whole(&line, 1)]);
        }
        // Where no end follows, the carriage return is a byte like others.
        for (last, rest) in [("\r", "\r"), ("\ry", "\ry"), ("\r\r\n", "\r"), ("\ry\n", "\ry")] {
            let told = told(&[line.as_bytes(), last.as_bytes()]);
            let told: Vec<_> = told.iter().map(|(bytes, _, part)| (&bytes[..], *part)).collect();
            assert_eq!(told, [(line.as_bytes(), Some((1, false))), (rest.as_bytes(), Some((2, true)))], "{last:?}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_cut_anywhere() {
        let told = told(&[&vec![0x80; LONGEST + 1]]);
        assert_eq!(told.iter().map(|(bytes, ..)| bytes.len()).collect::<Vec<_>>(), [LONGEST, 1]);
    }
}
