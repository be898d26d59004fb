//! Reading from a registry: manifests, configurations, layers.

use std::io::{self, Read};
use std::sync::Arc;

use super::client::{Call, Client, Reply, Repository, Target};
use super::error::Error;
use super::http::Body;
use super::retry::Retries;
use crate::effect::images::{Documents, Opened};
use crate::image::{assemble, blob, media, platform, sha256};
use crate::model::digest::Digest;
use crate::model::image::{Descriptor, ImageRecord};
use crate::model::reference::{Reference, Version};
use crate::net::Failure;
use crate::schema::image::{Document, Manifest, parse_document};

/// The most that a manifest or an index may have, in bytes.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// The most that a configuration may have, in bytes.
const CONFIG_LIMIT: u64 = 8 << 20;
/// How deep indexes may lie in each other.
const DEPTH: usize = 4;

impl Client {
    /// Opens an image.
    pub(super) fn open(&self, name: &str, reference: &Reference, architecture: &str) -> Result<Opened, Error> {
        let repository = self.repository(reference);
        let mut version = reference.version().clone();
        for depth in 0..DEPTH {
            let Some((document, digest)) = self.document(&repository, &version)? else {
                // What an index names belongs to it.
                return Ok(match depth {
                    0 => Opened::Missing,
                    _ => Opened::Corrupt(format!("manifest {} is missing", text(&version))),
                });
            };
            let entries = match document {
                Document::Index(entries) => entries,
                Document::Manifest(manifest) => {
                    let identifier = format!("{}@{digest}", reference.context());
                    return self.image(name, identifier, &repository, manifest);
                }
            };
            let Some(entry) = platform::choose(&entries, architecture) else {
                let reason = format!("failed to find manifest matching platform linux/{architecture}");
                return Ok(Opened::Corrupt(reason));
            };
            version = Version::Digest(entry.descriptor.digest.clone());
        }
        Ok(Opened::Corrupt("its indexes lie too deep in each other".to_owned()))
    }

    fn image(
        &self,
        name: &str,
        identifier: String,
        repository: &Repository,
        manifest: Manifest,
    ) -> Result<Opened, Error> {
        let Some(config) = self.config(repository, &manifest.config)? else {
            return Ok(Opened::Corrupt(format!("config {} is missing", manifest.config.digest)));
        };
        Ok(match assemble::record(name, identifier, manifest, &config) {
            Ok(record) => Opened::Found(Box::new(record)),
            Err(error) => Opened::Corrupt(error.to_string()),
        })
    }

    /// Asks whether a manifest can be read: its digest, if it is there and the registry tells.
    pub(super) fn head(
        &self,
        repository: &Repository,
        version: &Version,
        scope: String,
    ) -> Result<Option<Digest>, Error> {
        let reply = self.call(
            repository,
            &Call {
                method: "HEAD",
                about: "manifest",
                target: Target::Path(format!("manifests/{}", text(version))),
                headers: vec![("accept", media::ACCEPTED.as_str())],
                body: Body::None,
                scopes: vec![scope],
                accepts: &[200, 404],
                again: true,
                limit: None,
            },
        )?;
        let digest = reply.answer.header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
        Ok(digest.filter(|_| reply.answer.status == 200))
    }

    /// A manifest or index with its digest, verified.
    fn document(&self, repository: &Repository, version: &Version) -> Result<Option<(Document, Digest)>, Error> {
        let Some(Found { reply, digest }) = self.manifest(repository, version)? else { return Ok(None) };
        let mut document = parsed(&reply)?;
        if let Document::Manifest(manifest) = &mut document
            && manifest.media_type.is_empty()
        {
            let media_type = reply.answer.header("content-type").unwrap_or_default();
            media_type.split(';').next().unwrap_or_default().trim().clone_into(&mut manifest.media_type);
        }
        Ok(Some((document, digest)))
    }

    /// The documents of an image that was opened.
    pub(super) fn documents(&self, image: &ImageRecord) -> Result<Documents, Error> {
        let reference = Reference::parse(&image.identifier)?;
        let repository = self.repository(&reference);
        let lost = |digest: &str| Error::LostDocument { image: image.identifier.clone(), digest: digest.to_owned() };
        let found = self.manifest(&repository, reference.version())?;
        let reply = found.ok_or_else(|| lost(text(reference.version())))?.reply;
        let Document::Manifest(manifest) = parsed(&reply)? else { return Err(lost(text(reference.version()))) };
        let config = self.config(&repository, &manifest.config)?;
        let config = config.ok_or_else(|| lost(manifest.config.digest.as_str()))?;
        Ok(Documents { manifest: reply.body, config })
    }

