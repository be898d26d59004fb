//! One blob on its way into a repository: begun, sent, finished; gone on with after a cut.
//!
//! Clause: the distribution specification. What is whole goes with the request that ends its upload ("POST then PUT"), as
//! containerd does it: a request costs docker-registry 2 ms of processor time. What is still written is sent in one chunk
//! without its length, as docker does, and what was cut in one chunk more.

use std::fs::File;

use super::client::{Call, Client, Reply, Repository, Target, location, lock};
use super::error::Error;
use super::http::Body;
use super::insecure::{is_inner_address, is_local};
use super::pull::blob_call;
use super::retry::Retries;
use super::spool::Spool;
use super::url::Url;
use crate::effect::events::{TransferEvent, WorkId};
use crate::model::digest::Digest;

/// The bytes of a blob.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Bytes(&'a [u8]),
    File(&'a File),
}

/// Tells how far a blob is on its way.
struct Told<'a> {
    client: &'a Client,
    what: String,
    id: WorkId,
}

impl<'a> Told<'a> {
    fn new(client: &'a Client, what: String) -> Self {
        Self { client, what, id: WorkId::next() }
    }

    fn sent(&self, bytes: u64, size: Option<u64>) {
        let event = TransferEvent::Sent { id: self.id, what: self.what.clone(), bytes, size };
        self.client.listener.events.emit(event.into());
    }

    fn ended(&self, arrived: bool) {
        self.client.listener.events.emit(TransferEvent::Ended { id: self.id, arrived }.into());
    }
}

impl Source<'_> {
    fn size(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(file) => file.metadata().ok().map(|metadata| metadata.len()),
        }
    }

    fn from<'b>(&'b self, offset: u64, told: &'b dyn Fn(u64)) -> Body<'b> {
        match self {
            Self::Bytes(bytes) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                Body::Bytes(bytes.get(offset..).unwrap_or_default())
            }
            Self::File(file) => Body::File(file, offset, told),
        }
    }
}

impl Client {
    /// Uploads a blob, and tells how far it is. After a cut the registry is asked how far it got.
    pub(super) fn upload(&self, repository: &Repository, digest: &Digest, source: Source<'_>) -> Result<(), Error> {
        self.upload_from(repository, digest, source, None)
    }

    /// Goes on with the upload of a file to an address where it was cut, unless the error is such that this is of no use.
    pub(super) fn resume(
        &self,
        repository: &Repository,
        digest: &Digest,
        file: &File,
        url: &Url,
        error: Error,
    ) -> Result<(), Error> {
        self.upload_from(repository, digest, Source::File(file), Some((url.clone(), error)))
    }

    /// Sends a blob while it is written, and tells how far it is. Gives the address to end it.
    pub(super) fn send_growing(
        &self,
        repository: &Repository,
        url: &Url,
        id: &str,
        spool: &Spool,
    ) -> Result<Url, Error> {
        let told = Told::new(self, format!("layer '{id}'"));
        let hear = |bytes| told.sent(bytes, spool.size());
        let sent = self.patch(repository, url, Body::Growing(spool, &hear), None);
        told.ended(sent.is_ok());
        sent
    }

    fn upload_from(
        &self,
        repository: &Repository,
        digest: &Digest,
        source: Source<'_>,
        cut: Option<(Url, Error)>,
    ) -> Result<(), Error> {
        let what = lock(&self.names).get(digest).map(|id| format!("layer '{id}'"));
        let told = Told::new(self, what.unwrap_or_else(|| format!("layer {digest}")));
        let size = source.size();
        let uploaded = self.upload_all(repository, digest, source, cut, &|bytes| told.sent(bytes, size));
        told.ended(uploaded.is_ok());
        uploaded
    }

    fn upload_all(
        &self,
        repository: &Repository,
        digest: &Digest,
        source: Source<'_>,
        cut: Option<(Url, Error)>,
        told: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let mut retries = Retries::new(self.retry, self.pause.as_ref());
        let (url, mut failed) = match cut {
            Some((url, error)) => (url, Some(error)),
            None => (self.begin(repository)?, None),
        };
        let mut at = (url, 0);
        loop {
            let sent = match failed.take() {
                Some(error) => Err(error),
                None if at.1 == 0 => self.end_with(repository, &at.0, digest, source.from(0, told)),
                None => {
                    self.send(repository, &at.0, at.1, source, told).and_then(|url| self.end(repository, &url, digest))
                }
            };
            let Err(error) = sent else { return Ok(()) };
            // 404 and 416: the registry has lost or ended the upload.
            let again = error.is_retryable() || matches!(error.status(), Some(404 | 416));
            if !again || retries.wait(error.retry_after()).is_none() {
                return Err(error);
            }
            // The last answer may have been lost, and all is done.
            let mut call = blob_call("HEAD", repository, digest, None);
            call.scopes = vec![repository.push()];
            if self.call(repository, &call)?.answer.status == 200 {
                return Ok(());
            }
            at = match self.progress(repository, &at.0) {
                Some(progress) => progress,
                None => (self.begin(repository)?, 0),
            };
        }
    }

    /// Checks that a repository can be written: begins an upload and calls it off.
    pub(super) fn try_upload(&self, repository: &Repository) -> Result<(), Error> {
        let url = self.begin(repository)?;
        self.call_off(repository, &url);
        Ok(())
    }

    /// Calls an upload off. A registry that cannot forgets it in time.
    pub(super) fn call_off(&self, repository: &Repository, url: &Url) {
        let call = upload_call("DELETE", Target::Url(url), repository, &[200, 202, 204, 404, 405]);
        let _ = self.call(repository, &Call { body: Body::None, again: false, ..call });
    }

