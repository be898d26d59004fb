//! SBOM files that a buildpack wrote beside its layers, and the places where the lifecycle keeps them.
//!
//! Clauses: buildpack.md#software-bill-of-materials, platform.md#builder; catalogue 1, section 5.8.

use std::fs::File;
use std::io::Error as IoError;
use std::path::{Path, PathBuf};

use crate::model::descriptor::Descriptor;
use crate::model::id::{LayerName, ModuleId};
use crate::model::layer::{LayerMetadata, LayerTypes};
use crate::model::layers_dir::LayersDir;
use crate::os::error_text;

/// File name endings of the formats, and their media types.
const FORMATS: &[(&str, &str)] = &[
    ("sbom.cdx.json", "application/vnd.cyclonedx+json"),
    ("sbom.spdx.json", "application/spdx+json"),
    ("sbom.syft.json", "application/vnd.syft+json"),
];

/// Which part of the image or build an SBOM file describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What is only there while building.
    Build,
    /// What the next build gets back.
    Cache,
    /// What is in the app image.
    Launch,
}

/// An SBOM file of a buildpack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SbomFile {
    /// Whose it is.
    pub buildpack: ModuleId,
    /// The layer it describes; `None` when it describes all that the buildpack did.
    pub layer: Option<LayerName>,
    /// What it describes.
    pub purpose: Purpose,
    /// Where the buildpack wrote it.
    pub path: PathBuf,
}

/// What is wrong with the SBOM files of a buildpack.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// The name ends in no known format.
    #[error("unsupported SBOM file format: '{}'", .0.display())]
    Format(PathBuf),
    /// The descriptor does not declare the format.
    #[error("validating SBOM file '{}' for buildpack: '{buildpack}': undeclared SBOM media type: '{media_type}'", path.display())]
    Undeclared {
        /// The file.
        path: PathBuf,
        /// The buildpack as `<id>@<version>`.
        buildpack: String,
        /// The format's media type.
        media_type: &'static str,
    },
    /// The descriptor declares something that is no media type.
    #[error("validating SBOM file '{}' for buildpack: '{buildpack}': parsing declared media type: '{declared}' is none", path.display())]
    Declaration {
        /// The file.
        path: PathBuf,
        /// The buildpack as `<id>@<version>`.
        buildpack: String,
        /// What it declares.
        declared: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{action} {}: {}", path.display(), error_text(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: IoError,
    },
}

/// Finds the SBOM files `*.sbom.*.json` of a buildpack's folder, in byte order of their names.
///
/// The text before the first `.` is `launch`, `build` or a layer; files for what is none of these are left alone.
/// A layer's file that is also for the cache is found twice.
///
/// # Errors
/// The folder cannot be read, or a file has a format that is unknown or not declared.
pub fn find(
    dir: &Path,
    buildpack: &Descriptor,
    layers: &[(LayerName, LayerMetadata)],
) -> Result<Vec<SbomFile>, SbomError> {
    let mut found = Vec::new();
    for path in candidates(dir)? {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = file_name.split('.').next().unwrap_or_default();
        let file = |layer: Option<&LayerName>, purpose| SbomFile {
            buildpack: buildpack.id.clone(),
            layer: layer.cloned(),
            purpose,
            path: path.clone(),
        };
        match stem {
            "launch" => found.push(file(None, Purpose::Launch)),
            "build" => found.push(file(None, Purpose::Build)),
            _ => {
                if let Some((name, metadata)) = layers.iter().find(|(name, _)| name.as_str() == stem) {
                    found.extend(purposes(metadata.types).map(|purpose| file(Some(name), purpose)));
                }
            }
        }
    }
    found.iter().try_for_each(|file| check(file, buildpack))?;
    Ok(found)
}

/// Says whether a buildpack's folder has any SBOM file, for a layer or not.
pub fn any(dir: &Path) -> bool {
    candidates(dir).is_ok_and(|found| !found.is_empty())
}

