//! A registry in this process, for tests: small, strict, and faulty on request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::image::sha256;

/// A registry on 127.0.0.1.
pub(super) struct FakeRegistry {
    /// `127.0.0.1:<port>`
    pub(super) address: String,
    state: Arc<Mutex<State>>,
}

/// How the registry wants to be told who asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Auth {
    #[default]
    None,
    /// The value that `Authorization` must have.
    Basic(String),
    /// Tokens of its own token server, for whoever asks with this `Authorization`, or any.
    Bearer(Option<String>),
}

/// What goes wrong, once for each time it is put in.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The answer is this status, with headers and a body.
    Answer(u16, &'static str, String),
    /// The answer is this status at once with a body, whatever is still sent, and the connection ends.
    Refuse(u16, &'static str),
    /// The answer is this status, and sends to the same place of a server, or of this one.
    Redirect(u16, String),
    /// Only so many bytes of the request's body are kept, and the answer says so.
    Keep(usize),
    /// The right thing is done, but this is what the answer says of the bytes that are there.
    Range(&'static str),
    /// The connection ends without an answer.
    Hangup,
    /// The body of the answer ends after some bytes.
    CutAnswer(usize),
    /// The body of the request is read so far, kept by an upload, and the connection ends.
    CutRequest(usize),
    /// The body of the request is read so far, this status is the answer, if any, and nothing more happens.
    Stall(usize, Option<u16>),
    /// Some of the request's body is read, and after this time the rest.
    Pause(Duration),
    /// The right thing is done, and the connection ends before the answer.
    LoseAnswer,
}

/// A request that was made.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) blobs: BTreeMap<(String, String), Vec<u8>>,
    pub(super) manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    pub(super) auth: Auth,
    pub(super) tokens: u32,
    /// The last token that is no longer good.
    pub(super) expired: u32,
    pub(super) mounts: bool,
    /// Blobs are behind a redirect to this address.
    pub(super) redirect: Option<String>,
    faults: Vec<(String, String, Fault)>,
    seen: Vec<Seen>,
    uploads: Vec<Vec<u8>>,
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn reply(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: Vec::new() }
}

impl Reply {
    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    fn error(status: u16, code: &str) -> Self {
        reply(status).body(format!(r#"{{"errors":[{{"code":"{code}","message":"{}"}}]}}"#, code.to_lowercase()))
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A certificate that signs itself, for nobody who looks at it.
fn certificate() -> Arc<ServerConfig> {
    let pem = include_str!("../daemon/tests/certificates/daemon.pem");
    let key = include_str!("../daemon/tests/certificates/daemon-key.pem");
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

impl FakeRegistry {
    pub(super) fn start() -> Self {
        Self::listen(|stream| Box::new(stream))
    }

    /// One behind TLS.
    pub(super) fn start_tls() -> Self {
        let config = certificate();
        Self::listen(move |stream| Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)))
    }

    fn listen(wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { mounts: true, ..State::default() }));
        let (shared, own) = (state.clone(), address.clone());
        thread::spawn(move || {
            // Ends with the test's process; a connection ends with its client.
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, own, stream) = (shared.clone(), own.clone(), wrap(stream));
                thread::spawn(move || serve(stream, &state, &own));
            }
        });
        Self { address, state }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts a fault in, for the next request of a method (or `*`) whose target has this text.
    pub(super) fn fault(&self, method: &str, target: &str, fault: Fault) {
        self.state().faults.push((method.to_owned(), target.to_owned(), fault));
    }

    /// The requests since the last call, as `<METHOD> <target>`, without pings.
    pub(super) fn seen(&self) -> Vec<String> {
        let seen = std::mem::take(&mut self.state().seen);
        seen.iter()
            .filter(|seen| seen.target != "/v2/")
            .map(|seen| format!("{} {}", seen.method, seen.target))
            .collect()
    }

    /// How many uploads were begun.
    pub(super) fn uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// The requests since the last call, whole.
    pub(super) fn requests(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }

    pub(super) fn name(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }
}

fn serve(stream: Box<dyn Stream>, state: &Mutex<State>, own: &str) -> Option<()> {
    let mut input = BufReader::new(stream);
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            input.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let chunked = headers.get("transfer-encoding").is_some_and(|value| value == "chunked");
        let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let fault = {
            let mut state = state.lock().ok()?;
            // Blobs come in any order, and a short one has nothing to cut.
            let fits = |fault: &Fault| match fault {
                Fault::CutRequest(count) | Fault::Stall(count, _) => chunked || *count <= length,
                _ => true,
            };
            let index = state
                .faults
                .iter()
                .position(|(m, t, fault)| (m == "*" || *m == method) && target.contains(t) && fits(fault));
            index.map(|index| state.faults.remove(index).2)
        };
        if let Some(Fault::Refuse(status, body)) = fault {
            state.lock().ok()?.seen.push(Seen { method, target, headers, body: Vec::new() });
            // It ends with the connection.
            let text = format!("HTTP/1.1 {status} -\r\nConnection: close\r\n\r\n{body}");
            input.get_mut().write_all(text.as_bytes()).ok()?;
            input.get_mut().flush().ok()?;
            return None;
        }
        if let Some(Fault::Pause(duration)) = fault {
            input.fill_buf().ok()?;
            thread::sleep(duration);
        }
        let most = match fault {
            Some(Fault::CutRequest(count) | Fault::Stall(count, _)) => count,
            _ => usize::MAX,
        };
        let body = if chunked { read_chunks(&mut input, most)? } else { read_body(&mut input, length.min(most))? };
        let mut seen = Seen { method, target, headers, body };
        if let Some(Fault::Stall(_, status)) = fault {
            state.lock().ok()?.seen.push(seen);
            if let Some(status) = status {
                input
                    .get_mut()
                    .write_all(format!("HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n").as_bytes())
                    .ok()?;
                input.get_mut().flush().ok()?;
            }
            // Until the test's process ends.
            loop {
                thread::park();
            }
        }
        let answer = {
            let mut state = state.lock().ok()?;
            state.seen.push(seen.clone());
            match &fault {
                Some(Fault::Hangup) => return None,
                Some(Fault::CutRequest(_)) => {
                    if let Some(upload) = upload_of(&seen.target).and_then(|id| state.uploads.get_mut(id)) {
                        upload.extend(&seen.body);
                    }
                    return None;
                }
                Some(Fault::Answer(status, header, body)) => {
                    let (name, value) = header.split_once(": ").unwrap_or(("x-none", ""));
                    reply(*status).with(name, value).body(body.clone())
                }
                Some(Fault::Redirect(status, server)) => {
                    reply(*status).with("Location", format!("{server}{}", seen.target))
                }
                Some(Fault::Keep(count)) => {
                    seen.body.truncate(*count);
                    state.answer(&seen, own)
                }
                Some(Fault::Range(range)) => {
                    let mut answer = state.answer(&seen, own);
                    answer.headers.retain(|(name, _)| name != "Range");
                    answer.with("Range", *range)
                }
                _ => state.answer(&seen, own),
            }
        };
        if matches!(fault, Some(Fault::LoseAnswer)) {
            return None;
        }
        let mut text = format!("HTTP/1.1 {} -\r\n", answer.status);
        for (name, value) in &answer.headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        if answer.status != 204 && !answer.headers.iter().any(|(name, _)| name == "Content-Length") {
            text.extend(["Content-Length: ", &answer.body.len().to_string(), "\r\n"]);
        }
        text.push_str("\r\n");
        let out = input.get_mut();
        out.write_all(text.as_bytes()).ok()?;
        if seen.method != "HEAD" {
            if let Some(Fault::CutAnswer(count)) = fault {
                out.write_all(&answer.body[..count]).ok()?;
                return None;
            }
            out.write_all(&answer.body).ok()?;
        }
        out.flush().ok()?;
    }
}

