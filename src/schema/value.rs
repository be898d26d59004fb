//! Free-form values on their way between TOML, the model and JSON.
//!
//! Integers stay integers, and a date or time becomes a string in JSON (policy P37).

use super::Error;
use super::json::{self, Json};
use crate::model::value::{Table, Value};

/// Takes a TOML value.
pub(super) fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Integer(number) => Value::Int(number),
        toml::Value::Float(number) => Value::Float(number),
        toml::Value::String(text) => Value::String(text),
        toml::Value::Datetime(datetime) => Value::Datetime(in_full(datetime)),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(from_toml).collect()),
        toml::Value::Table(table) => Value::Table(table_from_toml(table)),
    }
}

/// Takes a TOML table.
pub(super) fn table_from_toml(table: toml::Table) -> Table {
    table.into_iter().map(|(key, value)| (key, from_toml(value))).collect()
}

/// Takes a JSON value. A number without fraction and exponent is an integer if it has 64 bits.
pub(super) fn from_json(value: Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(flag),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Int(integer),
            // Every number of serde_json is a 64-bit integer or float.
            None => number.as_f64().map_or(Value::Null, Value::Float),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::Array(items.into_iter().map(from_json).collect()),
        Json::Object(object) => Value::Table(object.into_iter().map(|(key, value)| (key, from_json(value))).collect()),
    }
}

/// Makes a JSON value.
///
/// # Errors
/// A number is infinite or not a number.
pub(super) fn to_json(value: &Value) -> Result<Json, Error> {
    match non_finite(value) {
        Some(number) => Err(Error(format!("json: unsupported value: {}", json::non_finite(number)))),
        None => Ok(to_json_or_null(value)),
    }
}

/// Makes a JSON object.
///
/// # Errors
/// A number is infinite or not a number.
pub(super) fn table_to_json(table: &Table) -> Result<Json, Error> {
    let entries = table.iter().map(|(key, value)| Ok((key.clone(), to_json(value)?)));
    entries.collect::<Result<serde_json::Map<_, _>, _>>().map(Json::Object)
}

/// Makes a JSON value in which numbers that JSON cannot hold are `null`.
pub(super) fn to_json_or_null(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => Json::from(*flag),
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::String(text) => Json::from(text.as_str()),
        Value::Datetime(text) => Json::from(instant(text)),
        Value::Array(items) => Json::Array(items.iter().map(to_json_or_null).collect()),
        Value::Table(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), to_json_or_null(value))).collect())
        }
    }
}

/// Finds a number that JSON cannot hold.
fn non_finite(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) if !number.is_finite() => Some(*number),
        Value::Array(items) => items.iter().find_map(non_finite),
        Value::Table(table) => table.values().find_map(non_finite),
        _ => None,
    }
}

/// Prints a TOML date or time with its seconds, in the shortest fraction, and with `Z` where there is no offset.
fn in_full(datetime: toml::value::Datetime) -> String {
    use toml::value::Offset;

    let date = datetime.date.map(|date| date.to_string());
    let time = datetime.time.map(|time| {
        let clock = format!("{:02}:{:02}:{:02}", time.hour, time.minute, time.second.unwrap_or(0));
        match format!("{:09}", time.nanosecond.unwrap_or(0)).trim_end_matches('0') {
            "" => clock,
            fraction => format!("{clock}.{fraction}"),
        }
    });
    let offset = match datetime.offset {
        None => String::new(),
        Some(Offset::Z | Offset::Custom { minutes: 0 }) => "Z".to_owned(),
        Some(offset) => offset.to_string(),
    };
    match (date, time) {
        (Some(date), Some(time)) => format!("{date}T{time}{offset}"),
        (date, time) => date.or(time).unwrap_or_default(),
    }
}

/// Brings a TOML date or time into the RFC 3339 form that labels have: a missing date is year 0, a missing time is
/// midnight, a missing zone is UTC.
fn instant(text: &str) -> String {
    let Ok(datetime) = text.parse::<toml::value::Datetime>() else { return text.to_owned() };
    match (datetime.date, datetime.offset) {
        (None, _) => format!("0000-01-01T{}Z", in_full(datetime)),
        (_, Some(_)) => in_full(datetime),
        (Some(_), None) if datetime.time.is_none() => format!("{}T00:00:00Z", in_full(datetime)),
        (Some(_), None) => format!("{}Z", in_full(datetime)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_json_of_toml_as_the_reference_does() {
        let table = table_from_toml(
            r"
            d1 = 1979-05-27T07:32:00Z
            d2 = 1979-05-27T00:32:00.999990-07:00
            d3 = 1979-05-27T07:32:00
            d4 = 1979-05-27
            d5 = 07:32:00.5
            d6 = 1979-05-27 07:32Z
            d7 = 1979-05-27T07:32:00+00:00
            d8 = 07:32
            f = 1.0
            i = 3
            nest = [[{a = 1}]]
            sub.deep.x = 1
            "
            .parse()
            .unwrap(),
        );
        assert_eq!(
            json::render(&table_to_json(&table).unwrap()),
            concat!(
                r#"{"d1":"1979-05-27T07:32:00Z","d2":"1979-05-27T00:32:00.99999-07:00","d3":"1979-05-27T07:32:00Z","#,
                r#""d4":"1979-05-27T00:00:00Z","d5":"0000-01-01T07:32:00.5Z","d6":"1979-05-27T07:32:00Z","#,
                r#""d7":"1979-05-27T07:32:00Z","d8":"0000-01-01T07:32:00Z","f":1,"i":3,"nest":[[{"a":1}]],"#,
                r#""sub":{"deep":{"x":1}}}"#
            )
        );
    }

    #[test]
    fn an_integer_stays_one_and_a_float_too_unless_json_cannot_tell() {
        let read = |text: &str| from_json(serde_json::from_str(text).unwrap());
        assert_eq!(read("3"), Value::Int(3));
        assert_eq!(read("3.0"), Value::Float(3.0));
        assert_eq!(read("3e2"), Value::Float(300.0));
        assert_eq!(read("9223372036854775807"), Value::Int(i64::MAX));
        assert_eq!(read("9223372036854775808"), Value::Float(9_223_372_036_854_775_808.0));
    }

    #[test]
    fn refuses_numbers_that_json_cannot_hold() {
        let value = Value::Array(vec![Value::Table(Table::from([("x".to_owned(), Value::Float(f64::INFINITY))]))]);
        assert_eq!(to_json(&value), Err(Error("json: unsupported value: +Inf".to_owned())));
        assert_eq!(to_json(&Value::Float(f64::NAN)), Err(Error("json: unsupported value: NaN".to_owned())));
    }
}