/// Copies SBOM files to `<layers>/sbom/<launch|build|cache>/<buildpack>[/<layer>]/sbom.<format>.json`.
///
/// # Errors
/// A file cannot be read or written.
pub fn collect(layers: &LayersDir, files: &[SbomFile]) -> Result<(), SbomError> {
    for file in files {
        let mut dir = layers.sbom().join(file.purpose.folder()).join(file.buildpack.escaped());
        dir.extend(file.layer.as_ref().map(LayerName::as_str));
        let (name, _) = format(&file.path).ok_or_else(|| SbomError::Format(file.path.clone()))?;
        std::fs::create_dir_all(&dir).map_err(|error| io("mkdir", &dir, error))?;
        copy(&file.path, &dir.join(name))?;
    }
    Ok(())
}

/// Copies a regular file, or what a link leads to; the copy gets its mode from the umask. What was there before is
/// replaced, a link is never followed.
///
/// # Errors
/// A file cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<(), SbomError> {
    let mut source = File::open(from).map_err(|error| io("open", from, error))?;
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", to, error)),
        _ => {}
    }
    let mut target = File::create_new(to).map_err(|error| io("open", to, error))?;
    std::io::copy(&mut source, &mut target).map_err(|error| io("write", to, error))?;
    Ok(())
}

impl Purpose {
    fn folder(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Cache => "cache",
            Self::Launch => "launch",
        }
    }
}

fn purposes(types: LayerTypes) -> impl Iterator<Item = Purpose> {
    let first = if types.launch { Purpose::Launch } else { Purpose::Build };
    std::iter::once(first).chain(types.cache.then_some(Purpose::Cache))
}

/// The files that match `*.sbom.*.json`, sorted. Only regular files and links to such: nothing else can be copied.
fn candidates(dir: &Path) -> Result<Vec<PathBuf>, SbomError> {
    let reading = match std::fs::read_dir(dir) {
        Ok(reading) => reading,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("open", dir, error)),
    };
    let mut found = Vec::new();
    for entry in reading {
        let entry = entry.map_err(|error| io("readdirent", dir, error))?;
        let path = entry.path();
        if matches_pattern(entry.file_name().as_encoded_bytes()) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Says whether a name matches `*.sbom.*.json`.
fn matches_pattern(name: &[u8]) -> bool {
    let infix = b".sbom.";
    name.strip_suffix(b".json").is_some_and(|stem| stem.windows(infix.len()).any(|window| window == infix))
}

fn format(path: &Path) -> Option<&'static (&'static str, &'static str)> {
    let name = path.file_name()?.as_encoded_bytes();
    FORMATS.iter().find(|(ending, _)| name.strip_suffix(ending.as_bytes()).is_some_and(|stem| stem.ends_with(b".")))
}

fn check(file: &SbomFile, buildpack: &Descriptor) -> Result<(), SbomError> {
    let name = || format!("{}@{}", buildpack.id, buildpack.version);
    let (_, media_type) = format(&file.path).ok_or_else(|| SbomError::Format(file.path.clone()))?;
    for declared in &buildpack.sbom_formats {
        match media_type_of(declared) {
            Some(found) if found == *media_type => return Ok(()),
            Some(_) => {}
            None => {
                return Err(SbomError::Declaration {
                    path: file.path.clone(),
                    buildpack: name(),
                    declared: declared.clone(),
                });
            }
        }
    }
    Err(SbomError::Undeclared { path: file.path.clone(), buildpack: name(), media_type })
}

/// The media type without its parameters, in lower case; `None` if it has not the form `type/subtype`.
fn media_type_of(declared: &str) -> Option<String> {
    let media_type = declared.split(';').next().unwrap_or_default().trim().to_lowercase();
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
    };
    let valid = match media_type.split_once('/') {
        Some((kind, subtype)) => token(kind) && token(subtype),
        None => token(&media_type),
    };
    valid.then_some(media_type)
}

