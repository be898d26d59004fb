//! JSON as the reference writes it: compact, keys in the given order, `<`, `>`, `&`, U+2028 and U+2029 escaped, floats
//! without a needless fraction (policy P8).

use std::io;

use serde::Serialize;

/// A JSON value with its keys in the given order.
pub(super) type Json = serde_json::Value;

/// Writes a value without a newline.
pub(super) fn render<T: Serialize + ?Sized>(value: &T) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Formatter);
    // Wire types have string keys only and a vector takes every byte, so this cannot fail.
    let _ = value.serialize(&mut serializer);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The name of a number that JSON cannot hold.
pub(super) fn non_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

struct Formatter;

impl serde_json::ser::Formatter for Formatter {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(float(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut behind = rest[at..].chars();
            if let Some(special) = behind.next() {
                write!(writer, "\\u{:04x}", u32::from(special))?;
            }
            rest = behind.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Prints a finite float: plain between 1e-6 and 1e21, else with an exponent of as few digits as it needs.
fn float(value: f64) -> String {
    if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_html_and_javascript_could_take_for_their_own() {
        assert_eq!(
            render("q\"\\\t\n\u{1}\u{8}\u{7f}<&>\u{2028}é"),
            r#""q\"\\\t\n\u0001\b"#.to_owned() + "\u{7f}" + r#"\u003c\u0026\u003e\u2028é""#
        );
    }

    #[test]
    fn prints_floats_as_the_reference_does() {
        for (number, expected) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (1e30, "1e+30"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (123_456_789.0, "123456789"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(float(number), expected);
        }
    }
}
