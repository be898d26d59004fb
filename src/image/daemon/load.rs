//! An image into a daemon: `docker load` of an archive, then a tag for each name.
//!
//! Catalogue 2, section 4.3; policy P26, B32. The archive has the configuration, a member for each layer, and
//! `manifest.json`, and no name for the image: the daemon tells its id, and a name moves only after it was looked at. So do
//! docker with graph drivers, with containerd from 24 on, and podman.
//! A daemon with graph drivers does not read layers that it has, if all layers below are the same, too: for those an
//! empty member is enough. Any other store, and a daemon that refuses such an archive, gets every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde_json::{Deserializer, Value, json};

use super::client::Call;
use super::{DOCUMENT_LIMIT, DaemonImages, Error};
use crate::archive::{FileWriter, Heard};
use crate::effect::events::{Facts, Outcome, Work};
use crate::effect::images::{DraftLayer, ImageDraft, NewLayer, WrittenImage};
use crate::image::told::Told;
use crate::image::{assemble, media, sha256};
use crate::model::digest::{DiffId, Digest};
use crate::model::image::{Descriptor, ImageConfig, ImageRecord, MediaFamily};
use crate::model::reference::{Reference, Version};
use crate::schema::image::{Manifest, render_config, render_manifest};

/// An image as it is sent.
struct Plan<'a> {
    draft: &'a ImageDraft,
    config: Vec<u8>,
    diff_ids: Vec<DiffId>,
}

