//! analyzed.toml. Clause: platform.md#analyzedtoml-toml.

use super::read::{self, Fields, Problem};
use super::wire::{each, run_image, sha_text};
use super::write::Block;
use super::{Error, layer};
use crate::model::analyzed::{Analyzed, AnalyzedRunImage};
use crate::model::app_metadata::{AppMetadata, RunImageMetadata, StoredBuildpack, StoredLayer};
use crate::model::digest::DiffId;
use crate::model::layer::LayerTypes;
use crate::model::run_image::RunImageRef;
use crate::model::target::{Distro, RunTarget};

/// Reads analyzed.toml.
pub fn parse(text: &str) -> Result<Analyzed, Error> {
    read::toml(text, |root| {
        let reference = |key| root.table(key)?.map(|image| image.text("reference")).transpose();
        Ok(Analyzed {
            previous_image: reference("image")?.unwrap_or_default(),
            build_image: reference("build-image")?,
            run_image: root.table("run-image")?.map(|image| analyzed_run_image(&image)).transpose()?,
            metadata: metadata(&root.section("metadata")?, &TOML_KEYS)?,
            unsound_cache_layers: unsound_cache_layers(root),
        })
    })
}

/// Writes analyzed.toml.
pub fn render(analyzed: &Analyzed) -> String {
    let reference = |reference: &String| Block::new().text("reference", reference);
    let unsound: Vec<_> = analyzed.unsound_cache_layers.iter().map(ToString::to_string).collect();
    Block::new()
        .texts_if_any("unsound-cache-layers", &unsound)
        .table("image", reference(&analyzed.previous_image))
        .table_if_any("build-image", analyzed.build_image.as_ref().map(reference))
        .table("metadata", metadata_block(&analyzed.metadata))
        .table_if_any("run-image", analyzed.run_image.as_ref().map(run_image_block))
        .render()
}

/// The keys that differ between analyzed.toml and the label.
pub(super) struct Keys {
    pub(super) run_image: &'static str,
    pub(super) top_layer: &'static str,
    pub(super) layer_data: &'static str,
}

const TOML_KEYS: Keys = Keys { run_image: "run-image", top_layer: "top-layer", layer_data: "metadata" };

/// Reads the metadata of an app image, from analyzed.toml or the label.
pub(super) fn metadata(fields: &Fields<'_>, keys: &Keys) -> Result<AppMetadata, Problem> {
    let run_image_fields = fields.section(keys.run_image)?;
    let stack = fields.table("stack")?.map(|stack| run_image(&stack.section(keys.run_image)?));
    Ok(AppMetadata {
        app: each(fields, "app", |slice| slice.diff_id("sha"))?.into_iter().flatten().collect(),
        sbom: fields.section("sbom")?.diff_id("sha")?,
        buildpacks: each(fields, "buildpacks", |buildpack| stored_buildpack(buildpack, keys))?,
        config: fields.section("config")?.diff_id("sha")?,
        launcher: fields.section("launcher")?.diff_id("sha")?,
        process_types: fields.section("process-types")?.diff_id("sha")?,
        run_image: RunImageMetadata {
            top_layer: run_image_fields.text(keys.top_layer)?,
            reference: run_image_fields.text("reference")?,
            names: run_image(&run_image_fields)?,
        },
        stack: stack.transpose()?,
    })
}

/// Reads what a buildpack left.
pub(super) fn stored_buildpack(fields: &Fields<'_>, keys: &Keys) -> Result<StoredBuildpack, Problem> {
    let layers = fields.section("layers")?.entries()?;
    let layers = layers.into_iter().map(|(name, layer)| Ok((name, stored_layer(&layer, keys)?)));
    Ok(StoredBuildpack {
        key: fields.text("key")?,
        version: fields.text("version")?,
        layers: layers.collect::<Result<_, Problem>>()?,
        store: fields.table("store")?.map(|store| layer::store(&store)),
    })
}

fn stored_layer(fields: &Fields<'_>, keys: &Keys) -> Result<StoredLayer, Problem> {
    Ok(StoredLayer {
        sha: fields.diff_id("sha")?,
        types: LayerTypes {
            build: fields.flag("build")?,
            launch: fields.flag("launch")?,
            cache: fields.flag("cache")?,
        },
        data: fields.value(keys.layer_data),
    })
}

/// What is no list of diff ids says nothing: whatever is wrong about a cache fails no build.
fn unsound_cache_layers(fields: &Fields<'_>) -> Vec<DiffId> {
    let layers = fields.texts("unsound-cache-layers").unwrap_or_default();
    layers.iter().filter_map(|layer| DiffId::parse(layer).ok()).collect()
}

