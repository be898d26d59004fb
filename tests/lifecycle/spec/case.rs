//! A case of `spec-fixtures`: what `case.toml` says, and the world it is played in.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{RUN_IMAGE, World, nothing_starts, sha256};

/// What `case.toml` says. `spec-fixtures/README.md` describes it for readers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Case {
    /// What the case shows, as a sentence.
    #[serde(rename = "what")]
    pub _what: String,
    /// The clause it comes from.
    #[serde(rename = "clause")]
    pub _clause: String,
    /// The Platform APIs it holds for; all if absent.
    pub apis: Option<String>,
    /// The Buildpack APIs it holds for; 0.12 if absent.
    pub buildpack_apis: Option<String>,
    /// Folders to make besides those with files.
    #[serde(default)]
    folders: Vec<String>,
    /// Files and folders of the world to take away.
    #[serde(default)]
    removed: Vec<String>,
    /// Permissions, in octal digits.
    #[serde(default)]
    modes: BTreeMap<String, String>,
    /// Layers in the volume cache.
    #[serde(default)]
    cached: Vec<Cached>,
    /// SBOM files in the volume cache, by their path below the layers folder's `sbom`.
    #[serde(default)]
    cached_sbom: BTreeMap<String, String>,
    /// The programs to run, in order.
    #[serde(rename = "run")]
    pub runs: Vec<Run>,
    /// What must be so afterwards, besides the files of `out/`.
    #[serde(default)]
    pub after: After,
}

/// A layer in the volume cache, with one file `data`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Cached {
    buildpack: String,
    layer: String,
    #[serde(default)]
    launch: bool,
    #[serde(default)]
    build: bool,
    #[serde(default = "yes")]
    cache: bool,
    /// The text of the file `data`.
    data: String,
    /// The layer's metadata.
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
    /// What is wrong with the tar in the cache: `missing`, or `changed` for one of other contents.
    fault: Option<String>,
}

fn yes() -> bool {
    true
}

/// One run of a program.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Run {
    pub program: String,
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables; `false` removes one.
    #[serde(default)]
    pub env: BTreeMap<String, Variable>,
    /// The exit code.
    #[serde(default)]
    pub exit: i32,
    /// Texts in standard output, in this order.
    #[serde(default)]
    pub stdout: Vec<String>,
    /// The whole of standard output.
    pub stdout_is: Option<String>,
    /// Texts that are not in standard output.
    #[serde(default)]
    pub stdout_lacks: Vec<String>,
    /// Texts in standard error, in this order.
    #[serde(default)]
    pub stderr: Vec<String>,
}

/// A variable's value, or `false` for none.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Variable {
    Set(String),
    Unset(bool),
}

impl Variable {
    /// The value with placeholders filled in.
    pub(super) fn value(&self, fill: impl Fn(&str) -> String) -> Option<String> {
        match self {
            Self::Set(value) => Some(fill(value)),
            Self::Unset(given) => {
                assert!(!given, "a variable is a text, or false for none");
                None
            }
        }
    }
}

/// What must be so after the runs.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct After {
    /// Files and folders that are not there.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Files and folders that are there, whatever is in them.
    #[serde(default)]
    pub present: Vec<String>,
    /// Folders that have the files of `out/` and no other.
    #[serde(default)]
    pub exactly: Vec<String>,
    /// Values in the configuration of the app image, by JSON pointers; see `cases::image`.
    #[serde(default)]
    pub image_has: BTreeMap<String, Value>,
    /// What the configuration of the app image has not, as JSON pointers.
    #[serde(default)]
    pub image_lacks: Vec<String>,
}