/// Where the bytes of a layer are.
enum Source<'a> {
    /// Made by this build.
    New(&'a NewLayer),
    /// In an image of the daemon.
    Stored(&'a ImageRecord),
}

/// A name that an image can get.
struct Target {
    repository: String,
    tag: String,
}

/// Writes a draft into the daemon.
pub(super) fn write(images: &DaemonImages, draft: &ImageDraft, names: &[String]) -> Result<WrittenImage, Error> {
    let plan = Plan::new(draft)?;
    let targets: Vec<Result<Target, Error>> = names.iter().map(|name| Target::parse(name)).collect();
    let Some(first) = targets.iter().find_map(|target| target.as_ref().ok()) else {
        return Err(targets.into_iter().find_map(Result::err).unwrap_or(Error::NoNames));
    };
    let name = first.to_string();
    let Loaded { stored, id } = load(images, &plan, &name)?;
    let id = checked(images, &plan, &name, id)?;
    if let Some(cache) = &images.launch_cache {
        cache.keep(&plan.own_layers(&stored), &*images.listener.events);
    }
    let results = targets.into_iter().zip(names).map(|(target, name)| {
        let tagged = target.and_then(|target| images.tag(&id, &target.repository, &target.tag));
        (name.clone(), tagged.map_err(|error| error.to_string()))
    });
    let names = results.collect();
    let id = id.strip_prefix("sha256:").unwrap_or(&id).to_owned();
    Ok(WrittenImage {
        id: id.chars().take(12).collect(),
        digest: None,
        image_id: Some(id),
        manifest_size: plan.manifest_size(),
        names,
    })
}

/// Layers that came from the daemon or the launch cache, to be sent.
type Stored = BTreeMap<DiffId, NewLayer>;

/// An image that a daemon says it has taken.
struct Loaded {
    /// The layers that had to be fetched for it.
    stored: Stored,
    /// The id that it got; some daemons do not say.
    id: Option<String>,
}

/// Sends the image, if need be a second time with all its bytes.
fn load(images: &DaemonImages, plan: &Plan<'_>, name: &str) -> Result<Loaded, Error> {
    let known = if images.is_containerd()? { 0 } else { plan.known() };
    match send(images, plan, name, known) {
        Err(first @ (Error::Load { .. } | Error::Refused { .. })) if known > 0 => match send(images, plan, name, 0) {
            Ok(loaded) => Ok(loaded),
            Err(second @ (Error::Load { .. } | Error::Content(_))) => Err(second),
            // That not all bytes can be had is not why the image was refused.
            Err(_) => Err(first),
        },
        result => result,
    }
}

/// Sends the image; of the first `known` layers it sends nothing.
fn send(images: &DaemonImages, plan: &Plan<'_>, name: &str, known: usize) -> Result<Loaded, Error> {
    let stored = plan.fetch(images, known)?;
    let mut wait = None;
    let mut content = |out: &mut dyn Write| {
        plan.write_archive(out, known, &stored, images)?;
        let told = Told::new(&*images.listener.events, format!("the daemon to take '{name}'"));
        told.awaited();
        wait = Some(told);
        Ok(())
    };
    let path = "/images/load".to_owned();
    let query = vec![("quiet", "1".to_owned())];
    let call = Call { method: "POST", path: path.clone(), query, content: Some(&mut content), works: true };
    let answer = images.call("load", call)?;
    let failed = |cause| Error::Load { name: name.to_owned(), cause };
    let said = answer.read(DOCUMENT_LIMIT).map_err(|cause| match cause.kind() {
        io::ErrorKind::TimedOut => Error::Transport { method: "POST", path, cause },
        _ => failed(format!("parsing daemon response: {cause}")),
    })?;
    let id = outcome(&said).map_err(failed)?;
    if let Some(wait) = wait {
        wait.arrived();
    }
    Ok(Loaded { stored, id })
}

/// What a daemon says at the end of loading: one message after the other, any of which may be that it failed. Gives the
/// id of the image.
fn outcome(said: &[u8]) -> Result<Option<String>, String> {
    let mut id = None;
    for message in Deserializer::from_slice(said).into_iter::<Value>() {
        let message = message.map_err(|error| format!("parsing daemon response: {error}"))?;
        let detail = &message["errorDetail"]["message"];
        if let Some(text) = detail.as_str().or(message["error"].as_str()).filter(|text| !text.is_empty()) {
            return Err(text.to_owned());
        }
        if !message["errorDetail"].is_null() {
            return Err(message["errorDetail"].to_string());
        }
        // Docker says `Loaded image ID: sha256:...`, podman `Loaded image: sha256:...`.
        let words = message["stream"].as_str().filter(|text| text.starts_with("Loaded image")).unwrap_or_default();
        let last = words.split_whitespace().last().filter(|word| Digest::parse(word).is_ok());
        id = last.map(str::to_owned).or(id);
    }
    Ok(id)
}

/// The id of the image that was loaded, after a look at it. A daemon that has another image, or none, has not loaded it.
fn checked(images: &DaemonImages, plan: &Plan<'_>, name: &str, id: Option<String>) -> Result<String, Error> {
    let lost = || Error::Load { name: name.to_owned(), cause: "the daemon does not have the image".to_owned() };
    let id = id.unwrap_or_else(|| sha256::digest(&plan.config).to_string());
    let (found, _) = images.inspect(&id, None)?.ok_or_else(lost)?;
    if found.config.diff_ids != plan.diff_ids || found.config.config.labels != plan.draft.config.config.labels {
        return Err(lost());
    }
    Ok(found.id)
}

impl<'a> Plan<'a> {
    fn new(draft: &'a ImageDraft) -> Result<Self, Error> {
        let mut diff_ids = Vec::with_capacity(draft.layers.len());
        let mut history = Vec::with_capacity(draft.layers.len());
        for (layer, entry) in &draft.layers {
            let diff_id = match layer {
                DraftLayer::New(new) => new.diff_id.clone(),
                DraftLayer::Base(index) => {
                    let layer = draft.base.layers.get(*index);
                    let layer = layer.ok_or_else(|| assemble::Error::NoBaseLayer {
                        image: draft.base.identifier.clone(),
                        index: *index,
                    })?;
                    layer.diff_id.clone()
                }
                DraftLayer::Reuse(diff_id) => {
                    let has = |image: &ImageRecord| image.layers.iter().any(|layer| &layer.diff_id == diff_id);
                    if !draft.previous.as_ref().is_some_and(has) {
                        return Err(assemble::Error::NoPreviousLayer(diff_id.clone()).into());
                    }
                    diff_id.clone()
                }
            };
            if entry.empty_layer {
                return Err(assemble::Error::EmptyHistory(diff_id).into());
            }
            diff_ids.push(diff_id);
            history.push(entry.clone());
        }
        let config = render_config(&ImageConfig { history, diff_ids: diff_ids.clone(), ..draft.config.clone() });
        Ok(Self { draft, config, diff_ids })
    }

    /// How many of the first layers the daemon has in just this order: those of the run image or the previous one.
    fn known(&self) -> usize {
        let common = |image: &ImageRecord| {
            let theirs = image.layers.iter().map(|layer| &layer.diff_id);
            theirs.zip(&self.diff_ids).take_while(|(theirs, ours)| theirs == ours).count()
        };
        std::iter::once(&self.draft.base).chain(&self.draft.previous).map(common).max().unwrap_or(0)
    }

    fn source(&self, index: usize) -> Source<'a> {
        let draft = self.draft;
        match (&draft.layers[index].0, &draft.previous) {
            (DraftLayer::New(new), _) => Source::New(new),
            (DraftLayer::Reuse(_), Some(previous)) => Source::Stored(previous),
            (DraftLayer::Base(_) | DraftLayer::Reuse(_), _) => Source::Stored(&draft.base),
        }
    }

    /// Fetches the layers that are not new and must be sent: from the launch cache, else out of the daemon.
    fn fetch(&self, images: &DaemonImages, known: usize) -> Result<Stored, Error> {
        let mut stored = Stored::new();
        for image in std::iter::once(&self.draft.base).chain(&self.draft.previous) {
            let mut wanted: Vec<DiffId> = Vec::new();
            for index in known..self.diff_ids.len() {
                let diff_id = &self.diff_ids[index];
                let is_here = matches!(self.source(index), Source::Stored(stored) if std::ptr::eq(stored, image));
                if !is_here || stored.contains_key(diff_id) || wanted.contains(diff_id) {
                    continue;
                }
                match images.launch_cache.as_ref().and_then(|cache| cache.layer(diff_id)) {
                    Some(layer) => drop(stored.insert(diff_id.clone(), layer)),
                    None => wanted.push(diff_id.clone()),
                }
            }
            if !wanted.is_empty() {
                let saved = images.save(image, &wanted)?;
                stored.extend(saved.into_iter().map(|(diff_id, saved)| (diff_id.clone(), saved.into_layer(&diff_id))));
            }
        }
        Ok(stored)
    }

    /// The layers on top of the run image, with their bytes where they are at hand.
    fn own_layers<'s>(&'s self, stored: &'s Stored) -> Vec<(&'s DiffId, Option<&'s NewLayer>)> {
        let own = self.draft.layers.iter().zip(&self.diff_ids);
        let own = own.filter_map(|((layer, _), diff_id)| match layer {
            DraftLayer::Base(_) => None,
            DraftLayer::New(new) => Some((diff_id, Some(new))),
            DraftLayer::Reuse(_) => Some((diff_id, stored.get(diff_id))),
        });
        own.collect()
    }

    fn write_archive(
        &self,
        out: &mut dyn Write,
        known: usize,
        stored: &Stored,
        images: &DaemonImages,
    ) -> io::Result<()> {
        let mut archive = FileWriter::new(out);
        let config = format!("{}.json", sha256::digest(&self.config).hex());
        archive.file(&config, self.config.len() as u64, |out| out.write_all(&self.config))?;
        let mut members: Vec<String> = Vec::with_capacity(self.diff_ids.len());
        let mut written: BTreeSet<&DiffId> = BTreeSet::new();
        for (index, diff_id) in self.diff_ids.iter().enumerate() {
            if index < known {
                let member = format!("blank_{index}");
                archive.file(&member, 0, |_| Ok(()))?;
                members.push(member);
                continue;
            }
            let member = format!("/{diff_id}.tar");
            // The same layer may be there several times.
            if written.insert(diff_id) {
                let source = self.source(index);
                let layer = match source {
                    Source::New(new) => Some(new),
                    Source::Stored(_) => stored.get(diff_id),
                };
                let layer = layer.ok_or_else(|| io::Error::other(format!("layer {diff_id} is lost")))?;
                let work = images.listener.begin(Work::WriteLayer(layer.id.clone()));
                let told = Told::new(&*images.listener.events, format!("layer '{}'", layer.id));
                archive.file(&member, layer.size, |out| {
                    let mut sent = 0;
                    let out = &mut Heard::new(out, |bytes| {
                        sent += bytes.len() as u64;
                        told.sent(sent, Some(layer.size));
                    });
                    match (&source, &images.launch_cache) {
                        (Source::New(new), Some(cache)) => cache.send(new, out),
                        _ => layer.tar.write_tar(out),
                    }
                })?;
                told.arrived();
                work.end(Outcome::Success, Facts { bytes: Some(layer.size), ..Facts::default() });
            }
            members.push(member);
        }
        let manifest = json!([{ "Config": config, "Layers": members, "RepoTags": null }]).to_string();
        archive.file("manifest.json", manifest.len() as u64, |out| out.write_all(manifest.as_bytes()))?;
        archive.finish()
    }

    /// The size of a manifest for this image, which a daemon does not keep: platforms expect a number in report.toml.
    fn manifest_size(&self) -> u64 {
        let descriptor = |media_type: &str, size, digest: Digest| Descriptor {
            media_type: media_type.to_owned(),
            size,
            digest,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
        };
        let layers = self.diff_ids.iter().enumerate().filter_map(|(index, diff_id)| {
            let size = if let Source::New(new) = self.source(index) { new.size } else { 0 };
            let digest = Digest::parse(diff_id.as_str()).ok()?;
            Some(descriptor(media::plain_layer(MediaFamily::Docker), size, digest))
        });
        let family = self.draft.base.family;
        let config = sha256::digest(&self.config);
        let manifest = Manifest {
            media_type: media::manifest(family).to_owned(),
            config: descriptor(media::config(family), self.config.len() as u64, config),
            layers: layers.collect(),
            annotations: BTreeMap::new(),
            artifact_type: String::new(),
        };
        render_manifest(&manifest).len() as u64
    }
}

