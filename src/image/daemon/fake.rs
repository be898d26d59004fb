//! A docker daemon in this process, for tests: small, strict, and faulty on request.
//!
//! It keeps images as the store of a real one does: with graph drivers it takes an empty layer for one that it has above
//! the same layers and gives images as folders; with containerd it needs every byte and gives compressed blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::Stream;
use crate::archive::{FileWriter, for_each_file};
use crate::image::memory::diff_id;
use crate::image::sha256;
use crate::model::image::ImageConfig;
use crate::model::reference::Reference;
use crate::schema::image::render_config;

/// How a daemon keeps images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// Docker's graph drivers.
    Classic,
    /// Docker with containerd.
    Containerd,
    /// Needs every byte, and does not say so.
    Podman,
}

/// What goes wrong, once for each time it is put in.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The answer is this, and the connection ends, whether the request was read or not.
    Answer(u16, &'static str),
    /// The connection ends without an answer.
    Hangup,
    /// The connection ends after the right answer, without a word about it.
    Close,
    /// An image is not kept, and these are all the words about it.
    Say(&'static str),
    /// An image is kept without its labels.
    Strip,
    /// The answer comes after so long.
    Late(Duration),
    /// The answer never comes, and the connection stays.
    Silence,
}

/// A daemon.
pub(super) struct FakeDaemon {
    dir: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

pub(super) struct State {
    pub(super) store: Store,
    pub(super) api: Option<&'static str>,
    images: BTreeMap<String, Image>,
    tags: BTreeMap<String, String>,
    faults: Vec<(&'static str, Fault)>,
    seen: Vec<String>,
    /// The next image that is loaded loses its labels.
    strips: bool,
    /// Names and sizes of the members of every archive that was loaded.
    pub(super) members: Vec<(String, usize)>,
    /// Connections that were ever made.
    pub(super) connections: usize,
}

#[derive(Clone)]
struct Image {
    config: Vec<u8>,
    tars: Vec<Vec<u8>>,
}

impl FakeDaemon {
    pub(super) fn start(store: Store) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = State {
            store,
            api: Some("1.41"),
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
            faults: Vec::new(),
            seen: Vec::new(),
            strips: false,
            members: Vec::new(),
            connections: 0,
        };
        let daemon = Self { dir, state: Arc::new(Mutex::new(state)) };
        let listener = UnixListener::bind(daemon.socket()).unwrap();
        let state = Arc::clone(&daemon.state);
        // Ends with the test's process; a connection ends with its client.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                attend(Box::new(stream), &state);
            }
        });
        daemon
    }

    /// Listens for TCP too, and puts what `wrap` makes of it on each connection; gives the address.
    pub(super) fn listen<S: Stream + 'static>(
        &self,
        wrap: impl Fn(std::net::TcpStream) -> S + Send + 'static,
    ) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::clone(&self.state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                attend(Box::new(wrap(stream)), &state);
            }
        });
        address
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts a fault in, for the next request whose `<METHOD> <target>` has this text.
    pub(super) fn fault(&self, request: &'static str, fault: Fault) {
        self.state().faults.push((request, fault));
    }

    /// The requests since the last call, without pings.
    pub(super) fn seen(&self) -> Vec<String> {
        let seen = std::mem::take(&mut self.state().seen);
        seen.into_iter().filter(|seen| !seen.ends_with("/_ping")).collect()
    }

    /// Puts an image in.
    pub(super) fn insert(&self, name: &str, config: ImageConfig, tars: Vec<Vec<u8>>) {
        let config = ImageConfig { diff_ids: tars.iter().map(|tar| diff_id(tar)).collect(), ..config };
        let mut state = self.state();
        let id = state.keep(Image { config: render_config(&config), tars });
        state.tags.insert(full(name), id);
    }
}

fn full(name: &str) -> String {
    Reference::parse(name).unwrap().to_string()
}

fn attend(stream: Box<dyn Stream>, state: &Arc<Mutex<State>>) {
    let state = Arc::clone(state);
    state.lock().unwrap().connections += 1;
    thread::spawn(move || serve(&mut BufReader::new(stream), &state));
}

struct Reply {
    status: u16,
    body: Vec<u8>,
}

fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply { status, body: body.into() }
}

