//! Whole exports, with images and a cache in memory: the world they happen in.

mod cached;
mod extended;
mod failure;
mod image;
mod reuse;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::effect::cache::{CacheError, LayerDraft};
use crate::effect::events::{CacheEvent, Event, Events, Outcome, Work};
use crate::effect::images::{Images, StoreKind};
use crate::effect::processes::{Command, Finished, Output, Processes, StartError};
use crate::effect::telemetry::NoTelemetry;
use crate::image::memory::{MemoryImages, MemoryWrite, diff_id};
use crate::model::analyzed::AnalyzedRunImage;
use crate::model::app_metadata::{AppMetadata, CacheMetadata};
use crate::model::digest::{DiffId, EMPTY_LAYER};
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::launch::{Label, Slice};
use crate::model::order::GroupElement;
use crate::model::process::Process;
use crate::schema::label;

/// Keeps events.
#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Events for Heard {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    fn export(&self) -> Vec<ExportEvent> {
        let events = self.0.lock().unwrap();
        events.iter().filter_map(|e| if let Event::Export(event) = e { Some(event.clone()) } else { None }).collect()
    }

    fn cache(&self) -> Vec<CacheEvent> {
        let events = self.0.lock().unwrap();
        events.iter().filter_map(|e| if let Event::Cache(event) = e { Some(event.clone()) } else { None }).collect()
    }

    /// Each layer that was told, in order, with what became of it.
    fn layers(&self) -> Vec<(String, bool)> {
        let told = |event| match event {
            ExportEvent::Layer { id, reused, .. } => Some((id, reused)),
            _ => None,
        };
        self.export().into_iter().filter_map(told).collect()
    }
}

struct NoProcesses;

impl Processes for NoProcesses {
    fn run(&self, _: &Command, _: Output) -> Result<Finished, StartError> {
        Err(StartError("an export runs nothing".into()))
    }
}

/// Effects that are these images, and events that are heard.
fn effects<'a>(images: &'a dyn Images, heard: &'a Heard) -> Effects<'a> {
    Effects { images, processes: &NoProcesses, events: heard, telemetry: &NoTelemetry, phase: None }
}

/// A cache in memory.
#[derive(Default)]
struct MemoryCache(Mutex<CacheState>);

#[derive(Default)]
struct CacheState {
    committed: BTreeMap<DiffId, Vec<u8>>,
    metadata: CacheMetadata,
    staged: BTreeMap<DiffId, Vec<u8>>,
    refuses: Option<String>,
    commits: usize,
    /// Layers that were made once more for the cache.
    made: Vec<String>,
}

/// A layer that goes into a [`MemoryCache`].
struct MemoryDraft<'a>(&'a MemoryCache, Vec<u8>);

impl LayerDraft for MemoryDraft<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.1.extend(bytes);
    }

    fn keep(self: Box<Self>, wanted: &DiffId, size: u64) {
        assert_eq!((&diff_id(&self.1), self.1.len() as u64), (wanted, size));
        self.0.0.lock().unwrap().staged.insert(wanted.clone(), self.1);
    }
}