impl Target {
    fn parse(name: &str) -> Result<Self, Error> {
        let reference = Reference::parse(name)?;
        match reference.version() {
            Version::Tag(tag) => Ok(Self { repository: reference.context(), tag: tag.clone() }),
            Version::Digest(_) => Err(Error::DigestAsTag(name.to_owned())),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hears_every_message_of_a_load() {
        let fine = r#"{"stream":"The image a:1 already exists, renaming the old one"}{"status":"Loading","progressDetail":{}}"#;
        assert_eq!(outcome(fine.as_bytes()), Ok(None));
        assert_eq!(outcome(b"\n"), Ok(None));
        let id = sha256::digest(b"x").to_string();
        for words in ["Loaded image ID: ", "Loaded image: "] {
            let said = format!(r#"{fine}{{"stream":"{words}{id}\n"}}"#);
            assert_eq!(outcome(said.as_bytes()), Ok(Some(id.clone())));
        }
        assert_eq!(outcome(br#"{"stream":"Loaded image: a.io/app:1"}"#), Ok(None));
        let late = format!(r#"{fine}{{"errorDetail":{{"message":"no space left"}},"error":"other"}}"#);
        assert_eq!(outcome(late.as_bytes()), Err("no space left".to_owned()));
        assert_eq!(outcome(br#"{"error":"bad"}"#), Err("bad".to_owned()));
        assert_eq!(outcome(br#"{"errorDetail":{"code":5}}"#), Err(r#"{"code":5}"#.to_owned()));
        assert!(outcome(b"<html>").unwrap_err().starts_with("parsing daemon response"));
        assert!(outcome(br#"{"stream":"cut"#).is_err());
    }
}
