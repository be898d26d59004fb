//! Takes the escape sequences of terminals out of a stream (ECMA-48): colours, titles, links.

/// The state between two pieces of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Escapes(State);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// Behind ESC, and bytes between it and the last one.
    Escape,
    /// Behind `ESC [`: to the first byte of `@` to `~`.
    Control,
    /// Behind `ESC ]`, `ESC P`, `ESC X`, `ESC ^` or `ESC _`: to BEL or `ESC \`.
    String,
    /// The same, behind ESC.
    StringEscape,
}

impl State {
    /// The state behind a byte that is no ESC.
    fn next(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Escape, b'[') => Self::Control,
            (Self::Escape, 0x20..=0x2f) | (Self::Control, 0x20..=0x3f) => self,
            (Self::String, 0x07) | (Self::StringEscape, b'\\') => Self::Text,
            (Self::Escape, b']' | b'P' | b'X' | b'^' | b'_') | (Self::String | Self::StringEscape, _) => Self::String,
            (Self::Text | Self::Escape | Self::Control, _) => Self::Text,
        }
    }
}

impl Escapes {
    /// The next bytes without sequences. None reaches beyond its line, whatever a program forgot.
    pub fn strip(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            let before = self.0;
            self.0 = match (byte, before) {
                (b'\n', _) => State::Text,
                (0x1b, State::String | State::StringEscape) => State::StringEscape,
                (0x1b, _) => State::Escape,
                _ => before.next(byte),
            };
            if byte == b'\n' || (self.0, before) == (State::Text, State::Text) {
                kept.push(byte);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_and_text_stays_wherever_a_write_ends() {
        let text = "a\x1b[31;1mb\x1b[0mc\x1b(Bd\x1b]8;;http://x\x1b\\link\x1b]8;;\x07 e\x1b7f\r\x1b[2Kg\x1b]0;open\nü";
        let whole = Escapes::default().strip(text.as_bytes());
        assert_eq!(String::from_utf8(whole.clone()).unwrap(), "abcdlink ef\rg\nü");
        let mut escapes = Escapes::default();
        let pieces: Vec<u8> = text.as_bytes().chunks(1).flat_map(|piece| escapes.strip(piece)).collect();
        assert_eq!(pieces, whole);
    }
}
