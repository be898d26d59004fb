//! Writing to a registry: blobs first, each once; then one manifest for each name.
//!
//! Catalogue 2, section 4.1; policy P25, P26. Whether a name already has the very image is asked before any blob is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::RegistryImages;
use super::client::{Call, Client, Repository, Target, lock};
use super::error::Error;
use super::http::Body;
use super::pull::{blob_call, text};
use super::spool::spool_file;
use super::upload::Source;
use crate::effect::images::{DraftLayer, ImageDraft, NewLayer, WrittenImage};
use crate::image::assemble::{Assembled, assemble, is_foreign};
use crate::image::blob::{self, Blob};
use crate::image::sha256::Verified;
use crate::model::digest::{DiffId, Digest};
use crate::model::image::{Descriptor, ImageRecord};
use crate::model::reference::{Reference, Version};

/// How many blobs are on their way at the same time.
const UPLOADS: usize = 4;

/// A blob that the image needs, and where its bytes are.
struct Needed<'a> {
    blob: Blob,
    /// The diff id, of a layer that is compressed as ours are and not the run image's.
    diff_id: Option<&'a DiffId>,
    from: From<'a>,
}

/// Where the bytes of a blob are.
#[derive(Clone, Copy)]
pub(super) enum From<'a> {
    Memory(&'a [u8]),
    Spool(&'a File),
    /// It was stored already, if not in this repository.
    Stored(&'a NewLayer),
    Image(&'a ImageRecord),
}

/// What a repository says of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has it, of the size that is wanted if one is, as far as it tells one.
    Whole,
    /// It has so many bytes by this name, which are others.
    Sized(u64),
    /// It does not have it.
    Missing,
}

/// A layer that this process has stored, or found where an image needed it.
#[derive(Clone)]
pub(super) struct Stored {
    blob: Blob,
    repository: Repository,
}

/// New layers as blobs; those that are not stored anywhere yet as compressed files that have no name.
type Spooled = BTreeMap<DiffId, (Blob, Option<File>)>;

impl RegistryImages {
    /// Writes a draft under each name.
    pub(super) fn push(&self, draft: &ImageDraft, names: &[String]) -> Result<WrittenImage, Error> {
        if names.is_empty() {
            return Err(Error::NoNames);
        }
        let spooled = self.spool(draft, names)?;
        let stored = spooled.iter().map(|(diff_id, (blob, _))| (diff_id.clone(), blob.clone())).collect();
        let image = assemble(draft, &stored, &BTreeMap::new())?;
        let needed = needed(draft, &image, &spooled);

        let mut results: Vec<(String, Result<(), String>)> = Vec::with_capacity(names.len());
        let mut ready: Vec<(String, bool)> = Vec::new();
        for name in names {
            let result = self.push_one(name, &image, &needed, &mut ready);
            results.push((name.clone(), result.map_err(|error| error.to_string())));
        }
        // It is told now, and may have been mended until the next time.
        lock(&self.refused).take();
        Ok(WrittenImage {
            id: image.manifest_descriptor.digest.to_string(),
            digest: Some(image.manifest_descriptor.digest),
            image_id: None,
            manifest_size: image.manifest_descriptor.size,
            names: results,
        })
    }

    /// Writes the image under one name. `ready` has the repositories that have all blobs.
    fn push_one(
        &self,
        name: &str,
        image: &Assembled,
        needed: &[Needed<'_>],
        ready: &mut Vec<(String, bool)>,
    ) -> Result<(), Error> {
        let reference = Reference::parse(name)?;
        let repository = self.client.repository(&reference);
        // Who said no to a layer that was sent ahead need not be asked again.
        if let Some((refusing, error)) = &*lock(&self.refused)
            && refusing.is(&repository)
            && !error.is_retryable()
        {
            return Err(Error::Shared(Arc::clone(error)));
        }
        let found = match self.client.head(&repository, reference.version(), repository.push()) {
            Ok(found) => found,
            // Who may write need not be allowed to look, and there are registries that know no HEAD.
            Err(error) if error.lasting_status().is_some_and(|status| status != 401) => None,
            Err(error) => return Err(error),
        };
        if found.as_ref() == Some(&image.manifest_descriptor.digest) {
            return Ok(());
        }
        let key = (reference.context(), repository.insecure);
        if !ready.contains(&key) {
            in_parallel(needed, UPLOADS, |needed| self.provide(&repository, needed))?;
            ready.push(key);
        }
        self.client.put_manifest(&repository, reference.version(), image)
    }

    /// Finds layers of an image whose blobs its repository does not have.
    pub(super) fn lost(&self, image: &ImageRecord) -> Result<Vec<DiffId>, Error> {
        let repository = self.client.repository(&Reference::parse(&image.identifier)?);
        let lost = Mutex::new(Vec::new());
        in_parallel(&image.layers, UPLOADS, |layer| {
            let has = match &layer.descriptor {
                Some(descriptor) => {
                    self.client.find_blob(&repository, &repository.pull(), &descriptor.digest, None)? == Found::Whole
                }
                None => false,
            };
            if !has {
                lock(&lost).push(layer.diff_id.clone());
            }
            Ok(())
        })?;
        Ok(lost.into_inner().unwrap_or_default())
    }

    /// Stores a layer in the repository of an image that is yet to be written. One that another repository of the
    /// registry has is not sent.
    pub(super) fn store(&self, name: &str, layer: &NewLayer) -> Result<(), Error> {
        let repository = self.client.repository(&Reference::parse(name)?);
        let diff_id = Some(&layer.diff_id);
        if let Some(Stored { blob, repository: origin }) = self.stored(&layer.diff_id)
            && (self.client.find_blob(&repository, &repository.push(), &blob.digest, Some(blob.size))? == Found::Whole
                || self.mount(&repository, &origin, &blob.digest)?)
        {
            self.remember(diff_id, &blob, &repository);
            return Ok(());
        }
        match self.compress_ahead(name, layer)? {
            (_, None) => Ok(()),
            (_, Some((_, Some(error)))) => Err(error),
            (blob, Some((file, None))) => {
                self.provide(&repository, &Needed { blob, diff_id, from: From::Spool(&file) })
            }
        }
    }

    /// Compresses the new layers that are neither stored nor kept yet, some at a time, and sends them ahead to the first
    /// repository that can be had.
    fn spool(&self, draft: &ImageDraft, names: &[String]) -> Result<Spooled, Error> {
        let mut known = BTreeSet::new();
        let new = draft.layers.iter().filter_map(|(layer, _)| match layer {
            DraftLayer::New(layer) => known.insert(&layer.diff_id).then_some(layer),
            DraftLayer::Base(_) | DraftLayer::Reuse(_) => None,
        });
        let new: Vec<&NewLayer> = new.collect();
        let name = names.iter().find(|name| Reference::parse(name).is_ok()).map_or("", String::as_str);
        let spooled = Mutex::new(Spooled::new());
        in_parallel(&new, UPLOADS, |layer| {
            let kept = lock(&self.kept).remove(&layer.diff_id);
            let (blob, file) = match (kept, self.stored(&layer.diff_id)) {
                (Some((blob, file)), _) => (blob, Some(file)),
                (None, Some(stored)) => (stored.blob, None),
                (None, None) => {
                    let (blob, unsent) = self.compress_ahead(name, layer)?;
                    let file = unsent.map(|(file, why)| {
                        self.refuse(name, why);
                        file
                    });
                    (blob, file)
                }
            };
            lock(&spooled).insert(layer.diff_id.clone(), (blob, file));
            Ok(())
        })?;
        Ok(spooled.into_inner().unwrap_or_default())
    }

    fn compress(&self, layer: &NewLayer) -> Result<(Blob, File), Error> {
        let mut file = spool_file(&self.temp_dir)?;
        let blob = blob::compress(layer, &mut file, &self.client.listener)
            .map_err(|error| error.written_to(&self.temp_dir))?;
        lock(&self.client.names).insert(blob.digest.clone(), layer.id.clone());
        Ok((blob, file))
    }

    /// What is known of a layer that was stored already.
    fn stored(&self, diff_id: &DiffId) -> Option<Stored> {
        lock(&self.stored).get(diff_id).cloned()
    }

    pub(super) fn remember(&self, diff_id: Option<&DiffId>, blob: &Blob, repository: &Repository) {
        if let Some(diff_id) = diff_id {
            let stored = Stored { blob: blob.clone(), repository: repository.clone() };
            lock(&self.stored).insert(diff_id.clone(), stored);
        }
    }

    /// Has a registry take a blob from another of its repositories; tells whether it did.
    fn mount(&self, repository: &Repository, origin: &Repository, digest: &Digest) -> Result<bool, Error> {
        Ok(origin.registry == repository.registry && self.client.mount(repository, origin, digest)?)
    }

    /// Sees to it that a repository has a blob.
    fn provide(&self, repository: &Repository, needed: &Needed<'_>) -> Result<(), Error> {
        // What this process has just sent to it, it need not be asked for.
        if let (From::Spool(_) | From::Stored(_), Some(diff_id)) = (needed.from, needed.diff_id)
            && self.stored(diff_id).is_some_and(|it| it.blob == needed.blob && it.repository.is(repository))
        {
            return Ok(());
        }
        let blob = &needed.blob;
        match (self.client.find_blob(repository, &repository.push(), &blob.digest, Some(blob.size))?, needed.from) {
            (Found::Whole, _) => {}
            // The manifest of the image that has it says so, and ours would.
            (Found::Sized(found), From::Image(_)) => {
                return Err(Error::Size { digest: blob.digest.clone(), expected: blob.size, found });
            }
            _ => self.send(repository, blob, needed.from)?,
        }
        self.remember(needed.diff_id, &needed.blob, repository);
        Ok(())
    }

    /// Sends a blob, or has the registry take it from where it is already.
    pub(super) fn send(&self, repository: &Repository, blob: &Blob, from: From<'_>) -> Result<(), Error> {
        let digest = &blob.digest;
        match from {
            From::Memory(bytes) => self.client.upload(repository, digest, Source::Bytes(bytes)),
            From::Spool(file) => self.client.upload(repository, digest, Source::File(file)),
            From::Stored(layer) => {
                let origin = self.stored(&layer.diff_id).map(|stored| stored.repository);
                if let Some(origin) = &origin
                    && self.mount(repository, origin, digest)?
                {
                    return Ok(());
                }
                // Made anew, unless another program had compressed it.
                let (made, file) = self.compress(layer)?;
                if made != *blob {
                    let image = origin.map(|origin| origin.name).unwrap_or_default();
                    return Err(Error::LostBlob { image, digest: digest.clone() });
                }
                self.client.upload(repository, digest, Source::File(&file))
            }
            From::Image(image) => {
                let lost = || Error::LostBlob { image: image.identifier.clone(), digest: digest.clone() };
                let origin = self.client.repository(&Reference::parse(&image.identifier)?);
                if origin.is(repository) {
                    return Err(lost());
                }
                if self.mount(repository, &origin, digest)? {
                    return Ok(());
                }
                // Verified before any of it is sent, and a file can be sent again.
                let mut file = spool_file(&self.temp_dir)?;
                let bytes = self.client.blob(image, origin, blob)?;
                let mut bytes = Verified::new(bytes, digest.as_str(), Some(blob.size));
                io::copy(&mut bytes, &mut file).map_err(|cause| Error::Copy { digest: digest.clone(), cause })?;
                self.client.upload(repository, digest, Source::File(&file))
            }
        }
    }
}

impl Client {
    /// Tells how a repository has a blob; `scope` is what it is asked for.
    pub(super) fn find_blob(
        &self,
        repository: &Repository,
        scope: &str,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<Found, Error> {
        let mut call = blob_call("HEAD", repository, digest, None);
        call.scopes = vec![scope.to_owned()];
        let answer = self.call(repository, &call)?.answer;
        Ok(match answer.length() {
            _ if answer.status != 200 => Found::Missing,
            Some(found) if size.is_some_and(|size| size != found) => Found::Sized(found),
            _ => Found::Whole,
        })
    }

    /// Deletes an image by its digest.
    pub(super) fn delete(&self, image: &ImageRecord) -> Result<(), Error> {
        let reference = Reference::parse(&image.identifier)?;
        let repository = self.repository(&reference);
        let call = Call {
            method: "DELETE",
            about: "manifest",
            target: Target::Path(format!("manifests/{}", text(reference.version()))),
            headers: Vec::new(),
            body: Body::None,
            scopes: vec![repository.delete()],
            accepts: &[200, 202, 204],
            again: true,
            limit: Some(64 << 10),
        };
        self.call(&repository, &call).map(drop)
    }

    fn put_manifest(&self, repository: &Repository, version: &Version, image: &Assembled) -> Result<(), Error> {
        let reply = self.call(
            repository,
            &Call {
                method: "PUT",
                about: "manifest",
                target: Target::Path(format!("manifests/{}", text(version))),
                headers: vec![("content-type", image.manifest_descriptor.media_type.as_str())],
                body: Body::Bytes(&image.manifest),
                scopes: vec![repository.push()],
                accepts: &[200, 201, 202],
                again: true,
                limit: None,
            },
        )?;
        reply.stored("PUT", &image.manifest_descriptor.digest)
    }
}

/// Every blob of the image once, the configuration last.
fn needed<'a>(draft: &'a ImageDraft, image: &'a Assembled, spooled: &'a Spooled) -> Vec<Needed<'a>> {
    let mut needed: Vec<Needed<'a>> = Vec::new();
    let mut known = BTreeSet::new();
    for ((layer, _), descriptor) in draft.layers.iter().zip(&image.layers) {
        if is_foreign(descriptor) || !known.insert(&descriptor.digest) {
            continue;
        }
        let diff_id = match layer {
            DraftLayer::New(NewLayer { diff_id, .. }) | DraftLayer::Reuse(diff_id)
                if descriptor.media_type.ends_with("gzip") =>
            {
                Some(diff_id)
            }
            _ => None,
        };
        let from = match layer {
            DraftLayer::New(new) => spooled.get(&new.diff_id).map(|(_, file)| match file {
                Some(file) => From::Spool(file),
                None => From::Stored(new),
            }),
            DraftLayer::Base(_) => Some(From::Image(&draft.base)),
            DraftLayer::Reuse(_) => draft.previous.as_ref().map(From::Image),
        };
        // `assemble` has refused layers without source.
        needed.extend(from.map(|from| Needed { blob: blob_of(descriptor), diff_id, from }));
    }
    needed.push(Needed { blob: blob_of(&image.config_descriptor), diff_id: None, from: From::Memory(&image.config) });
    needed
}

/// A blob as a manifest names it.
pub(super) fn blob_of(descriptor: &Descriptor) -> Blob {
    Blob { digest: descriptor.digest.clone(), size: descriptor.size }
}

/// Does something with each item, several at a time, until all are done or one has failed.
fn in_parallel<T: Sync>(
    items: &[T],
    at_once: usize,
    each: impl Fn(&T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = each(item) {
                next.store(items.len(), Ordering::Relaxed);
                lock(&failure).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..at_once.min(items.len()) {
            // Where the system gives no more threads, those that there are do it all.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    match failure.into_inner() {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(error),
        Err(poisoned) => poisoned.into_inner().map_or(Ok(()), Err),
    }
}
