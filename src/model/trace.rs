//! The context of a trace, as `CNB_OTEL_TRACEPARENT` carries it.
//!
//! Clause: W3C Trace Context, traceparent header; telemetry R19.

use std::fmt;

/// A place in a trace: the trace, the span that is the parent, and the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, never all zero.
    pub trace_id: [u8; 16],
    /// 8 bytes, never all zero.
    pub span_id: [u8; 8],
    /// All eight bits as received; bit 0 is "sampled".
    pub flags: u8,
}

/// The text is no traceparent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is no W3C traceparent")]
pub struct TraceContextError;

impl TraceContext {
    /// Reads `<version>-<trace id>-<parent id>-<flags>`, strictly.
    ///
    /// # Errors
    /// Other lengths, upper case, blanks, zero ids, version `ff`, or version `00` with more behind the flags. A later
    /// version may have more fields behind another `-`.
    pub fn parse(text: &str) -> Result<Self, TraceContextError> {
        let bytes = text.as_bytes();
        let [version] = hex(bytes.get(..2).ok_or(TraceContextError)?)?;
        let field = |from: usize, to: usize| bytes.get(from..to).ok_or(TraceContextError);
        if field(2, 3)? != b"-" || field(35, 36)? != b"-" || field(52, 53)? != b"-" || version == 0xff {
            return Err(TraceContextError);
        }
        match bytes.get(55) {
            None => {}
            Some(b'-') if version != 0 => {}
            Some(_) => return Err(TraceContextError),
        }
        let context =
            Self { trace_id: hex(field(3, 35)?)?, span_id: hex(field(36, 52)?)?, flags: hex::<1>(field(53, 55)?)?[0] };
        if context.trace_id == [0; 16] || context.span_id == [0; 8] {
            return Err(TraceContextError);
        }
        Ok(context)
    }

    /// Says whether the sampled bit is set.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceContext {
    /// Prints a version 00 traceparent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

fn hex<const N: usize>(digits: &[u8]) -> Result<[u8; N], TraceContextError> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Ok(b - b'0'),
        b'a'..=b'f' => Ok(b - b'a' + 10),
        _ => Err(TraceContextError),
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return Err(TraceContextError);
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn prints_what_it_read() {
        assert_eq!(TraceContext::parse(VALID).unwrap().to_string(), VALID);
    }

    #[test]
    fn a_later_version_may_have_more_fields() {
        assert!(TraceContext::parse(&format!("cc{}-what-the-future-brings", &VALID[2..])).is_ok());
        assert!(TraceContext::parse(&format!("{VALID}-x")).is_err());
        assert!(TraceContext::parse(&format!("cc{}.x", &VALID[2..])).is_err());
    }
}