/// Writes a tar with one folder and files in it, as the lifecycle lays down a layer: by absolute names.
fn tar(files: &BTreeMap<PathBuf, String>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, text) in files {
        for (name, kind, mode, content) in
            [(path.parent().unwrap(), b'5', 0o755, ""), (path.as_path(), b'0', 0o644, text.as_str())]
        {
            let mut header = [0_u8; 512];
            let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
            put(0, name.to_str().unwrap().as_bytes());
            put(100, format!("{mode:07o}\0{:07o}\0{:07o}\0{:011o}\0{:011o}\0", 0, 0, content.len(), 1).as_bytes());
            put(148, b"        ");
            put(156, &[kind]);
            put(257, b"ustar\x0000");
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// The world of a case at one Platform API and one Buildpack API.
pub(super) struct Stage {
    pub world: World,
    root: String,
    names: Vec<(String, String)>,
}

impl Stage {
    /// Makes the world: the folders every test has, the cache, and then what the case brings in `in/`.
    pub(super) fn new(case: &Case, folder: &Path, api: &'static str, buildpack_api: &str) -> Self {
        let world = World::new().at(api);
        let root = world.path("layers").parent().unwrap().to_str().unwrap().to_owned();
        let architecture = cnb_lifecycle::os::os_release::architecture().to_owned();
        let run_image = world.digest(RUN_IMAGE);
        let names = [
            ("root", root.as_str()),
            ("api", api),
            ("buildpack-api", buildpack_api),
            ("arch", &architecture),
            ("run-image-digest", &run_image),
        ];
        let names = names.map(|(name, value)| (format!("{{{{{name}}}}}"), value.to_owned())).to_vec();
        let mut stage = Self { world, root, names };
        stage.fill_cache(case);
        if folder.join("in").is_dir() {
            stage.copy(&folder.join("in"), "");
        }
        for name in &case.folders {
            fs::create_dir_all(stage.world.path(&stage.fill(name))).unwrap();
        }
        for name in &case.removed {
            let path = stage.world.path(name);
            let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            gone.unwrap();
        }
        for (name, mode) in &case.modes {
            let mode = fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap());
            fs::set_permissions(stage.world.path(name), mode).unwrap();
        }
        stage
    }

    /// Fills the placeholders of a text.
    pub(super) fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    fn copy(&self, from: &Path, to: &str) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{to}{}", entry.file_name().to_str().unwrap());
            let (source, target) = (entry.path(), self.world.path(&name));
            if source.is_symlink() {
                symlink(fs::read_link(&source).unwrap(), target).unwrap();
            } else if source.is_dir() {
                fs::create_dir_all(&target).unwrap();
                self.copy(&source, &format!("{name}/"));
            } else {
                let _alone = nothing_starts();
                fs::copy(&source, &target).unwrap();
                if let Ok(text) = fs::read_to_string(&source) {
                    fs::write(&target, self.fill(&text)).unwrap();
                }
            }
        }
    }

    fn fill_cache(&mut self, case: &Case) {
        let mut buildpacks: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
        let mut metadata = json!({});
        for layer in &case.cached {
            let path = format!("layers/{}/{}/data", layer.buildpack.replace('/', "_"), layer.layer);
            let bytes = tar(&[(self.world.path(&path), layer.data.clone())].into());
            let sha = sha256(&bytes);
            match layer.fault.as_deref() {
                None => self.store(&sha, &bytes),
                Some("changed") => self.store(&sha, &tar(&[(self.world.path(&path), "changed\n".into())].into())),
                Some("missing") => {}
                Some(other) => panic!("there is no fault {other}"),
            }
            let mut entry = json!({ "sha": sha, "launch": layer.launch, "build": layer.build, "cache": layer.cache });
            if !layer.metadata.is_empty() {
                entry["data"] = json!(layer.metadata);
            }
            buildpacks.entry(&layer.buildpack).or_default().insert(&layer.layer, entry);
            self.names.push((format!("{{{{sha {}:{}}}}}", layer.buildpack, layer.layer), sha));
        }
        metadata["buildpacks"] = buildpacks
            .into_iter()
            .map(|(id, layers)| json!({ "key": id, "version": "1.0", "layers": layers }))
            .collect();
        if !case.cached_sbom.is_empty() {
            let files = case.cached_sbom.iter();
            let bytes =
                tar(&files.map(|(name, text)| (self.world.path("layers/sbom").join(name), text.clone())).collect());
            metadata["sbom"] = json!({ "sha": sha256(&bytes) });
            self.store(&sha256(&bytes), &bytes);
        }
        if !case.cached.is_empty() || !case.cached_sbom.is_empty() {
            self.world.write("cache/committed/io.buildpacks.lifecycle.cache.metadata", &metadata.to_string());
        }
    }

    fn store(&self, sha: &str, tar: &[u8]) {
        fs::create_dir_all(self.world.path("cache/committed")).unwrap();
        fs::write(self.world.path(&format!("cache/committed/{sha}.tar")), tar).unwrap();
    }

    /// The files below a folder of the world, by their path from its root.
    pub(super) fn files(&self, folder: &str) -> Vec<String> {
        let root = Path::new(&self.root);
        files(&root.join(folder)).into_iter().map(|path| relative(&path, root)).collect()
    }
}

/// A path below a folder, as text.
pub(super) fn relative(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()
}

/// Every file below a folder, sorted.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