    /// Has the registry take a blob from another of its repositories; tells whether it did.
    pub(super) fn mount(&self, repository: &Repository, origin: &Repository, digest: &Digest) -> Result<bool, Error> {
        let path = format!("blobs/uploads/?from={}&mount={digest}", origin.name);
        let mut call = upload_call("POST", Target::Path(path), repository, &[201, 202]);
        call.scopes.push(origin.pull());
        let reply = match self.call(repository, &call) {
            Ok(reply) => reply,
            // Copying may be allowed where mounting is not.
            Err(error) if error.status().is_some() => return Ok(false),
            Err(error) => return Err(error),
        };
        if reply.answer.status == 201 {
            return reply.stored("POST", digest).map(|()| true);
        }
        // It began an upload instead, which is not wanted yet.
        if let Ok(url) = upload_url("POST", repository, &reply) {
            self.call_off(repository, &url);
        }
        Ok(false)
    }

    /// Begins an upload; gives its address.
    pub(super) fn begin(&self, repository: &Repository) -> Result<Url, Error> {
        let target = Target::Path("blobs/uploads/".to_owned());
        let reply = self.call(repository, &upload_call("POST", target, repository, &[202]))?;
        upload_url("POST", repository, &reply)
    }

    /// Sends what a registry does not have yet; gives where to go on.
    fn send(
        &self,
        repository: &Repository,
        url: &Url,
        offset: u64,
        source: Source<'_>,
        told: &dyn Fn(u64),
    ) -> Result<Url, Error> {
        let body = source.from(offset, told);
        let length = body.len().unwrap_or(0);
        if length == 0 {
            // All of it arrived, only the answer did not; a registry refuses a range of nothing.
            return Ok(url.clone());
        }
        let range = format!("{offset}-{}", offset + length - 1);
        self.patch(repository, url, body, Some(&range))
    }

    /// Sends bytes to an upload; gives where to go on.
    fn patch(&self, repository: &Repository, url: &Url, body: Body<'_>, range: Option<&str>) -> Result<Url, Error> {
        let mut call = upload_call("PATCH", Target::Url(url), repository, &[200, 201, 202, 204]);
        call.headers = vec![("content-type", "application/octet-stream")];
        call.headers.extend(range.map(|range| ("content-range", range)));
        let reply = self.call(repository, &Call { body, again: false, ..call })?;
        upload_url("PATCH", repository, &reply)
    }

    /// Ends an upload: what was sent is a blob from then on.
    pub(super) fn end(&self, repository: &Repository, url: &Url, digest: &Digest) -> Result<(), Error> {
        self.end_with(repository, url, digest, Body::Bytes(&[]))
    }

    /// Ends an upload with what is left to send.
    fn end_with(&self, repository: &Repository, url: &Url, digest: &Digest, body: Body<'_>) -> Result<(), Error> {
        let url = url.clone().with("digest", digest.as_str());
        let mut call = upload_call("PUT", Target::Url(&url), repository, &[200, 201, 202, 204]);
        call.headers = vec![("content-type", "application/octet-stream")];
        self.call(repository, &Call { body, again: false, ..call })?.stored("PUT", digest)
    }

    /// Where to go on with an upload, and how many bytes the registry has of it; `None` if it does not tell.
    fn progress(&self, repository: &Repository, url: &Url) -> Option<(Url, u64)> {
        let call = upload_call("GET", Target::Url(url), repository, &[202, 204]);
        let reply = self.call(repository, &Call { body: Body::None, again: false, ..call }).ok()?;
        let last = reply.answer.header("range")?.trim_start_matches("bytes=").split_once('-')?.1.parse::<u64>().ok()?;
        let next = upload_url("GET", repository, &reply).ok()?;
        // `0-0` is what registries say of one byte, and of none.
        Some((next, if last == 0 { return None } else { last + 1 }))
    }
}

/// The address of the next step of an upload.
fn upload_url(method: &'static str, repository: &Repository, reply: &Reply) -> Result<Url, Error> {
    let url = location(method, &reply.url, &reply.answer)?;
    if leads_inside(&repository.registry, url.authority()) {
        let cause = "the answer's Location is an address of a private network".to_owned();
        return Err(Error::Answer { method, url: reply.url.to_string(), cause });
    }
    Ok(url)
}

/// Whether a registry out there sends us to an address that only this machine or its network has: it may not.
fn leads_inside(registry: &str, authority: &str) -> bool {
    let inner = is_inner_address(authority) || is_local(authority);
    inner && authority != registry && !is_local(registry)
}

/// A step of an upload, without body.
fn upload_call<'a>(method: &'static str, target: Target<'a>, repository: &Repository, accepts: &'a [u16]) -> Call<'a> {
    Call {
        method,
        about: "upload",
        target,
        headers: Vec::new(),
        body: Body::Bytes(&[]),
        scopes: vec![repository.push()],
        accepts,
        again: true,
        limit: Some(64 << 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_out_there_may_not_lead_inside() {
        for (registry, authority, expected) in [
            ("a.io", "169.254.169.254", true),
            ("a.io", "10.0.0.1:80", true),
            ("a.io", "localhost:5000", true),
            ("a.io", "[::1]", true),
            ("a.io", "storage.a.io", false),
            ("10.0.0.1:5000", "10.0.0.2:9000", false),
            ("localhost:5000", "127.0.0.1:5000", false),
        ] {
            assert_eq!(leads_inside(registry, authority), expected, "{registry} {authority}");
        }
    }
}