    /// A manifest or index as it is, with its digest, verified.
    fn manifest(&self, repository: &Repository, version: &Version) -> Result<Option<Found>, Error> {
        let reply = self.call(
            repository,
            &Call {
                method: "GET",
                about: "manifest",
                target: Target::Path(format!("manifests/{}", text(version))),
                headers: vec![("accept", media::ACCEPTED.as_str())],
                body: Body::None,
                scopes: vec![repository.pull()],
                accepts: &[200, 404],
                again: true,
                limit: Some(MANIFEST_LIMIT),
            },
        )?;
        if reply.answer.status == 404 {
            return Ok(None);
        }
        let digest = sha256::digest(&reply.body);
        // Of a tag the registry's own word (`Docker-Content-Digest`) is not asked for: the content is what counts.
        if let Version::Digest(expected) = version
            && *expected != digest
        {
            return Err(wrong(&reply, format!("expected {expected}, but the content is {digest}")));
        }
        Ok(Some(Found { reply, digest }))
    }

    fn config(&self, repository: &Repository, config: &Descriptor) -> Result<Option<Vec<u8>>, Error> {
        let call = blob_call("GET", repository, &config.digest, Some(CONFIG_LIMIT));
        let reply = self.call(repository, &call)?;
        if reply.answer.status == 404 {
            return Ok(None);
        }
        let found = sha256::digest(&reply.body);
        if found != config.digest || reply.body.len() as u64 != config.size {
            let cause = format!("expected {}, but the content is {found}", config.digest);
            return Err(Error::Answer { method: "GET", url: reply.url.to_string(), cause });
        }
        Ok(Some(reply.body))
    }

    /// A blob as a stream that goes on where it was cut. Its bytes are not verified here.
    pub(super) fn blob(
        self: &Arc<Self>,
        image: &ImageRecord,
        repository: Repository,
        wanted: &blob::Blob,
    ) -> Result<Box<dyn Read + Send>, Error> {
        let mut blob = Blob {
            client: self.clone(),
            image: image.identifier.clone(),
            repository,
            digest: wanted.digest.clone(),
            size: wanted.size,
            read: 0,
            failures: 0,
            body: None,
        };
        blob.connect()?;
        Ok(Box::new(blob))
    }
}

/// A manifest or index that was found.
struct Found {
    reply: Reply,
    digest: Digest,
}

fn parsed(reply: &Reply) -> Result<Document, Error> {
    parse_document(&reply.body).map_err(|error| wrong(reply, format!("the answer is no image manifest: {error}")))
}

fn wrong(reply: &Reply, cause: String) -> Error {
    Error::Answer { method: "GET", url: reply.url.to_string(), cause }
}

/// The call that reads a blob, or asks whether it is there.
pub(super) fn blob_call<'a>(
    method: &'static str,
    repository: &Repository,
    digest: &Digest,
    limit: Option<u64>,
) -> Call<'a> {
    Call {
        method,
        about: "blob",
        target: Target::Path(format!("blobs/{digest}")),
        headers: Vec::new(),
        body: Body::None,
        scopes: vec![repository.pull()],
        accepts: &[200, 404],
        again: true,
        limit,
    }
}

/// A version as a manifest's address has it.
pub(super) fn text(version: &Version) -> &str {
    match version {
        Version::Tag(tag) => tag,
        Version::Digest(digest) => digest.as_str(),
    }
}

/// A blob that is being read.
struct Blob {
    client: Arc<Client>,
    image: String,
    repository: Repository,
    digest: Digest,
    size: u64,
    read: u64,
    failures: u32,
    body: Option<Box<dyn Read + Send>>,
}

impl Blob {
    /// Asks for what is not yet read.
    fn connect(&mut self) -> Result<(), Error> {
        let range = format!("bytes={}-", self.read);
        let mut call = blob_call("GET", &self.repository, &self.digest, None);
        call.accepts = &[200, 206, 404];
        if self.read > 0 {
            call.headers.push(("range", &range));
        }
        let reply = self.client.call(&self.repository, &call)?;
        let lost = || Error::LostBlob { image: self.image.clone(), digest: self.digest.clone() };
        let skip = match reply.answer.status {
            404 => return Err(lost()),
            200 if reply.answer.length().is_some_and(|found| found != self.size) => {
                let found = reply.answer.length().unwrap_or_default();
                return Err(Error::Size { digest: self.digest.clone(), expected: self.size, found });
            }
            // The registry does not know ranges and begins anew.
            200 => self.read,
            _ => 0,
        };
        let mut body = reply.answer.into_reader();
        io::copy(&mut body.by_ref().take(skip), &mut io::sink())
            .map_err(|error| super::client::transport("GET", &reply.url, Failure::of_io(&error)))?;
        self.body = Some(Box::new(body));
        Ok(())
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.read).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        loop {
            if self.body.is_none() {
                self.connect().map_err(io::Error::other)?;
            }
            let result = self.body.as_mut().map_or(Ok(0), |body| body.read(&mut buffer[..most]));
            let failure = match result {
                Ok(0) => Failure { cause: "unexpected end of file".to_owned(), retryable: true },
                Ok(count) => {
                    self.read += count as u64;
                    self.failures = 0;
                    return Ok(count);
                }
                Err(error) => Failure::of_io(&error),
            };
            self.body = None;
            let mut retries = Retries::after(self.client.retry, self.client.pause.as_ref(), self.failures);
            if !failure.retryable || retries.wait(None).is_none() {
                return Err(io::Error::other(format!("reading blob {}: {}", self.digest, failure.cause)));
            }
            self.failures += 1;
        }
    }
}