fn serve(stream: &mut BufReader<Box<dyn Stream>>, state: &Mutex<State>) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        assert!(head.contains("\r\nHost: ") && head.starts_with(&format!("{method} {target} HTTP/1.1\r\n")), "{head}");
        let fault = {
            let mut state = state.lock().unwrap();
            let request = format!("{method} {target}");
            state.seen.push(request.clone());
            let index = state.faults.iter().position(|(text, _)| request.contains(text));
            index.map(|index| state.faults.remove(index).1)
        };
        let api = state.lock().unwrap().api;
        let answer = |reply: Reply, stream: &mut BufReader<Box<dyn Stream>>| {
            let out = stream.get_mut();
            let api = api.map(|api| format!("Api-Version: {api}\r\n")).unwrap_or_default();
            write!(out, "HTTP/1.1 {} x\r\n{api}", reply.status)?;
            // As Go does, long bodies go out in chunks.
            if reply.body.len() < 300 || method == "HEAD" {
                write!(out, "Content-Length: {}\r\n\r\n", reply.body.len())?;
                let body = if method == "HEAD" { &[] } else { reply.body.as_slice() };
                out.write_all(body)?;
            } else {
                write!(out, "Transfer-Encoding: chunked\r\n\r\n")?;
                for chunk in reply.body.chunks(70_000) {
                    write!(out, "{:x}\r\n", chunk.len())?;
                    out.write_all(chunk)?;
                    out.write_all(b"\r\n")?;
                }
                out.write_all(b"0\r\n\r\n")?;
            }
            out.flush()
        };
        match &fault {
            Some(Fault::Hangup) => return Ok(()),
            Some(Fault::Answer(status, body)) => return answer(reply(*status, *body), stream),
            // Until the client has had enough.
            Some(Fault::Silence) => return io::copy(stream, &mut io::sink()).map(drop),
            Some(Fault::Late(pause)) => thread::sleep(*pause),
            _ => {}
        }
        let body = if head.contains("Transfer-Encoding: chunked") { unchunk(stream)? } else { Vec::new() };
        let made = match &fault {
            Some(Fault::Say(words)) => reply(200, *words),
            Some(Fault::Strip) => {
                let mut state = state.lock().unwrap();
                state.strips = true;
                state.handle(&method, &target, &body)
            }
            _ => state.lock().unwrap().handle(&method, &target, &body),
        };
        answer(made, stream)?;
        if matches!(fault, Some(Fault::Close)) {
            return Ok(());
        }
    }
}