fn io(action: &'static str, path: &Path, source: IoError) -> SbomError {
    SbomError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ModuleKind;
    use crate::model::value::Value;

    fn descriptor(formats: &[&str]) -> Descriptor {
        Descriptor {
            kind: ModuleKind::Buildpack,
            root: PathBuf::new(),
            api: "0.12".into(),
            id: ModuleId::parse("some/bp").unwrap(),
            version: "1".into(),
            name: String::new(),
            homepage: String::new(),
            clear_env: false,
            exec_env: vec![],
            sbom_formats: formats.iter().map(|format| (*format).to_owned()).collect(),
            order: vec![],
            targets: vec![],
            stacks: vec![],
        }
    }

    fn layer(name: &str, [launch, build, cache]: [bool; 3]) -> (LayerName, LayerMetadata) {
        let types = LayerTypes { build, launch, cache };
        (LayerName::parse(name).unwrap(), LayerMetadata { types, metadata: Value::Null })
    }

    fn dir(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(dir.path().join(file), file).unwrap();
        }
        dir
    }

    const ALL: [&str; 3] =
        ["application/vnd.cyclonedx+json", "application/spdx+json; version=2.3", "Application/vnd.syft+json"];

    #[test]
    fn goes_by_the_text_before_the_first_dot() {
        let files = ["launch.sbom.cdx.json", "build.sbom.spdx.json", "a.dot.sbom.syft.json", "other.sbom.cdx.json"];
        let dir = dir(&files);
        let layers = [layer("a", [true, false, true]), layer("a.dot", [false, true, false])];
        let found = find(dir.path(), &descriptor(&ALL), &layers).unwrap();
        let seen: Vec<_> =
            found.iter().map(|file| (file.layer.as_ref().map(LayerName::as_str), file.purpose)).collect();
        assert_eq!(
            seen,
            [
                (Some("a"), Purpose::Launch),
                (Some("a"), Purpose::Cache),
                (None, Purpose::Build),
                (None, Purpose::Launch)
            ]
        );
    }

    #[test]
    fn copies_to_the_folder_of_the_purpose() {
        let dir = dir(&["l.sbom.cdx.json", "launch.sbom.spdx.json"]);
        let layers_dir = tempfile::tempdir().unwrap();
        let layers = LayersDir::new(layers_dir.path());
        let found = find(dir.path(), &descriptor(&ALL), &[layer("l", [false, false, true])]).unwrap();
        collect(&layers, &found).unwrap();
        // Twice, as a build on kept layers does.
        collect(&layers, &found).unwrap();
        for (path, text) in [
            ("sbom/build/some_bp/l/sbom.cdx.json", "l.sbom.cdx.json"),
            ("sbom/cache/some_bp/l/sbom.cdx.json", "l.sbom.cdx.json"),
            ("sbom/launch/some_bp/sbom.spdx.json", "launch.sbom.spdx.json"),
        ] {
            assert_eq!(std::fs::read_to_string(layers_dir.path().join(path)).unwrap(), text);
        }
    }

    fn error(file: &str, formats: &[&str]) -> String {
        let dir = dir(&[file]);
        let error = find(dir.path(), &descriptor(formats), &[]).unwrap_err().to_string();
        error.replace(&dir.path().display().to_string(), "DIR")
    }

    #[test]
    fn refuses_unknown_and_undeclared_formats() {
        assert_eq!(error("launch.sbom.x.json", &ALL), "unsupported SBOM file format: 'DIR/launch.sbom.x.json'");
        assert_eq!(
            error("build.sbom.spdx.json", &["application/vnd.cyclonedx+json"]),
            "validating SBOM file 'DIR/build.sbom.spdx.json' for buildpack: 'some/bp@1': \
             undeclared SBOM media type: 'application/spdx+json'"
        );
        assert_eq!(
            error("build.sbom.spdx.json", &["a b/c"]),
            "validating SBOM file 'DIR/build.sbom.spdx.json' for buildpack: 'some/bp@1': \
             parsing declared media type: 'a b/c' is none"
        );
    }

    #[test]
    fn the_format_of_a_file_for_no_layer_does_not_matter() {
        let dir = dir(&["unknown.sbom.x.json"]);
        assert_eq!(find(dir.path(), &descriptor(&[]), &[]).unwrap(), []);
        assert!(any(dir.path()));
    }

    #[test]
    fn matches_as_the_pattern_does() {
        for (name, expected) in [
            ("a.sbom.cdx.json", true),
            (".sbom.x.json", true),
            ("a.sbom..json", true),
            ("a.sbom.json", false),
            ("sbom.cdx.json", false),
            ("a.sbom.cdx.json.bak", false),
        ] {
            assert_eq!(matches_pattern(name.as_bytes()), expected, "{name}");
        }
    }
}
