//! Where and how to send, as the standard variables `OTEL_EXPORTER_OTLP_*` and `OTEL_SDK_DISABLED` say.
//!
//! Clauses: OpenTelemetry's protocol exporter, "Configuration Options"; its common configuration (empty is unset, enums
//! in any case, 0 as no time limit); telemetry R38, R41. What is malformed is a warning that names the variable and what
//! to do, and never repeats the value: it may hold a credential. Where the value decides who gets the data, or
//! whether they may be read on the way, nothing is sent; where it does not, it counts as unset, as the clause has it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::{Form, Signal};
use crate::model::env::Environment;
use crate::net::decoded;

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

/// The address of a collector. What is printed of it has no query, which may hold a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https`; else `http`.
    pub tls: bool,
    /// `host[:port]`
    pub authority: String,
    /// From the first slash on, without a query. It has no meaning for gRPC.
    pub path: String,
    query: String,
}

impl Endpoint {
    /// The whole address, for the wire alone.
    pub fn secret_text(&self) -> String {
        if self.query.is_empty() { self.to_string() } else { format!("{self}?{}", self.query) }
    }

    /// Reads `http[s]://host[:port][/path][?query]`.
    fn parse(text: &str) -> Result<Self, Flaw> {
        let (scheme, rest) = text.split_once("://").ok_or(Flaw::NoScheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(Flaw::NoScheme),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(Flaw::User);
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = if path.is_empty() { "/" } else { path };
        let endpoint = Self { tls, authority: authority.to_owned(), path: path.to_owned(), query: query.to_owned() };
        endpoint.is_sound().then_some(endpoint).ok_or(Flaw::Malformed)
    }

    fn is_sound(&self) -> bool {
        let uri = self.secret_text().parse::<ureq::http::Uri>();
        let port = match self.authority.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.parse::<u16>().is_ok_and(|port| port != 0),
            _ => true,
        };
        port && uri.is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
    }

    /// The address for a signal, of a base for all.
    fn below(mut self, signal: Signal) -> Self {
        if !self.path.ends_with('/') {
            self.path.push('/');
        }
        self.path.push_str(match signal {
            Signal::Traces => "v1/traces",
            Signal::Logs => "v1/logs",
        });
        self
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let parts = self.path.split('/').map(|part| if is_token(part) { "[REDACTED]" } else { part });
        write!(f, "{scheme}://{}{}", self.authority, parts.collect::<Vec<_>>().join("/"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    NoScheme,
    User,
    Malformed,
}

/// What the value of a header has in it that is secret: the whole, what stands behind a scheme such as `Bearer`, and what
/// either says where it is base64 of a text such as `user:password`: that text, and both halves.
pub fn header_secrets(value: &str) -> Vec<String> {
    let behind = value.split_once(' ').map(|(_, rest)| rest.trim());
    let tokens = [Some(value), behind].into_iter().flatten();
    tokens.flat_map(|token| [login(token).unwrap_or_default(), vec![token.to_owned()]].concat()).collect()
}

/// A text in base64 that has two halves, and these.
fn login(token: &str) -> Option<Vec<String>> {
    const INDIFFERENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engines = [alphabet::STANDARD, alphabet::URL_SAFE].map(|alphabet| GeneralPurpose::new(&alphabet, INDIFFERENT));
    let bytes = engines.iter().find_map(|engine| engine.decode(token).ok())?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))?;
    let (user, password) = text.split_once(':')?;
    Some(vec![user.to_owned(), password.to_owned(), text.clone()])
}

/// The parts of an address's path that are most likely tokens: some collectors know their users by them.
pub fn path_tokens(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| is_token(part))
}

fn is_token(part: &str) -> bool {
    part.len() >= 16 && part.contains(|letter: char| letter.is_ascii_digit())
}

/// Headers of requests. They are credentials, so they have no text of their own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Names in lower case, and values, for the wire and for who must not show them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn secrets(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(_, value)| header_secrets(value))
    }

    /// Reads `name=value,name=value`, values percent-encoded or plain. Also the positions, from 1, of what is no header.
    fn parse(text: &str) -> (Self, Vec<usize>) {
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut bad = Vec::new();
        for (index, entry) in text.split(',').enumerate() {
            if entry.trim().is_empty() {
                continue;
            }
            match header(entry) {
                Some((name, value)) => {
                    headers.retain(|(other, _)| *other != name);
                    headers.push((name, value));
                }
                None => bad.push(index + 1),
            }
        }
        (Self(headers), bad)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} headers", self.0.len())
    }
}

/// Headers that say how a request is sent, which is not the user's to say.
const RESERVED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn header(entry: &str) -> Option<(String, String)> {
    let (name, value) = entry.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let value = decode(value.trim())?;
    // Also what would be a header and a half: line ends.
    let sound = ureq::http::HeaderName::from_bytes(name.as_bytes()).is_ok()
        && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !RESERVED.contains(&name.as_str())
        && !name.starts_with("grpc-");
    sound.then_some((name, value))
}

/// Takes the percent-encoding out of a value. None where it is none, or what it stands for is no text.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
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
        let query = &self.endpoint.query;
        let values = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let query = [query.as_str()].into_iter().chain(values);
        let query = query.flat_map(|text| [text.to_owned(), decoded(text.as_bytes())]);
        let path = path_tokens(&self.endpoint.path).flat_map(|text| [text.to_owned(), decoded(text.as_bytes())]);
        self.headers.secrets().chain(query).chain(path).filter(|secret| !secret.is_empty()).collect()
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
    let endpoint = endpoint(&of("ENDPOINT"), signal, own.contains("ENDPOINT"), protocol, insecure)?;
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
        headers: headers(&of("HEADERS"), warnings),
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

fn endpoint(
    variable: &Variable<'_>,
    signal: Signal,
    is_own: bool,
    protocol: Protocol,
    insecure: bool,
) -> Result<Endpoint, String> {
    let default = if protocol == Protocol::Grpc { "http://localhost:4317" } else { "http://localhost:4318" };
    let given = variable.text();
    let mut text = given.clone().unwrap_or_else(|| default.to_owned());
    // Without a scheme it is a host and its port, which only gRPC knows.
    if protocol == Protocol::Grpc && !text.contains("://") {
        let scheme = if insecure { "http" } else { "https" };
        text = format!("{scheme}://{text}");
    }
    let endpoint = Endpoint::parse(&text).map_err(|flaw| match flaw {
        Flaw::NoScheme => {
            format!("{} has to begin with http:// or https://, such as {default}", variable.name)
        }
        Flaw::User => format!(
            "{} has a user name or password in it, which is not supported; put credentials into {}",
            variable.name,
            variable.name.replace("ENDPOINT", "HEADERS")
        ),
        Flaw::Malformed => format!("{} is no address of a collector; one is {default}", variable.name),
    })?;
    let is_base = !is_own && protocol != Protocol::Grpc;
    Ok(if is_base { endpoint.below(signal) } else { endpoint })
}

fn headers(variable: &Variable<'_>, warnings: &mut Vec<String>) -> Headers {
    let Some(text) = variable.text() else { return Headers::default() };
    let (headers, bad) = Headers::parse(&text);
    if !bad.is_empty() {
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        warnings.push(format!(
            "{}: number {} of its entries is no header and is left out; write name=value,name=value with values \
             percent-encoded; headers about the message itself, such as content-type, cannot be set",
            variable.name,
            bad.join(", ")
        ));
    }
    headers
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
