//! Takes terminal escape sequences out of a stream of bytes, also where a write ends inside one.

/// The state between two pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strip {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// Behind ESC.
    Escape,
    /// Behind `ESC [`: ends at the first byte of `@` to `~`.
    Sequence,
}

impl Strip {
    /// Passes the next bytes on without CSI sequences (`ESC [ ... letter`). An ESC that starts none is kept, with the byte
    /// behind it: so nothing that is left starts one, and taking them out again takes nothing more.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text | State::Escape, 0x1b) => State::Escape,
                (State::Text, _) => {
                    kept.push(byte);
                    State::Text
                }
                (State::Escape, b'[') => State::Sequence,
                (State::Escape, _) => {
                    kept.extend([0x1b, byte]);
                    State::Text
                }
                (State::Sequence, b'@'..=b'~') => State::Text,
                (State::Sequence, _) => State::Sequence,
            };
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_and_text_stays_wherever_a_write_ends() {
        let text = b"a\x1b[31;1mb\x1b[0mc\x1b(d";
        let whole = Strip::default().pass(text);
        assert_eq!(whole, b"abc\x1b(d");
        let mut strip = Strip::default();
        let pieces: Vec<u8> = text.chunks(1).flat_map(|piece| strip.pass(piece)).collect();
        assert_eq!(pieces, whole);
    }

    #[test]
    fn what_is_left_is_left_by_another_pass_too() {
        for text in [&b"hun\x1b\x1b[1m[2mter2"[..], b"\x1b\x1b\x1b[m\x1b[m[m", b"\x1b(\x1b[1mB"] {
            let once = Strip::default().pass(text);
            assert_eq!(Strip::default().pass(&once), once, "{text:?}");
        }
    }
}