fn unchunk(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        stream.take(size).read_to_end(&mut body)?;
        stream.read_line(&mut line)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

impl State {
    /// How often it was asked whether it is there, as long as nobody asked what else it was asked.
    pub(super) fn pings(&self) -> usize {
        self.seen.iter().filter(|seen| seen.ends_with("/_ping")).count()
    }

    fn keep(&mut self, image: Image) -> String {
        let id = match self.store {
            Store::Containerd => sha256::digest(&[b"manifest of ", image.config.as_slice()].concat()),
            Store::Classic | Store::Podman => sha256::digest(&image.config),
        };
        self.images.insert(id.to_string(), image);
        id.to_string()
    }

    fn handle(&mut self, method: &str, target: &str, body: &[u8]) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path == "/_ping" {
            return reply(200, "OK");
        }
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), decode(value)))
            .collect();
        let path = path.strip_prefix("/engine").unwrap_or(path);
        let path = path.strip_prefix("/v1.").and_then(|path| path.find('/').map(|at| &path[at..])).unwrap_or_default();
        if let Some(platform) = query.get("platform") {
            assert_eq!(platform, r#"{"architecture":"amd64","os":"linux"}"#);
        }
        match (method, path) {
            ("GET", "/info") => {
                let status = match self.store {
                    Store::Classic => json!([["Backing Filesystem", "extfs"]]),
                    Store::Containerd => json!([["driver-type", "io.containerd.snapshotter.v1"]]),
                    Store::Podman => Value::Null,
                };
                reply(200, json!({ "DriverStatus": status }).to_string())
            }
            ("GET", "/images/get") => self.save(&query["names"]),
            ("POST", "/images/load") => match self.load(body) {
                Ok(said) => reply(200, said),
                Err(error) => {
                    let message = json!({ "errorDetail": { "message": error }, "error": error });
                    reply(200, format!("{}\r\n{message}\r\n", json!({ "status": "Loading layer" })))
                }
            },
            ("GET", path) if path.ends_with("/json") => self.inspect(&path["/images/".len()..path.len() - 5]),
            ("GET", path) if path.ends_with("/history") => self.history(&path["/images/".len()..path.len() - 8]),
            ("POST", path) if path.ends_with("/tag") => {
                let Some(id) = self.find(&path["/images/".len()..path.len() - 4]) else { return missing() };
                self.tags.insert(format!("{}:{}", query["repo"], query["tag"]), id);
                reply(201, "")
            }
            other => reply(404, format!(r#"{{"message":"page not found: {other:?}"}}"#)),
        }
    }

    fn find(&self, name: &str) -> Option<String> {
        let id = if name.starts_with("sha256:") { name.to_owned() } else { format!("sha256:{name}") };
        if self.images.contains_key(&id) {
            return Some(id);
        }
        self.tags.get(&Reference::parse(name).ok()?.to_string()).cloned()
    }

    fn inspect(&self, name: &str) -> Reply {
        let Some(id) = self.find(name) else { return missing() };
        let config = self.images[&id].json();
        let image = json!({
            "Id": id, "Created": config["created"], "Author": config["author"].as_str().unwrap_or_default(),
            "Architecture": config["architecture"], "Os": config["os"], "Config": config["config"],
            "RootFS": { "Type": "layers", "Layers": config["rootfs"]["diff_ids"] },
        });
        reply(200, image.to_string())
    }

    fn history(&self, name: &str) -> Reply {
        let Some(id) = self.find(name) else { return missing() };
        let config = self.images[&id].json();
        let entries = config["history"].as_array().cloned().unwrap_or_default();
        let entries: Vec<Value> = entries
            .iter()
            .rev()
            .map(|entry| json!({ "Created": 315_532_801, "CreatedBy": entry["created_by"], "Comment": "" }))
            .collect();
        reply(200, Value::from(entries).to_string())
    }

    fn save(&self, name: &str) -> Reply {
        let Some(id) = self.find(name) else { return missing() };
        let image = &self.images[&id];
        let mut bytes = Vec::new();
        let mut archive = FileWriter::new(&mut bytes);
        let mut file = |name: &str, contents: &[u8]| {
            archive.file(name, contents.len() as u64, |out| out.write_all(contents)).unwrap();
        };
        file(&format!("{}.json", &id[7..]), &image.config);
        match self.store {
            Store::Classic => {
                // In the order of names that have nothing to do with layers.
                for (index, tar) in image.tars.iter().enumerate().rev() {
                    file(&format!("{index:064x}/VERSION"), b"1.0");
                    file(&format!("{index:064x}/layer.tar"), tar);
                }
            }
            Store::Containerd => {
                for tar in &image.tars {
                    let mut blob = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    blob.write_all(tar).unwrap();
                    let blob = blob.finish().unwrap();
                    file(&format!("blobs/sha256/{}", sha256::digest(&blob).hex()), &blob);
                }
            }
            Store::Podman => {
                let tars: BTreeMap<_, _> = image.tars.iter().map(|tar| (diff_id(tar), tar)).collect();
                for (diff_id, tar) in &tars {
                    file(&format!("{}.tar", &diff_id.as_str()[7..]), tar);
                }
            }
        }
        file("manifest.json", b"[]");
        archive.finish().unwrap();
        reply(200, bytes)
    }

    fn load(&mut self, body: &[u8]) -> Result<String, String> {
        let mut files = BTreeMap::new();
        let members = &mut self.members;
        for_each_file(body, |name, contents| {
            let mut bytes = Vec::new();
            contents.read_to_end(&mut bytes)?;
            let name = String::from_utf8_lossy(name).into_owned();
            members.push((name.clone(), bytes.len()));
            assert!(files.insert(name.clone(), bytes).is_none(), "{name} is there twice");
            Ok(ControlFlow::Continue(()))
        })
        .map_err(|error| error.to_string())?;
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let [image] = manifest.as_array().unwrap().as_slice() else { panic!("{manifest}") };
        let config = files[image["Config"].as_str().unwrap()].clone();
        let found = Image { config, tars: Vec::new() };
        let diff_ids: Vec<String> = serde_json::from_value(found.json()["rootfs"]["diff_ids"].clone()).unwrap();
        let layers = image["Layers"].as_array().unwrap();
        assert_eq!(layers.len(), diff_ids.len());
        let mut tars = Vec::new();
        for (index, (layer, expected)) in layers.iter().zip(&diff_ids).enumerate() {
            let tar = &files[layer.as_str().unwrap()];
            let known = self.images.values().find(|image| image.diff_ids().starts_with(&diff_ids[..=index]));
            match known {
                Some(image) if self.store == Store::Classic => tars.push(image.tars[index].clone()),
                _ if diff_id(tar).as_str() == expected => tars.push(tar.clone()),
                _ => return Err(format!("invalid diffID for layer {index}: expected \"{expected}\"")),
            }
        }
        let mut kept = Image { tars, ..found };
        if std::mem::take(&mut self.strips) {
            let mut config = kept.json();
            config["config"]["Labels"] = Value::Null;
            kept.config = config.to_string().into_bytes();
        }
        let id = self.keep(kept);
        let names: BTreeSet<&str> =
            image["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for name in &names {
            self.tags.insert(full(name), id.clone());
        }
        let words = match (names.first(), self.store) {
            (Some(name), _) => format!("Loaded image: {name}"),
            (None, Store::Podman) => format!("Loaded image: {id}"),
            (None, _) => format!("Loaded image ID: {id}"),
        };
        Ok(json!({ "stream": words + "\n" }).to_string())
    }
}

impl Image {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.config).unwrap()
    }

    fn diff_ids(&self) -> Vec<String> {
        self.tars.iter().map(|tar| diff_id(tar).to_string()).collect()
    }
}

fn missing() -> Reply {
    reply(404, r#"{"message":"No such image: x:latest"}"#)
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Says whether a folder has nothing in it.
pub(super) fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}