fn analyzed_run_image(fields: &Fields<'_>) -> Result<AnalyzedRunImage, Problem> {
    Ok(AnalyzedRunImage {
        reference: fields.text("reference")?,
        image: fields.text("image")?,
        extend: fields.flag("extend")?,
        target: fields.table("target")?.map(|target| run_target(&target)).transpose()?,
    })
}

fn run_target(fields: &Fields<'_>) -> Result<RunTarget, Problem> {
    Ok(RunTarget {
        id: fields.text("id")?,
        os: fields.text("os")?,
        arch: fields.text("arch")?,
        variant: variant(fields)?,
        distro: fields.table("distro")?.map(|distro| self::distro(&distro)).transpose()?,
    })
}

/// Reads the variant of an architecture: the reference's key, else the specification's (policy P20).
pub(super) fn variant(fields: &Fields<'_>) -> Result<String, Problem> {
    let (reference, specification) = (fields.text("arch-variant")?, fields.text("variant")?);
    Ok(if reference.is_empty() { specification } else { reference })
}

/// Reads a distribution.
pub(super) fn distro(fields: &Fields<'_>) -> Result<Distro, Problem> {
    Ok(Distro { name: fields.text("name")?, version: fields.text("version")? })
}

fn run_image_block(image: &AnalyzedRunImage) -> Block {
    let distro = |distro: &Distro| Block::new().text("name", &distro.name).text("version", &distro.version);
    let target = |target: &RunTarget| {
        Block::new()
            .text_if_any("id", &target.id)
            .text("os", &target.os)
            .text("arch", &target.arch)
            .text_if_any("arch-variant", &target.variant)
            .table_if_any("distro", target.distro.as_ref().map(distro))
    };
    Block::new()
        .text("reference", &image.reference)
        .text_if_any("image", &image.image)
        .flag_if_set("extend", image.extend)
        .table_if_any("target", image.target.as_ref().map(target))
}

fn metadata_block(metadata: &AppMetadata) -> Block {
    let sha = |sha: Option<&_>| Block::new().text("sha", sha_text(sha));
    let names = |block: Block, names: &RunImageRef| {
        block.text_if_any("image", &names.image).texts_if_any("mirrors", &names.mirrors)
    };
    let run_image =
        Block::new().text("top-layer", &metadata.run_image.top_layer).text("reference", &metadata.run_image.reference);
    let stack = |stack: &RunImageRef| Block::new().table("run-image", names(Block::new(), stack));
    Block::new()
        .tables("app", metadata.app.iter().map(|app| sha(Some(app))))
        .table_if_any("sbom", metadata.sbom.as_ref().map(|sbom| sha(Some(sbom))))
        .tables("buildpacks", metadata.buildpacks.iter().map(stored_buildpack_block))
        .table("config", sha(metadata.config.as_ref()))
        .table("launcher", sha(metadata.launcher.as_ref()))
        .table("process-types", sha(metadata.process_types.as_ref()))
        .table("run-image", names(run_image, &metadata.run_image.names))
        .table_if_any("stack", metadata.stack.as_ref().map(stack))
}

