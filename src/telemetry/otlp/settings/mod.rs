//! Where and how to send, as the standard variables `OTEL_EXPORTER_OTLP_*` and `OTEL_SDK_DISABLED` say.
//!
//! Clauses: OpenTelemetry's protocol exporter, "Configuration Options"; its common configuration (empty is unset, enums
//! in any case, 0 as no time limit); telemetry R38, R41. What is malformed is a warning that names the variable and what
//! to do, and never repeats the value: it may hold a credential. Where the value decides who gets the data, or
//! whether they may be read on the way, nothing is sent; where it does not, it counts as unset, as the clause has it.

mod endpoint;
mod headers;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

pub use endpoint::{Endpoint, path_tokens};
pub(super) use headers::decode;
pub use headers::{Headers, header_secrets};

use super::{Form, Signal};
use crate::model::env::Environment;

/// How long a request may take, unless somebody says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where signals go.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What goes to a collector at all.
    pub destinations: Vec<Destination>,
    /// What is wrong or not supported, a sentence each.
    pub warnings: Vec<String>,
}

/// Where one signal goes, and how.
#[derive(Clone, Debug)]
pub struct Destination {
    /// What is sent.
    pub signal: Signal,
    /// In which protocol.
    pub protocol: Protocol,
    /// To whom.
    pub endpoint: Endpoint,
    /// What is said with each request: credentials.
    pub headers: Headers,
    /// How long a request may take; none is for ever.
    pub timeout: Option<Duration>,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
    /// The file with the certificates to trust, instead of the system's.
    pub certificate: Option<PathBuf>,
    /// The files with the certificates that this client shows, and their key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Which settings have a variable for this signal alone.
    own: BTreeSet<&'static str>,
}

/// A protocol of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`
    HttpProtobuf,
    /// `http/json`
    HttpJson,
    /// `grpc`
    Grpc,
}

impl Protocol {
    /// How requests are written.
    pub fn form(self) -> Form {
        if self == Self::HttpJson { Form::Json } else { Form::Protobuf }
    }
}

impl Settings {
    /// Reads the variables for the signals that are to be sent.
    pub fn parse(env: &Environment, signals: &[Signal]) -> Self {
        let mut settings = Self::default();
        let disabled = Variable { name: "OTEL_SDK_DISABLED".to_owned(), env };
        if boolean(&disabled, &mut settings.warnings) {
            if !signals.is_empty() {
                let text = "nothing is sent to a collector: OTEL_SDK_DISABLED is true; unset it to send".to_owned();
                settings.warnings.push(text);
            }
            return settings;
        }
        for signal in signals {
            let mut warnings = Vec::new();
            match destination(env, *signal, &mut warnings) {
                Ok(destination) => settings.destinations.push(destination),
                Err(text) => warnings.push(format!("no {} are sent: {text}", signal.things())),
            }
            for warning in warnings {
                // What is wrong for both is said once.
                if !settings.warnings.contains(&warning) {
                    settings.warnings.push(warning);
                }
            }
        }
        settings
    }
}

impl Destination {
    /// What nobody may see: values of headers, and the address's query, its values alone too, and tokens in its path; as
    /// they are written, and decoded.
    pub fn secrets(&self) -> Vec<String> {
        self.headers.secrets().chain(self.endpoint.secrets()).filter(|secret| !secret.is_empty()).collect()
    }

    /// The variable that decides a setting, such as `PROTOCOL`, for this signal.
    pub fn variable(&self, setting: &str) -> String {
        variable(self.own.contains(setting).then_some(self.signal), setting)
    }

    /// The same destination for requests in another form; none where its protocol has no such form.
    pub fn speaking(&self, form: Form) -> Option<Self> {
        let protocol = match (self.protocol, form) {
            (Protocol::Grpc, Form::Json) => return None,
            (Protocol::Grpc, Form::Protobuf) => Protocol::Grpc,
            (_, Form::Protobuf) => Protocol::HttpProtobuf,
            (_, Form::Json) => Protocol::HttpJson,
        };
        Some(Self { protocol, ..self.clone() })
    }
}

/// A variable that is set to something.
struct Variable<'a> {
    name: String,
    env: &'a Environment,
}

impl Variable<'_> {
    /// Its text, without blanks around it; none where it is not set, or empty. Bytes that are no text stand for
    /// themselves as U+FFFD, which no value has.
    fn text(&self) -> Option<String> {
        let text = self.env.get(&self.name)?.to_string_lossy().trim().to_owned();
        if text.is_empty() { None } else { Some(text) }
    }
}

