//! What a collector answers, whoever it is: nothing in it is trusted, and odd answers are told, never an error.
//!
//! Clauses: OTLP specification, "Full Success", "Partial Success", "Failures"; telemetry R39. Its words are given as they
//! came; [`super::words`] makes them fit to be told.

use serde_json::Value as Json;

use super::wire::{Value, fields};
use super::{Accepted, Form};

/// How much of an answer is read, in bytes. Those of OTLP are a few words.
pub(super) const LONGEST: u64 = 64 * 1024;

/// What the answer to a request says that was taken: nothing, how much was thrown away, or something odd.
pub(super) fn accepted(content_type: Option<&str>, asked: Form, body: &[u8]) -> Accepted {
    // A collector that says nothing is content.
    if body.is_empty() {
        return Accepted::default();
    }
    let found = match form(content_type, asked) {
        // One that is cut, for it had no end.
        _ if body.len() as u64 >= LONGEST => None,
        Ok(Form::Json) => partial_of_json(body),
        Ok(Form::Protobuf) => partial_of_protobuf(body),
        Err(()) => None,
    };
    found.unwrap_or_else(|| {
        let of = content_type.map(|text| format!("; its type is {text}")).unwrap_or_default();
        let text = format!("its answer is none of OTLP, so it may be no collector{of}");
        Accepted { rejected: 0, message: Some(text) }
    })
}

/// Why a request was not taken, in the collector's own words, if it has some.
pub(super) fn reason(content_type: Option<&str>, asked: Form, body: &[u8]) -> String {
    if body.len() as u64 >= LONGEST {
        // What is cut may end within a credential, whose beginning nobody would know.
        return String::new();
    }
    let found = match form(content_type, asked) {
        Ok(Form::Json) => serde_json::from_slice::<Json>(body)
            .ok()
            .and_then(|json| Some(json.get("message").or_else(|| json.get("error"))?.as_str()?.to_owned())),
        Ok(Form::Protobuf) => fields(body).and_then(|fields| text(&fields, 2)),
        Err(()) => None,
    };
    found.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

fn form(content_type: Option<&str>, asked: Form) -> Result<Form, ()> {
    let Some(content_type) = content_type else { return Ok(asked) };
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Form::Json),
        "application/x-protobuf" | "application/protobuf" => Ok(Form::Protobuf),
        _ => Err(()),
    }
}

fn partial_of_json(body: &[u8]) -> Option<Accepted> {
    let Json::Object(answer) = serde_json::from_slice(body).ok()? else { return None };
    let Some(partial) = answer.get("partialSuccess") else { return Some(Accepted::default()) };
    // In JSON, 64-bit numbers are texts; some write them as numbers.
    let number = |value: &Json| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let rejected = ["rejectedSpans", "rejectedLogRecords"].iter().find_map(|name| number(partial.get(name)?));
    let message = partial.get("errorMessage").and_then(Json::as_str).map(str::to_owned);
    Some(told(rejected.unwrap_or(0), message))
}

/// Both answers have the same form: the partial success is field 1, of which the count is 1 and the text 2.
fn partial_of_protobuf(body: &[u8]) -> Option<Accepted> {
    let answer = fields(body)?;
    let Some(partial) = answer.iter().find_map(|(number, value)| match (number, value) {
        (1, Value::Bytes(bytes)) => Some(fields(bytes)),
        _ => None,
    }) else {
        return Some(Accepted::default());
    };
    let partial = partial?;
    let rejected = partial.iter().find_map(|(number, value)| match (number, value) {
        // A signed number: below zero nobody can reject.
        (1, Value::Number(count)) => Some(u64::from(*count < 1 << 63) * *count),
        _ => None,
    });
    Some(told(rejected.unwrap_or(0), text(&partial, 2)))
}

