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
        toml::Value::Datetime(datetime) => Value::Datetime(datetime.to_string()),
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

/// Brings a TOML date or time into the RFC 3339 form that labels have: a missing date is year 0, a missing time is
/// midnight, a missing zone is UTC.
fn instant(text: &str) -> String {
    let Ok(datetime) = text.parse::<toml::value::Datetime>() else { return text.to_owned() };
    let date = datetime.date.map_or_else(|| "0000-01-01".to_owned(), |date| date.to_string());
    let time = datetime.time.map_or_else(
        || "00:00:00".to_owned(),
        |time| {
            let clock = format!("{:02}:{:02}:{:02}", time.hour, time.minute, time.second.unwrap_or(0));
            match format!("{:09}", time.nanosecond.unwrap_or(0)).trim_end_matches('0') {
                "" => clock,
                fraction => format!("{clock}.{fraction}"),
            }
        },
    );
    let offset = match datetime.offset {
        None | Some(toml::value::Offset::Z | toml::value::Offset::Custom { minutes: 0 }) => "Z".to_owned(),
        Some(offset) => offset.to_string(),
    };
    format!("{date}T{time}{offset}")
}
