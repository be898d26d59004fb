//! A registry on 127.0.0.1, for what layouts cannot show: cache images. It keeps everything in memory, remembers what
//! it was asked, and refuses on request.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

use super::sha256;

/// A registry in this process; it ends with it.
pub(crate) struct Registry {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By repository and digest.
    blobs: BTreeMap<(String, String), Vec<u8>>,
    /// By repository and tag or digest: media type and bytes.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    uploads: Vec<Vec<u8>>,
    seen: Vec<String>,
    /// Methods and parts of targets that are refused, the status for them, and how often still.
    refused: Vec<(&'static str, String, u16, usize)>,
    /// Bodies whose length is told as they go are refused with this status.
    chunks: Option<u16>,
    /// How long an upload takes.
    slowness: Duration,
    /// What `Authorization` must be.
    login: Option<String>,
}

struct Reply(u16, Vec<(&'static str, String)>, Vec<u8>);

impl Registry {
    /// Starts an empty one.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// The same for who gives this value of `Authorization`.
    pub(crate) fn with_login(login: &str) -> Self {
        let registry = Self::start();
        registry.state().login = Some(login.to_owned());
        registry
    }

    /// Its host and port.
    pub(crate) fn host(&self) -> &str {
        &self.address
    }

    /// The name of an image in it.
    pub(crate) fn image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }

    /// The requests since the last call, as `<METHOD> <target>`, without queries and pings.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.state().seen)
    }

    /// Answers requests of a method whose target has this text with a status, from now on.
    pub(crate) fn refuse(&self, method: &'static str, target: &str, status: u16) {
        self.refuse_times(method, target, status, usize::MAX);
    }

    /// The same, as often as is said.
    pub(crate) fn refuse_times(&self, method: &'static str, target: &str, status: u16, times: usize) {
        self.state().refused.push((method, target.to_owned(), status, times));
    }

    /// Answers requests that do not tell the length of their body with a status, from now on.
    pub(crate) fn refuse_chunks(&self, status: u16) {
        self.state().chunks = Some(status);
    }

    /// Takes its time with each upload from now on.
    pub(crate) fn slow_down(&self, slowness: Duration) {
        self.state().slowness = slowness;
    }

    /// Refuses nothing any more.
    pub(crate) fn relent(&self) {
        self.state().refused.clear();
    }

    /// The manifest of an image's tag `latest`, if it is there.
    pub(crate) fn manifest(&self, repository: &str) -> Option<Value> {
        let manifest = self.state().manifests.get(&(repository.to_owned(), "latest".to_owned())).cloned();
        manifest.map(|(_, bytes)| serde_json::from_slice(&bytes).unwrap())
    }

    /// The configuration of the same.
    pub(crate) fn config(&self, repository: &str) -> Value {
        let digest = self.manifest(repository).unwrap()["config"]["digest"].as_str().unwrap().to_owned();
        serde_json::from_slice(&self.state().blobs[&(repository.to_owned(), digest)]).unwrap()
    }

    /// Takes the image of an OCI layout, as its tag `latest`.
    pub(crate) fn push(&self, layout: &Path, repository: &str) {
        let read = |digest: &str| fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
        let json = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).unwrap() };
        let index = json(&fs::read(layout.join("index.json")).unwrap());
        let digest = index["manifests"][0]["digest"].as_str().unwrap();
        let bytes = read(digest);
        let manifest = json(&bytes);
        let mut state = self.state();
        for descriptor in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
            let digest = descriptor["digest"].as_str().unwrap();
            state.blobs.insert((repository.to_owned(), digest.to_owned()), read(digest));
        }
        let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
        for name in [digest, "latest"] {
            state.manifests.insert((repository.to_owned(), name.to_owned()), (media_type.clone(), bytes.clone()));
        }
    }

    /// Says whether a repository has a blob.
    pub(crate) fn has_blob(&self, repository: &str, digest: &str) -> bool {
        self.state().blobs.contains_key(&(repository.to_owned(), digest.to_owned()))
    }

    /// Says whether there is a manifest of this digest.
    pub(crate) fn has_manifest(&self, repository: &str, digest: &str) -> bool {
        self.state().manifests.contains_key(&(repository.to_owned(), digest.to_owned()))
    }

    /// The digest of the manifest of an image's tag `latest`.
    pub(crate) fn digest(&self, repository: &str) -> String {
        sha256(&self.state().manifests[&(repository.to_owned(), "latest".to_owned())].1)
    }

    /// Loses the blob of a layer of an image, or changes its bytes.
    pub(crate) fn spoil(&self, repository: &str, layer: usize, bytes: Option<&[u8]>) {
        let manifest = self.manifest(repository).unwrap();
        let key = (repository.to_owned(), manifest["layers"][layer]["digest"].as_str().unwrap().to_owned());
        match bytes {
            Some(bytes) => self.state().blobs.insert(key, bytes.to_vec()),
            None => self.state().blobs.remove(&key),
        };
    }

    /// Puts another blob in the place of a layer; the manifest names it.
    pub(crate) fn replace(&self, repository: &str, layer: usize, bytes: &[u8]) {
        let mut manifest = self.manifest(repository).unwrap();
        let digest = sha256(bytes);
        manifest["layers"][layer]["digest"] = digest.clone().into();
        manifest["layers"][layer]["size"] = bytes.len().into();
        let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let mut state = self.state();
        state.blobs.insert((repository.to_owned(), digest), bytes.to_vec());
        for name in [sha256(&manifest), "latest".to_owned()] {
            state.manifests.insert((repository.to_owned(), name), (media_type.clone(), manifest.clone()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn serve(mut stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut input = BufReader::new(stream.try_clone().ok()?);
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
        let body = match headers.get("content-length").and_then(|text| text.parse().ok()) {
            Some(length) => read_body(&mut input, length)?,
            None if headers.contains_key("transfer-encoding") => read_chunks(&mut input)?,
            None => Vec::new(),
        };
        if target.contains("/blobs/uploads/") && !body.is_empty() {
            let slowness = state.lock().ok()?.slowness;
            std::thread::sleep(slowness);
        }
        let Reply(status, headers, body) = {
            let mut state = state.lock().ok()?;
            match state.chunks.filter(|_| headers.contains_key("transfer-encoding")) {
                Some(status) => empty(status),
                None => state.answer(&method, &target, &headers, body),
            }
        };
        let mut text = format!("HTTP/1.1 {status} -\r\n");
        for (name, value) in headers {
            text.extend([name, ": ", &value, "\r\n"]);
        }
        if status != 204 {
            text.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        stream.write_all((text + "\r\n").as_bytes()).ok()?;
        if method != "HEAD" {
            stream.write_all(&body).ok()?;
        }
    }
}

fn read_body(input: &mut impl Read, length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(body)
}

/// Reads a body whose length is told as it goes.
fn read_chunks(input: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
        body.extend(read_body(input, length)?);
        input.read_line(&mut line).ok()?;
        if length == 0 {
            return Some(body);
        }
    }
}

fn empty(status: u16) -> Reply {
    Reply(status, Vec::new(), Vec::new())
}

impl State {
    fn answer(&mut self, method: &str, target: &str, headers: &BTreeMap<String, String>, body: Vec<u8>) -> Reply {
        if self.login.as_ref().is_some_and(|login| headers.get("authorization") != Some(login)) {
            return Reply(401, vec![("WWW-Authenticate", "Basic realm=\"test\"".to_owned())], Vec::new());
        }
        if target == "/v2/" {
            return empty(200);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.seen.push(format!("{method} {path}"));
        let refuses =
            |(m, t, _, times): &&mut (&str, String, _, usize)| *m == method && *times > 0 && path.contains(t.as_str());
        if let Some((.., status, times)) = self.refused.iter_mut().find(refuses) {
            *times -= 1;
            return empty(*status);
        }
        let rest = path.strip_prefix("/v2/").unwrap_or_default();
        if let Some((repository, identifier)) = rest.split_once("/manifests/") {
            return self.manifest(method, repository, identifier, headers, body);
        }
        if let Some((repository, upload)) = rest.split_once("/blobs/uploads/") {
            return self.upload(method, repository, upload, query, body);
        }
        let (repository, digest) = rest.split_once("/blobs/").unwrap_or_default();
        match self.blobs.get(&(repository.to_owned(), digest.to_owned())) {
            Some(bytes) => Reply(200, Vec::new(), bytes.clone()),
            None => empty(404),
        }
    }

    fn manifest(
        &mut self,
        method: &str,
        repository: &str,
        identifier: &str,
        headers: &BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> Reply {
        let key = |identifier: &str| (repository.to_owned(), identifier.to_owned());
        match method {
            "PUT" => {
                let entry = (headers.get("content-type").cloned().unwrap_or_default(), body);
                self.manifests.insert(key(&sha256(&entry.1)), entry.clone());
                self.manifests.insert(key(identifier), entry);
                empty(201)
            }
            "DELETE" => {
                self.manifests.retain(|(in_repository, _), (_, bytes)| {
                    in_repository != repository || sha256(bytes) != identifier
                });
                empty(202)
            }
            _ => match self.manifests.get(&key(identifier)) {
                None => empty(404),
                Some((media_type, bytes)) => {
                    let headers = vec![("Content-Type", media_type.clone()), ("Docker-Content-Digest", sha256(bytes))];
                    Reply(200, headers, bytes.clone())
                }
            },
        }
    }

    /// Mounts the blob that a query asks for, if its repository has it.
    fn mount(&mut self, repository: &str, query: &str) -> Option<String> {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(key, _)| *key == name)?;
            Some(value.replace("%3A", ":").replace("%2F", "/"))
        };
        let digest = value("mount")?;
        let bytes = self.blobs.get(&(value("from")?, digest.clone()))?.clone();
        self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
        Some(digest)
    }

    fn upload(&mut self, method: &str, repository: &str, upload: &str, query: &str, body: Vec<u8>) -> Reply {
        let at = |id: usize| vec![("Location", format!("/v2/{repository}/blobs/uploads/{id}"))];
        let id = upload.parse().unwrap_or(0);
        match method {
            "POST" => {
                if let Some(digest) = self.mount(repository, query) {
                    return Reply(201, vec![("Docker-Content-Digest", digest)], Vec::new());
                }
                self.uploads.push(Vec::new());
                Reply(202, at(self.uploads.len() - 1), Vec::new())
            }
            "PATCH" => {
                self.uploads[id].extend(body);
                Reply(202, at(id), Vec::new())
            }
            "PUT" => {
                self.uploads[id].extend(body);
                let digest = query.split_once("digest=").unwrap_or_default().1.replace("%3A", ":");
                let bytes = self.uploads[id].clone();
                assert_eq!(sha256(&bytes), digest, "a blob is what it says");
                self.blobs.insert((repository.to_owned(), digest), bytes);
                empty(201)
            }
            _ => empty(204),
        }
    }
}