fn text(fields: &[(u64, Value<'_>)], wanted: u64) -> Option<String> {
    fields.iter().find_map(|(number, value)| match value {
        Value::Bytes(bytes) if *number == wanted => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    })
}

fn told(rejected: u64, message: Option<String>) -> Accepted {
    Accepted { rejected, message: message.filter(|message| !message.is_empty()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<&str> = Some("application/json; charset=utf-8");
    const PROTOBUF: Option<&str> = Some("application/x-protobuf");

    fn partial(rejected: u64, message: &str) -> Accepted {
        told(rejected, Some(message.to_owned()))
    }

    #[test]
    fn partial_success_is_read_in_both_forms_whatever_was_asked_in() {
        let json = br#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too\nold"}}"#;
        assert_eq!(accepted(JSON, Form::Protobuf, json), partial(3, "too\nold"));
        let json = br#"{"partialSuccess":{"rejectedSpans":2}}"#;
        assert_eq!(accepted(None, Form::Json, json), partial(2, ""));
        let protobuf = b"\x0a\x07\x08\x03\x12\x03old";
        assert_eq!(accepted(PROTOBUF, Form::Json, protobuf), partial(3, "old"));
        assert_eq!(accepted(None, Form::Protobuf, protobuf), partial(3, "old"));
        // Minus one.
        let below = b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(accepted(PROTOBUF, Form::Protobuf, below), Accepted::default());
    }

    #[test]
    fn nothing_more_than_success_is_nothing() {
        for (content_type, body) in [
            (None, &b""[..]),
            (Some("text/html"), b""),
            (JSON, b"{}"),
            (JSON, b"{\"partialSuccess\":{}}"),
            (PROTOBUF, b"\x0a\x00"),
        ] {
            assert_eq!(accepted(content_type, Form::Protobuf, body), Accepted::default(), "{body:?}");
        }
    }

    #[test]
    fn odd_answers_are_told_and_taken_for_success() {
        for (content_type, body) in [
            (Some("text/html"), &b"<html>hello"[..]),
            (JSON, b"<html>"),
            (JSON, b"[]"),
            (PROTOBUF, b"<html>"),
            (PROTOBUF, b"\x0a\x7f"),
            (None, b"ok"),
        ] {
            let told = accepted(content_type, Form::Protobuf, body);
            assert_eq!(told.rejected, 0, "{body:?}");
            assert!(told.message.is_some_and(|text| text.contains("may be no collector")), "{body:?}");
        }
    }

    #[test]
    fn reasons_are_read_in_every_form() {
        assert_eq!(reason(JSON, Form::Protobuf, br#"{"code":3,"message":"bad\u001b[2J"}"#), "bad\u{1b}[2J");
        assert_eq!(reason(PROTOBUF, Form::Protobuf, b"\x08\x03\x12\x04nope"), "nope");
        assert_eq!(reason(Some("text/plain"), Form::Protobuf, b"not\r\nhere"), "not\r\nhere");
        assert_eq!(reason(PROTOBUF, Form::Protobuf, b""), "");
        assert_eq!(reason(None, Form::Json, &vec![b'x'; 64 * 1024]), "", "it has no end");
    }

    mod fuzz {
        use super::*;

        #[test]
        fn otlp_answer() {
            let seeds = [
                &b"\x0a\x07\x08\x03\x12\x03old"[..],
                b"\x08\x03\x12\x04nope",
                br#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"old"}}"#,
                br#"{"code":3,"message":"bad"}"#,
            ]
            .map(<[u8]>::to_vec);
            crate::fuzz::parser("otlp-answer", 512, &seeds, |bytes| {
                for content_type in [None, JSON, PROTOBUF, Some("text/html")] {
                    for form in [Form::Json, Form::Protobuf] {
                        assert!(accepted(content_type, form, bytes).message.is_none_or(|text| !text.is_empty()));
                        assert!(reason(content_type, form, bytes).len() <= 3 * bytes.len());
                    }
                }
            });
        }
    }
}
