//! Which layers the image gets on top of its run image, in which order, and what each may be reused from.
//!
//! Clause: platform.md#exporter; catalogue 2, sections 2.1, 2.2 and 2.4.

use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use super::folders::Folder;
use crate::archive::{Repacked, Tar};
use crate::buildpack::layers::Layer;
use crate::model::app_metadata::{AppMetadata, StoredBuildpack};
use crate::model::digest::DiffId;
use crate::model::id::LayerName;
use crate::model::layer::LayerMetadata;
use crate::model::layers_dir::LayersDir;

/// A layer of the image, before its bytes are known.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its id for messages.
    pub id: String,
    /// Its history.
    pub created_by: String,
    /// Which part of the image it is.
    pub part: Part,
    /// Where its bytes come from.
    pub content: Content,
    /// What the previous image had in its place: with one of these diff ids it is not made again.
    pub previous: Vec<DiffId>,
}

/// The part of an image that a layer is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// A layer of an extension.
    Extension,
    /// A layer of a buildpack.
    Buildpack {
        /// Which of the group.
        index: usize,
        /// The layer's name.
        name: LayerName,
        /// What it is for, and what its buildpack noted.
        metadata: LayerMetadata,
    },
    /// SBOM files.
    Sbom,
    /// A slice of the app directory, or what is left of it.
    App,
    /// The launcher.
    Launcher,
    /// `<layers>/config`.
    Config,
    /// Links to the launcher.
    ProcessTypes,
}

/// Where the bytes of a layer come from.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A folder.
    Folder(PathBuf),
    /// A tar that was prepared already, as it is cheap or shared.
    Prepared(Arc<Tar>),
    /// A layer that the extender made.
    Repacked(Repacked),
    /// The previous image alone.
    Previous(DiffId),
}

/// Plans the layers of one buildpack.
///
/// # Errors
/// A layer without a folder is for the cache or was not in the previous image, or a `<layer>.toml` is malformed.
pub(super) fn buildpack(index: usize, folder: &Folder, previous: &AppMetadata) -> Result<Vec<Planned>, Error> {
    let previous = previous.buildpack(folder.buildpack.id.as_str());
    let mut planned = Vec::new();
    let mut malformed = Vec::new();
    for layer in &folder.layers {
        match &layer.metadata {
            Ok(metadata) if metadata.types.launch => {
                planned.push(launch_layer(index, folder, layer, metadata, previous)?);
            }
            Ok(_) => {}
            Err(error) => malformed.push((folder.layer_id(layer), error)),
        }
    }
    let Some((_, first)) = malformed.first() else { return Ok(planned) };
    let ids: Vec<&str> = malformed.iter().map(|(id, _)| id.as_str()).collect();
    Err(Error::Other(format!("failed to parse metadata for layers '[{}]': {first}", ids.join(" "))))
}

fn launch_layer(
    index: usize,
    folder: &Folder,
    layer: &Layer,
    metadata: &LayerMetadata,
    previous: Option<&StoredBuildpack>,
) -> Result<Planned, Error> {
    let id = folder.layer_id(layer);
    let stored = previous.and_then(|buildpack| buildpack.layers.get(layer.name.as_str())?.sha.clone());
    let content = if layer.has_contents {
        Content::Folder(folder.layer_path(layer))
    } else if metadata.types.cache {
        return Err(Error::Refused(format!("layer '{id}' is cache=true but has no contents")));
    } else {
        Content::Previous(stored.clone().ok_or_else(|| {
            Error::Refused(format!("cannot reuse '{id}', previous image has no metadata for layer '{id}'"))
        })?)
    };
    Ok(Planned {
        id,
        created_by: format!("Layer: '{}', Created by buildpack: {}", layer.name, folder.buildpack),
        part: Part::Buildpack { index, name: layer.name.clone(), metadata: metadata.clone() },
        content,
        previous: stored.into_iter().collect(),
    })
}

/// Plans the layer of SBOM files for launch.
pub(super) fn sbom(folder: PathBuf, previous: &AppMetadata) -> Planned {
    Planned {
        id: "buildpacksio/lifecycle:launch.sbom".to_owned(),
        created_by: "Software Bill-of-Materials".to_owned(),
        part: Part::Sbom,
        content: Content::Folder(folder),
        previous: previous.sbom.iter().cloned().collect(),
    }
}

/// Plans the layers of the app directory: one for each slice, and the last one for what is left. Each may be reused
/// from any of the previous image's.
pub(super) fn app(slices: Vec<Tar>, previous: &AppMetadata) -> Vec<Planned> {
    let whole = slices.len() == 1;
    slices
        .into_iter()
        .zip(1..)
        .map(|(tar, number)| Planned {
            id: format!("slice-{number}"),
            created_by: if whole { "Application Layer".to_owned() } else { format!("Application Slice: {number}") },
            part: Part::App,
            content: Content::Prepared(Arc::new(tar)),
            previous: previous.app.clone(),
        })
        .collect()
}