fn variable(signal: Option<Signal>, setting: &str) -> String {
    let signal = match signal {
        None => "",
        Some(Signal::Traces) => "TRACES_",
        Some(Signal::Logs) => "LOGS_",
    };
    format!("OTEL_EXPORTER_OTLP_{signal}{setting}")
}

const SETTINGS: &[&str] = &[
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
    "COMPRESSION",
    "ENDPOINT",
    "HEADERS",
    "INSECURE",
    "PROTOCOL",
    "TIMEOUT",
];

fn destination(env: &Environment, signal: Signal, warnings: &mut Vec<String>) -> Result<Destination, String> {
    let is_own = |setting: &str| Variable { name: variable(Some(signal), setting), env }.text().is_some();
    let own: BTreeSet<&'static str> = SETTINGS.iter().copied().filter(|setting| is_own(setting)).collect();
    let of = |setting: &str| Variable { name: variable(own.contains(setting).then_some(signal), setting), env };

    let protocol = protocol(&of("PROTOCOL"), warnings);
    let insecure = boolean(&of("INSECURE"), warnings);
    let endpoint = endpoint::of(&of("ENDPOINT"), signal, own.contains("ENDPOINT"), protocol, insecure)?;
    let file = |setting: &str| of(setting).text().map(PathBuf::from);
    let client = match (file("CLIENT_CERTIFICATE"), file("CLIENT_KEY")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(one_of_two(&of("CLIENT_CERTIFICATE"), &of("CLIENT_KEY"))),
        (None, Some(_)) => return Err(one_of_two(&of("CLIENT_KEY"), &of("CLIENT_CERTIFICATE"))),
    };
    Ok(Destination {
        signal,
        protocol,
        endpoint,
        headers: headers::of(&of("HEADERS"), warnings),
        timeout: timeout(&of("TIMEOUT"), warnings),
        gzip: compression(&of("COMPRESSION"), warnings),
        certificate: file("CERTIFICATE"),
        client,
        own,
    })
}

fn one_of_two(given: &Variable<'_>, missing: &Variable<'_>) -> String {
    format!("{} is set without {}; a client certificate needs both", given.name, missing.name)
}

fn protocol(variable: &Variable<'_>, warnings: &mut Vec<String>) -> Protocol {
    let Some(text) = variable.text() else { return Protocol::HttpProtobuf };
    match text.to_ascii_lowercase().as_str() {
        "http/protobuf" => Protocol::HttpProtobuf,
        "http/json" => Protocol::HttpJson,
        "grpc" => Protocol::Grpc,
        _ => {
            warnings.push(format!(
                "{} names no known protocol, so http/protobuf is spoken; set it to http/protobuf, http/json or grpc",
                variable.name
            ));
            Protocol::HttpProtobuf
        }
    }
}

fn timeout(variable: &Variable<'_>, warnings: &mut Vec<String>) -> Option<Duration> {
    let Some(text) = variable.text() else { return Some(DEFAULT_TIMEOUT) };
    match text.parse::<u64>() {
        Ok(0) => None,
        // Longer than any build: as good as none, and sums of it stay in range.
        Ok(milliseconds) if milliseconds > 86_400_000 => None,
        Ok(milliseconds) => Some(Duration::from_millis(milliseconds)),
        Err(_) => {
            warnings.push(format!(
                "{} is no number of milliseconds, so a request may take 10 s; set it to 10000, for example",
                variable.name
            ));
            Some(DEFAULT_TIMEOUT)
        }
    }
}

fn compression(variable: &Variable<'_>, warnings: &mut Vec<String>) -> bool {
    match variable.text().map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("none") => false,
        Some("gzip") => true,
        Some(_) => {
            warnings.push(format!(
                "{} names no supported compression, so there is none; set it to gzip or none",
                variable.name
            ));
            false
        }
    }
}

fn boolean(variable: &Variable<'_>, warnings: &mut Vec<String>) -> bool {
    match variable.text().map(|text| text.to_ascii_lowercase()).as_deref() {
        Some("true") => true,
        None | Some("false") => false,
        Some(_) => {
            warnings.push(format!("{} is neither true nor false and counts as false", variable.name));
            false
        }
    }
}

#[cfg(test)]
mod tests;