impl Cache for MemoryCache {
    fn draft(&self) -> Option<Box<dyn LayerDraft + '_>> {
        Some(Box::new(MemoryDraft(self, Vec::new())))
    }

    fn name(&self) -> String {
        "memory".into()
    }

    fn metadata(&self) -> CacheMetadata {
        self.0.lock().unwrap().metadata.clone()
    }

    fn layer(&self, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, CacheError> {
        let tar = self.0.lock().unwrap().committed.get(diff_id).cloned();
        tar.map(|tar| Box::new(Cursor::new(tar)) as Box<dyn Read + Send>)
            .ok_or_else(|| CacheError::Missing(diff_id.clone()))
    }

    fn reuse(&self, wanted: &DiffId) -> Result<(), CacheError> {
        let mut state = self.0.lock().unwrap();
        let tar = state.committed.get(wanted).cloned().ok_or_else(|| CacheError::Missing(wanted.clone()))?;
        let found = diff_id(&tar);
        if found != *wanted {
            return Err(CacheError::Corrupt { expected: wanted.clone(), found });
        }
        state.staged.insert(found, tar);
        Ok(())
    }

    fn add(&self, layer: &NewLayer) -> Result<(), CacheError> {
        let mut tar = Vec::new();
        layer.tar.write_tar(&mut tar).map_err(|error| CacheError::Failed(error.to_string()))?;
        let mut state = self.0.lock().unwrap();
        match &state.refuses {
            Some(id) if *id == layer.id => Err(CacheError::Failed("no space left on device".into())),
            _ => {
                if state.staged.insert(layer.diff_id.clone(), tar).is_none() {
                    state.made.push(layer.id.clone());
                }
                Ok(())
            }
        }
    }

    fn commit(&self, metadata: &CacheMetadata) -> Result<(), CacheError> {
        let mut state = self.0.lock().unwrap();
        state.committed = std::mem::take(&mut state.staged);
        state.metadata = metadata.clone();
        state.commits += 1;
        Ok(())
    }
}

/// A build that is ready to be exported.
struct World {
    dir: tempfile::TempDir,
    images: MemoryImages,
    api: &'static str,
    group: Vec<&'static str>,
    analyzed: Analyzed,
    metadata: BuildMetadata,
    names: Vec<&'static str>,
    process_type: Option<&'static str>,
    source_date_epoch: Option<&'static str>,
    launcher_sbom: Option<PathBuf>,
    parallel: bool,
    run_image_names: RunImageRef,
    extended: Option<ExtendedRunImage>,
}

/// What became of an export.
struct Run {
    result: Result<Exported, Error>,
    heard: Heard,
    write: Option<MemoryWrite>,
}

const RUN_IMAGE: &str = "reg.io/run:1";
const APP_IMAGE: &str = "reg.io/app:1";