fn read_body(input: &mut impl Read, length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(body)
}

/// Reads a body that comes in chunks, but no more than `most` bytes; a client that goes away ends it.
fn read_chunks(input: &mut impl BufRead, most: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while body.len() < most {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
        body.extend(read_body(input, length)?);
        input.read_line(&mut line).ok()?;
        if length == 0 {
            break;
        }
    }
    body.truncate(most);
    Some(body)
}

fn upload_of(target: &str) -> Option<usize> {
    target.split_once("/blobs/uploads/")?.1.split('?').next()?.parse().ok()
}

impl State {
    fn answer(&mut self, seen: &Seen, own: &str) -> Reply {
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let given = seen.headers.get("authorization").cloned();
        if path == "/token" {
            return self.token(given.as_ref(), seen);
        }
        let challenge = match &self.auth {
            Auth::None => None,
            Auth::Basic(value) => (given.as_ref() != Some(value)).then(|| "Basic realm=\"fake\"".to_owned()),
            Auth::Bearer(_) => {
                let number = given.and_then(|text| text.strip_prefix("Bearer token-")?.parse::<u32>().ok());
                let good = number.is_some_and(|number| number > self.expired && number <= self.tokens);
                (!good).then(|| format!("Bearer realm=\"http://{own}/token\",service=\"fake\""))
            }
        };
        if let Some(challenge) = challenge {
            return Reply::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge);
        }
        if path == "/v2/" {
            return reply(200);
        }
        let Some(rest) = path.strip_prefix("/v2/") else { return reply(404) };
        if let Some((repository, identifier)) = rest.split_once("/manifests/") {
            return self.manifest(seen, repository, identifier);
        }
        if let Some((repository, id)) = rest.split_once("/blobs/uploads/") {
            return self.upload(seen, repository, id, query, own);
        }
        if let Some((repository, digest)) = rest.split_once("/blobs/") {
            return self.blob(seen, repository, digest);
        }
        reply(404)
    }

    fn token(&mut self, given: Option<&String>, seen: &Seen) -> Reply {
        if let Auth::Bearer(Some(wanted)) = &self.auth
            && given != Some(wanted)
            && !(seen.method == "POST" && String::from_utf8_lossy(&seen.body).contains(wanted))
        {
            return Reply::error(401, "UNAUTHORIZED");
        }
        self.tokens += 1;
        reply(200).body(format!(r#"{{"token":"token-{}","expires_in":300}}"#, self.tokens))
    }

    fn manifest(&mut self, seen: &Seen, repository: &str, identifier: &str) -> Reply {
        if seen.method == "PUT" {
            let digest = sha256::digest(&seen.body).to_string();
            let entry = (seen.headers.get("content-type").cloned().unwrap_or_default(), seen.body.clone());
            // Strict: what a manifest names must be there.
            let json: serde_json::Value = serde_json::from_slice(&seen.body).unwrap_or_default();
            let blobs = json["layers"].as_array().into_iter().flatten().chain([&json["config"]]);
            for blob in blobs {
                let digest = blob["digest"].as_str().unwrap_or_default().to_owned();
                let found = self.blobs.get(&(repository.to_owned(), digest)).map(|bytes| bytes.len() as u64);
                if found.is_none() || found != blob["size"].as_u64() {
                    return Reply::error(400, "MANIFEST_BLOB_UNKNOWN");
                }
            }
            self.manifests.insert((repository.to_owned(), digest.clone()), entry.clone());
            self.manifests.insert((repository.to_owned(), identifier.to_owned()), entry);
            return reply(201).with("Docker-Content-Digest", digest);
        }
        if seen.method == "DELETE" {
            let is_it = |bytes: &[u8]| sha256::digest(bytes).as_str() == identifier;
            self.manifests.retain(|(in_repository, _), (_, bytes)| in_repository != repository || !is_it(bytes));
            return reply(202);
        }
        match self.manifests.get(&(repository.to_owned(), identifier.to_owned())) {
            None => Reply::error(404, "MANIFEST_UNKNOWN"),
            Some((media_type, bytes)) => reply(200)
                .with("Content-Type", media_type)
                .with("Docker-Content-Digest", sha256::digest(bytes).to_string())
                .body(bytes.clone()),
        }
    }

    fn blob(&self, seen: &Seen, repository: &str, digest: &str) -> Reply {
        let Some(bytes) = self.blobs.get(&(repository.to_owned(), digest.to_owned())) else {
            return Reply::error(404, "BLOB_UNKNOWN");
        };
        if let Some(address) = &self.redirect
            && seen.method == "GET"
        {
            return reply(307)
                .with("Location", format!("http://{address}/v2/{repository}/blobs/{digest}?signature=s3cret"));
        }
        let range =
            seen.headers.get("range").and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        match range {
            Some(start) if start < bytes.len() => reply(206).body(&bytes[start..]),
            _ => reply(200).body(bytes.clone()),
        }
    }

    fn upload(&mut self, seen: &Seen, repository: &str, id: &str, query: &str, own: &str) -> Reply {
        let parameter = |name: &str| {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
            Some(value.replace("%3A", ":").replace("%2F", "/"))
        };
        if seen.method == "POST" {
            if let (Some(from), Some(digest)) = (parameter("from"), parameter("mount"))
                && self.mounts
                && let Some(bytes) = self.blobs.get(&(from, digest.clone())).cloned()
            {
                self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
                return reply(201).with("Docker-Content-Digest", digest);
            }
            self.uploads.push(Vec::new());
            let id = self.uploads.len() - 1;
            return reply(202).with("Location", format!("/v2/{repository}/blobs/uploads/{id}?_state=s3cret"));
        }
        let Some(upload) = id.parse::<usize>().ok().and_then(|id| self.uploads.get_mut(id)) else {
            return Reply::error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        // An address of its own, with another spelling of the host.
        let next = format!("http://{own}/v2/{repository}/blobs/uploads/{id}?_state=s3cret");
        match seen.method.as_str() {
            "DELETE" => reply(204),
            "PATCH" => {
                let start = seen.headers.get("content-range").and_then(|text| text.split('-').next()?.parse().ok());
                if start.unwrap_or(0) != upload.len() {
                    return reply(416);
                }
                upload.extend(&seen.body);
                reply(202).with("Location", next).with("Range", format!("0-{}", upload.len().saturating_sub(1)))
            }
            "PUT" => {
                upload.extend(&seen.body);
                let digest = parameter("digest").unwrap_or_default();
                if sha256::digest(upload).as_str() != digest {
                    return Reply::error(400, "DIGEST_INVALID");
                }
                let bytes = upload.clone();
                self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
                reply(201).with("Docker-Content-Digest", digest)
            }
            _ => reply(204).with("Location", next).with("Range", format!("0-{}", upload.len().saturating_sub(1))),
        }
    }
}