fn stored_buildpack_block(buildpack: &StoredBuildpack) -> Block {
    let layers = buildpack.layers.iter().fold(Block::new(), |layers, (name, layer)| {
        let block = Block::new()
            .text("sha", sha_text(layer.sha.as_ref()))
            .value("metadata", &layer.data)
            .flag("build", layer.types.build)
            .flag("launch", layer.types.launch)
            .flag("cache", layer.types.cache);
        layers.table(name, block)
    });
    let store = |store| Block::new().value("metadata", store);
    Block::new()
        .text("key", &buildpack.key)
        .text("version", &buildpack.version)
        .table("layers", layers)
        .table_if_any("store", buildpack.store.as_ref().map(store))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Value;

    #[test]
    fn what_says_nothing_of_unsound_layers_is_no_error() {
        for value in ["\"x\"", "[1, 2]", "{}", "[\"nonsense\"]"] {
            let analyzed = parse(&format!("unsound-cache-layers = {value}\n")).unwrap();
            assert_eq!(analyzed.unsound_cache_layers, [], "{value}");
        }
    }

    #[test]
    fn writes_what_the_reference_writes_without_a_previous_image() {
        let distro = Distro { name: "ubuntu".into(), version: "22.04".into() };
        let target = RunTarget {
            id: "my.base".into(),
            os: "linux".into(),
            arch: "amd64".into(),
            variant: String::new(),
            distro: Some(distro),
        };
        let run_image = AnalyzedRunImage {
            reference: "127.0.0.1:5055/run@sha256:2f28".into(),
            image: "127.0.0.1:5055/run:v1".into(),
            extend: false,
            target: Some(target),
        };
        let analyzed = Analyzed { run_image: Some(run_image), ..Analyzed::default() };
        let expected = r#"[image]
  reference = ""

[metadata]
  [metadata.config]
    sha = ""
  [metadata.launcher]
    sha = ""
  [metadata.process-types]
    sha = ""
  [metadata.run-image]
    top-layer = ""
    reference = ""

[run-image]
  reference = "127.0.0.1:5055/run@sha256:2f28"
  image = "127.0.0.1:5055/run:v1"
  [run-image.target]
    id = "my.base"
    os = "linux"
    arch = "amd64"
    [run-image.target.distro]
      name = "ubuntu"
      version = "22.04"
"#;
        assert_eq!(render(&analyzed), expected);
        assert_eq!(parse(expected), Ok(analyzed));
    }

    #[test]
    fn writes_every_key_in_the_order_of_the_reference() {
        let sha = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let (a, b, c) = (sha("a"), sha("b"), sha("c"));
        let text = format!(
            r#"[image]
  reference = "p"

[build-image]
  reference = "b"

[metadata]

  [[metadata.app]]
    sha = "{a}"
  [metadata.sbom]
    sha = "{b}"

  [[metadata.buildpacks]]
    key = "b/one"
    version = "1"
    [metadata.buildpacks.layers]
      [metadata.buildpacks.layers."a.b"]
        sha = "{c}"
        build = false
        launch = false
        cache = false
      [metadata.buildpacks.layers.l]
        sha = "{a}"
        build = true
        launch = true
        cache = false
        [metadata.buildpacks.layers.l.metadata]
          a = 1
          [metadata.buildpacks.layers.l.metadata.t]
            x = "y"
      [metadata.buildpacks.layers.s]
        sha = ""
        metadata = "text"
        build = false
        launch = false
        cache = false
    [metadata.buildpacks.store]
      [metadata.buildpacks.store.metadata]
        k = "v"

  [[metadata.buildpacks]]
    key = "b/two"
    version = "2"
    [metadata.buildpacks.layers]
  [metadata.config]
    sha = "{a}"
  [metadata.launcher]
    sha = "{b}"
  [metadata.process-types]
    sha = ""
  [metadata.run-image]
    top-layer = "t"
    reference = "r"
    image = "i"
    mirrors = ["m"]
  [metadata.stack]
    [metadata.stack.run-image]
      image = "i"
      mirrors = ["m"]

[run-image]
  reference = "r"
  image = "i"
  extend = true
  [run-image.target]
    id = "x"
    os = "linux"
    arch = "amd64"
    arch-variant = "v8"
"#
        );
        let analyzed = parse(&text).unwrap();
        assert_eq!(render(&analyzed), text);
        let layers = &analyzed.metadata.buildpack("b/one").unwrap().layers;
        assert_eq!(layers["a.b"].data, Value::Null);
        assert_eq!(layers["l"].data.as_table().unwrap()["a"], Value::Int(1));
        assert_eq!(layers["s"].sha, None);
    }

    #[test]
    fn an_empty_file_is_an_empty_analysis() {
        assert_eq!(parse(""), Ok(Analyzed::default()));
        assert!(render(&Analyzed::default()).starts_with("[image]\n  reference = \"\"\n"));
    }

    #[test]
    fn reads_the_variant_under_both_keys() {
        let variant = |key: &str| {
            let analyzed = parse(&format!("[run-image.target]\n{key} = 'v8'")).unwrap();
            analyzed.run_image.unwrap().target.unwrap().variant
        };
        assert_eq!(variant("variant"), "v8");
        assert_eq!(variant("arch-variant"), "v8");
    }

    #[test]
    fn a_sha_of_another_form_names_no_layer() {
        let text = "[[metadata.app]]\nsha = 'some-sha'\n[[metadata.buildpacks]]\nkey = 'b'\nlayers.l.sha = 'l-sha'";
        let metadata = parse(text).unwrap().metadata;
        assert_eq!(metadata.app, []);
        assert_eq!(metadata.buildpacks[0].layers["l"].sha, None);
    }
}
