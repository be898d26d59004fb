//! One blob on its way into a repository: begun, sent, finished; gone on with after a cut.
//!
//! Clause: the distribution specification. What is whole goes with the request that ends its upload ("POST then PUT"), as
//! containerd does it: a request costs docker-registry 2 ms of processor time. What is still written is sent in one chunk
//! without its length, as docker does, and what was cut in one chunk more. As that is the last, it may be smaller than the
//! least size of chunks that some registries name (`OCI-Chunk-Min-Length`).

use std::fs::File;

use super::client::{Call, Client, Reply, Repository, Target, location, lock};
use super::error::Error;
use super::http::{Answer, Body};
use super::insecure::{is_inner_address, is_local, is_loopback};
use super::push::Found;
use super::retry::Retries;
use super::spool::Spool;
use super::url::Url;
use crate::image::told::Told;
use crate::model::digest::Digest;
use crate::net::proxy::host;

/// Who got on by so many bytes may be cut as often again.
const STEP: u64 = 1 << 20;

/// The bytes of a blob.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Bytes(&'a [u8]),
    File(&'a File),
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

    /// Sends a blob while it is written, and tells how far it is. Gives the address to end it, and who is to hear of that.
    pub(super) fn send_growing(
        &self,
        repository: &Repository,
        url: &Url,
        id: &str,
        spool: &Spool,
    ) -> Result<(Url, Told<'_>), Error> {
        let told = Told::new(&*self.listener.events, format!("layer '{id}'"));
        let hear = |bytes| told.sent(bytes, spool.size());
        hear(0);
        let next = self.patch(repository, url, 0, Body::Growing(spool, &hear))?;
        Ok((next, told))
    }

    fn upload_from(
        &self,
        repository: &Repository,
        digest: &Digest,
        source: Source<'_>,
        cut: Option<(Url, Error)>,
    ) -> Result<(), Error> {
        let what = lock(&self.names).get(digest).map(|id| format!("layer '{id}'"));
        let told = Told::new(&*self.listener.events, what.unwrap_or_else(|| format!("layer {digest}")));
        let size = source.size();
        self.upload_all(repository, digest, source, cut, &|bytes| told.sent(bytes, size))?;
        told.arrived();
        Ok(())
    }

    fn upload_all(
        &self,
        repository: &Repository,
        digest: &Digest,
        source: Source<'_>,
        cut: Option<(Url, Error)>,
        told: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let size = source.size();
        let mut retries = Retries::new(self.retry, self.pause.as_ref());
        let (url, mut failed) = match cut {
            Some((url, error)) => (url, Some(error)),
            None => (self.begin(repository)?, None),
        };
        let mut at = (url, 0);
        let mut furthest = 0;
        loop {
            let sent = match failed.take() {
                Some(error) => Err(error),
                None => self.send(repository, digest, &at.0, at.1, source, told),
            };
            let Err(error) = sent else { return Ok(()) };
            let again = match error.status() {
                // The registry has lost or ended the upload.
                Some(404 | 416) => true,
                // The pieces do not make the blob.
                Some(400) => at.1 > 0,
                _ => error.is_retryable(),
            };
            if !again || retries.wait(error.retry_after()).is_none() {
                return Err(error);
            }
            // The last answer may have been lost, and all is done.
            match self.find_blob(repository, &repository.push(), digest, size) {
                Ok(Found::Whole) => return Ok(()),
                Err(error) if error.lasting_status().is_none() => return Err(error),
                Ok(_) | Err(_) => {}
            }
            let is_credible = |offset: u64| match error.status() {
                Some(400) => false,
                // It does not take what it asked for.
                Some(416) if offset == at.1 => false,
                _ => size.is_none_or(|size| offset <= size),
            };
            at = match self.progress(repository, &at.0).filter(|(_, offset)| is_credible(*offset)) {
                Some(progress) => progress,
                None => (self.begin(repository)?, 0),
            };
            if at.1 >= furthest + STEP {
                furthest = at.1;
                retries = Retries::new(self.retry, self.pause.as_ref());
            }
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
        if let Ok(url) = next_url("POST", repository, &reply.url, &reply.answer) {
            self.call_off(repository, &url);
        }
        Ok(false)
    }

    /// Begins an upload; gives its address.
    pub(super) fn begin(&self, repository: &Repository) -> Result<Url, Error> {
        let target = Target::Path("blobs/uploads/".to_owned());
        let reply = self.call(repository, &upload_call("POST", target, repository, &[202]))?;
        next_url("POST", repository, &reply.url, &reply.answer)
    }

    /// Sends what a registry does not have yet, and ends the upload.
    fn send(
        &self,
        repository: &Repository,
        digest: &Digest,
        url: &Url,
        offset: u64,
        source: Source<'_>,
        told: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let body = source.from(offset, told);
        if let Source::File(_) = source {
            told(offset);
        }
        if offset == 0 {
            return self.end_with(repository, url, digest, body);
        }
        if body.len().unwrap_or(0) == 0 {
            // All of it arrived, only the answer did not; a registry refuses a range of nothing.
            return self.end(repository, url, digest);
        }
        let url = self.patch(repository, url, offset, body)?;
        self.end(repository, &url, digest)
    }

    /// Sends bytes to an upload that has so many; gives where to go on.
    fn patch(&self, repository: &Repository, url: &Url, offset: u64, body: Body<'_>) -> Result<Url, Error> {
        let range = (offset > 0).then(|| format!("{offset}-{}", offset + body.len().unwrap_or(1) - 1));
        let mut call = upload_call("PATCH", Target::Url(url), repository, &[200, 201, 202, 204]);
        call.headers = vec![("content-type", "application/octet-stream")];
        call.headers.extend(range.as_deref().map(|range| ("content-range", range)));
        let reply = self.call(repository, &Call { body, again: false, ..call })?;
        let sent = offset + body.len().unwrap_or(0);
        match received(&reply) {
            // There are registries that name the byte behind the last.
            Some(has) if has != sent && has != sent + 1 => {
                Err(Error::Incomplete { method: "PATCH", url: reply.url.to_string(), has, sent })
            }
            _ => next_url("PATCH", repository, &reply.url, &reply.answer),
        }
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
        let next = next_url("GET", repository, &reply.url, &reply.answer).ok()?;
        Some((next, received(&reply)?))
    }
}

/// How many bytes of an upload a registry has, as an answer says; `None` if it does not tell.
fn received(reply: &Reply) -> Option<u64> {
    let (_, last) = reply.answer.header("range")?.split_once('-')?;
    // `0-0` is what registries say of one byte, and of none.
    last.parse::<u64>().ok().filter(|last| *last > 0)?.checked_add(1)
}

/// Where the answer of a registry sends what is to be written.
pub(super) fn next_url(
    method: &'static str,
    repository: &Repository,
    url: &Url,
    answer: &Answer,
) -> Result<Url, Error> {
    let next = location(method, url, answer)?;
    if leads_inside(&repository.registry, next.authority()) {
        let cause = "the answer's Location is an address of a private network".to_owned();
        return Err(Error::Answer { method, url: url.to_string(), cause });
    }
    Ok(next)
}

/// Whether a registry sends us to an address that only this machine or its network has, and that is not its own host: it
/// may not, wherever it is.
fn leads_inside(registry: &str, authority: &str) -> bool {
    let inner = is_inner_address(authority) || is_local(authority);
    let same = host(authority) == host(registry) || (is_loopback(authority) && is_loopback(registry));
    inner && !same
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
    fn a_registry_may_not_lead_to_another_host_inside() {
        for (registry, authority, expected) in [
            ("a.io", "169.254.169.254", true),
            ("a.io", "10.0.0.1:80", true),
            ("a.io", "localhost:5000", true),
            ("a.io", "[::1]", true),
            ("a.io", "storage.a.io", false),
            ("a.io", "[::ffff:169.254.169.254]", true),
            ("10.0.0.1:5000", "10.0.0.2:9000", true),
            ("10.0.0.1:5000", "10.0.0.1:9000", false),
            ("localhost:5000", "10.0.0.2:9000", true),
            ("127.0.0.1:5000", "169.254.169.254", true),
            ("10.0.0.1:5000", "127.0.0.1:5000", true),
            ("10.0.0.1:5000", "storage.a.io", false),
            ("localhost:5000", "127.0.0.1:5000", false),
        ] {
            assert_eq!(leads_inside(registry, authority), expected, "{registry} {authority}");
        }
    }
}
