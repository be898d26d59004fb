//! Pieces that several documents share: group elements, names of run images, bills of materials, stored layers.

use super::read::{Fields, Problem};
use super::write::Block;
use crate::model::digest::DiffId;
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::launch::{BomEntry, BomSource, Label, Slice};
use crate::model::order::GroupElement;
use crate::model::plan::Require;
use crate::model::run_image::RunImageRef;

/// Reads a member of a group; `extension = true` makes it an extension.
pub(super) fn element(fields: &Fields<'_>) -> Result<GroupElement, Problem> {
    Ok(GroupElement {
        kind: if fields.flag("extension")? { ModuleKind::Extension } else { ModuleKind::Buildpack },
        id: fields.id("id")?,
        version: fields.text("version")?,
        api: fields.text("api")?,
        homepage: fields.text("homepage")?,
        optional: fields.flag("optional")?,
    })
}

/// Reads a member of a list of extensions, which are always optional.
pub(super) fn extension(fields: &Fields<'_>) -> Result<GroupElement, Problem> {
    Ok(GroupElement { kind: ModuleKind::Extension, optional: true, ..element(fields)? })
}

/// Reads a list of tables.
pub(super) fn each<T>(
    fields: &Fields<'_>,
    key: &str,
    read: impl Fn(&Fields<'_>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    fields.tables(key)?.iter().map(read).collect()
}

/// Reads a list of tables that may be absent.
pub(super) fn each_if_any<T>(
    fields: &Fields<'_>,
    key: &str,
    read: impl Fn(&Fields<'_>) -> Result<T, Problem>,
) -> Result<Option<Vec<T>>, Problem> {
    if fields.has(key) { each(fields, key, read).map(Some) } else { Ok(None) }
}

/// Writes id, version, api and home page of a module.
pub(super) fn element_block(element: &GroupElement) -> Block {
    Block::new()
        .text("id", element.id.as_str())
        .text("version", &element.version)
        .text_if_any("api", &element.api)
        .text_if_any("homepage", &element.homepage)
}

/// Reads a requirement.
pub(super) fn require(fields: &Fields<'_>) -> Result<Require, Problem> {
    Ok(Require {
        name: fields.text("name")?,
        version: fields.text_if_any("version")?.filter(|version| !version.is_empty()),
        metadata: fields.free_table("metadata"),
    })
}

/// Writes a requirement.
pub(super) fn require_block(require: &Require) -> Block {
    Block::new()
        .text("name", &require.name)
        .text_if_any("version", require.version.as_deref().unwrap_or_default())
        .table_if_any("metadata", require.metadata.as_ref().map(Block::free))
}

/// Reads a name of a run image with its mirrors.
pub(super) fn run_image(fields: &Fields<'_>) -> Result<RunImageRef, Problem> {
    Ok(RunImageRef { image: fields.text("image")?, mirrors: fields.texts("mirrors")? })
}

/// Reads an entry of a bill of materials.
pub(super) fn bom_entry(fields: &Fields<'_>) -> Result<BomEntry, Problem> {
    let Require { name, version, metadata } = require(fields)?;
    let source = fields.section("buildpack")?;
    let version_of_source = source.text("version")?;
    // The builder names the buildpack, whatever the buildpack itself says.
    let buildpack = ModuleId::parse(&source.text("id")?).ok().map(|id| BomSource { id, version: version_of_source });
    Ok(BomEntry { name, version, metadata, buildpack })
}

/// Writes an entry of a bill of materials.
pub(super) fn bom_block(entry: &BomEntry) -> Block {
    let source = |source: &BomSource| Block::new().text("id", source.id.as_str()).text("version", &source.version);
    Block::new()
        .text("name", &entry.name)
        .text_if_any("version", entry.version.as_deref().unwrap_or_default())
        .table_if_any("metadata", entry.metadata.as_ref().map(Block::free))
        .table_if_any("buildpack", entry.buildpack.as_ref().map(source))
}

/// Reads a label.
pub(super) fn label(fields: &Fields<'_>) -> Result<Label, Problem> {
    Ok(Label { key: fields.text("key")?, value: fields.text("value")? })
}

/// Reads a slice.
pub(super) fn slice(fields: &Fields<'_>) -> Result<Slice, Problem> {
    Ok(Slice { paths: fields.texts("paths")? })
}

/// The text of a diff id; empty if there is none.
pub(super) fn sha_text(sha: Option<&DiffId>) -> &str {
    sha.map_or("", DiffId::as_str)
}