impl World {
    fn new() -> Self {
        let images = MemoryImages::new(StoreKind::Registry);
        let config = ImageConfig {
            os: "linux".into(),
            config: ContainerConfig {
                env: vec!["A=1".into(), "PATH=/usr/bin".into(), "CNB_APP_DIR=/old".into()],
                cmd: Some(vec!["/bin/sh".into()]),
                user: "1000".into(),
                labels: [("from.run.image".to_owned(), "kept".to_owned())].into(),
                ..ContainerConfig::default()
            },
            history: vec![History { created_by: "base".into(), created: "2024".into(), ..History::default() }],
            ..ImageConfig::default()
        };
        let run = images.insert(RUN_IMAGE, config, vec![b"base layer".to_vec()]);
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            images,
            api: "0.13",
            group: vec!["some/bp"],
            analyzed: Analyzed {
                run_image: Some(AnalyzedRunImage { reference: run.identifier, ..AnalyzedRunImage::default() }),
                ..Analyzed::default()
            },
            metadata: BuildMetadata::default(),
            names: vec![APP_IMAGE],
            process_type: None,
            source_date_epoch: None,
            launcher_sbom: None,
            parallel: false,
            run_image_names: RunImageRef { image: "reg.io/run".into(), mirrors: vec![] },
            extended: None,
        };
        world.file("layers/config/metadata.toml", "");
        world.file("app/main", "the app");
        world.file("launcher", "the launcher");
        world.folder("lifecycle");
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn folder(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn file(&self, path: &str, contents: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Makes a layer of the first buildpack, of the given types.
    fn layer(&self, name: &str, types: &str) {
        self.file(&format!("layers/some_bp/{name}/file"), name);
        self.layer_toml(name, types);
    }

    fn layer_toml(&self, name: &str, types: &str) {
        let types: Vec<String> = types.split_whitespace().map(|r#type| format!("{type} = true")).collect();
        self.file(
            &format!("layers/some_bp/{name}.toml"),
            &format!("[types]\n{}\n[metadata]\nv = 1\n", types.join("\n")),
        );
    }

    fn processes(&mut self, types: &[&str]) {
        let process = |r#type: &&str| Process { r#type: (*r#type).to_owned(), ..Process::default() };
        self.metadata.processes = Some(types.iter().map(process).collect());
    }

    fn inputs<'a>(&self, cache: Option<&'a dyn Cache>) -> Inputs<'a> {
        let element = |id: &&str| GroupElement {
            kind: ModuleKind::Buildpack,
            id: ModuleId::parse(id).unwrap(),
            version: "1.2".into(),
            api: "0.10".into(),
            homepage: String::new(),
            optional: false,
        };
        let group = Group { buildpacks: self.group.iter().map(element).collect(), extensions: vec![] };
        Inputs {
            api: PlatformApi::negotiate(Some(self.api)).unwrap(),
            names: self.names.iter().map(ToString::to_string).collect(),
            layers: LayersDir::new(self.path("layers")),
            app_dir: self.path("app"),
            metadata: BuildMetadata { buildpacks: group.buildpacks.clone(), ..self.metadata.clone() },
            group,
            analyzed: self.analyzed.clone(),
            extended: self.extended.clone(),
            project_label: "{}".into(),
            run_image_names: self.run_image_names.clone(),
            launcher: self.path("launcher"),
            launcher_sbom: self.launcher_sbom.clone().unwrap_or_else(|| self.path("lifecycle")),
            lifecycle_sbom: self.path("lifecycle"),
            process_type: self.process_type.map(str::to_owned),
            exec_env: "production".into(),
            uid: 1000,
            gid: 1000,
            source_date_epoch: self.source_date_epoch.map(str::to_owned),
            parallel: self.parallel,
            cache,
            seals: Seals::default(),
            lifecycle: LifecycleInfo::default(),
        }
    }

    /// Exports image and cache, as the exporter does.
    fn export_with(&self, images: &dyn Images, cache: Option<&dyn Cache>) -> Run {
        let heard = Heard::default();
        let effects = effects(images, &heard);
        let inputs = self.inputs(cache);
        let result = export(&effects, &inputs);
        if let Ok(exported) = &result {
            export_cache(&effects, &inputs, exported);
        }
        Run { result, heard, write: self.images.writes().pop() }
    }

    fn export(&self) -> Run {
        self.export_with(&self.images, None)
    }

    fn export_cached(&self, cache: &MemoryCache) -> Run {
        self.export_with(&self.images, Some(cache))
    }

    /// Makes the image that was just written the one that analysis found.
    fn analyze(&mut self) {
        let image = self.images.get(APP_IMAGE).unwrap();
        self.analyzed.metadata = label::parse_app(image.label(label::LIFECYCLE_METADATA).unwrap()).unwrap();
        self.analyzed.previous_image = image.identifier;
    }
}

impl Run {
    fn write(&self) -> &MemoryWrite {
        if let Err(error) = &self.result {
            panic!("failed to export: {error}");
        }
        self.write.as_ref().unwrap()
    }

    fn error(&self) -> String {
        self.result.as_ref().err().expect("the export succeeded").to_string()
    }

    fn new_layers(&self) -> Vec<&str> {
        self.write().new_tars.iter().map(|(id, _)| id.as_str()).collect()
    }

    fn tar(&self, id: &str) -> &[u8] {
        &self.write().new_tars.iter().find(|(layer, _)| layer == id).unwrap().1
    }

    fn metadata(&self) -> AppMetadata {
        label::parse_app(self.write().record.label(label::LIFECYCLE_METADATA).unwrap()).unwrap()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.write().record.label(key)
    }
}

/// Whether a tar has an entry or contents with this text.
fn holds(tar: &[u8], text: &str) -> bool {
    tar.windows(text.len()).any(|window| window == text.as_bytes())
}