/// Plans the layers that start the app: the launcher, its configuration, and a link for each process type, if there are
/// such.
pub(super) fn launch(
    layers: &LayersDir,
    launcher: Tar,
    process_types: Option<Tar>,
    previous: &AppMetadata,
) -> Vec<Planned> {
    let mut planned = vec![
        Planned {
            id: "buildpacksio/lifecycle:launcher".to_owned(),
            created_by: "Buildpacks Application Launcher".to_owned(),
            part: Part::Launcher,
            content: Content::Prepared(Arc::new(launcher)),
            previous: previous.launcher.iter().cloned().collect(),
        },
        Planned {
            id: "buildpacksio/lifecycle:config".to_owned(),
            created_by: "Buildpacks Launcher Config".to_owned(),
            part: Part::Config,
            content: Content::Folder(layers.config()),
            previous: previous.config.iter().cloned().collect(),
        },
    ];
    if let Some(tar) = process_types {
        planned.push(Planned {
            id: "buildpacksio/lifecycle:process-types".to_owned(),
            created_by: "Buildpacks Process Types".to_owned(),
            part: Part::ProcessTypes,
            content: Content::Prepared(Arc::new(tar)),
            previous: previous.process_types.iter().cloned().collect(),
        });
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildpack::layers::LayerFileError;
    use crate::model::app_metadata::StoredLayer;
    use crate::model::digest::EMPTY_LAYER;
    use crate::model::id::{ModuleId, ModuleKind};
    use crate::model::layer::LayerTypes;
    use crate::model::order::GroupElement;
    use crate::model::value::Value;

    fn element() -> GroupElement {
        GroupElement {
            kind: ModuleKind::Buildpack,
            id: ModuleId::parse("some/bp").unwrap(),
            version: "1".into(),
            api: "0.10".into(),
            homepage: String::new(),
            optional: false,
        }
    }

    fn layer(name: &str, has_contents: bool, launch: bool, cache: bool) -> Layer {
        let types = LayerTypes { build: false, launch, cache };
        let metadata = Ok(LayerMetadata { types, metadata: Value::Null });
        Layer { name: LayerName::parse(name).unwrap(), has_contents, metadata }
    }

    fn malformed(name: &str) -> Layer {
        let metadata = Err(LayerFileError::TopLevelTypes(format!("{name}.toml").into()));
        Layer { name: LayerName::parse(name).unwrap(), has_contents: true, metadata }
    }

    fn previous(layer: &str) -> AppMetadata {
        let stored = StoredLayer {
            sha: Some(DiffId::parse(EMPTY_LAYER).unwrap()),
            types: LayerTypes::default(),
            data: Value::Null,
        };
        let buildpack = StoredBuildpack {
            key: "some/bp".into(),
            version: "0".into(),
            layers: [(layer.to_owned(), stored)].into(),
            store: None,
        };
        AppMetadata { buildpacks: vec![buildpack], ..AppMetadata::default() }
    }

    fn plan(layers: Vec<Layer>, previous: &AppMetadata) -> Result<Vec<Planned>, String> {
        let folder = Folder { buildpack: element(), path: "/layers/some_bp".into(), layers, store: None };
        buildpack(0, &folder, previous).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_launch_layers_from_their_folders() {
        let planned = plan(vec![layer("a", true, true, true), layer("b", true, false, true)], &previous("a")).unwrap();
        assert_eq!(planned.len(), 1);
        assert_eq!(planned[0].id, "some/bp:a");
        assert_eq!(planned[0].created_by, "Layer: 'a', Created by buildpack: some/bp@1");
        assert!(matches!(&planned[0].content, Content::Folder(path) if path.ends_with("layers/some_bp/a")));
        assert_eq!(planned[0].previous.len(), 1);
    }

    #[test]
    fn a_launch_layer_without_a_folder_comes_from_the_previous_image() {
        let planned = plan(vec![layer("a", false, true, false)], &previous("a")).unwrap();
        assert!(matches!(&planned[0].content, Content::Previous(id) if id.as_str() == EMPTY_LAYER));
        let error = plan(vec![layer("a", false, true, false)], &previous("other")).unwrap_err();
        assert_eq!(error, "cannot reuse 'some/bp:a', previous image has no metadata for layer 'some/bp:a'");
    }

    #[test]
    fn a_cached_launch_layer_without_a_folder_is_an_error() {
        let error = plan(vec![layer("a", false, true, true)], &previous("a")).unwrap_err();
        assert_eq!(error, "layer 'some/bp:a' is cache=true but has no contents");
    }

    #[test]
    fn malformed_layers_are_named_together_with_the_first_cause() {
        let layers = vec![malformed("bad"), layer("a", true, true, false), malformed("worse")];
        assert_eq!(
            plan(layers, &previous("a")).unwrap_err(),
            "failed to parse metadata for layers '[some/bp:bad some/bp:worse]': \
             the launch, cache and build flags should be in the types table of bad.toml"
        );
    }

    #[test]
    fn there_is_no_layer_of_links_without_processes() {
        let links = || crate::archive::process_types(&["web".to_owned()]).unwrap();
        let plan = |types| launch(&LayersDir::new("/layers"), links(), types, &AppMetadata::default()).len();
        assert_eq!(plan(None), 2);
        assert_eq!(plan(Some(links())), 3);
    }
}
