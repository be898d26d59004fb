//! Layers that are sent while they are still compressed.
//!
//! Policy P24 and P26: nobody sees them until an image has them. What is sent lies in a file too, at most one for each
//! layer at work, so that an upload can go on after a cut. A registry is asked for a blob as soon as its digest is known:
//! of one that it has no more is sent than had gone by then.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread;

use super::RegistryImages;
use super::client::{Client, Repository, lock};
use super::error::Error;
use super::push::{Found, From};
use super::spool::{End, Spool};
use super::url::Url;
use crate::effect::images::{Measured, NewLayer, TarSource};
use crate::image::blob::{self, Blob};
use crate::image::told::Told;
use crate::model::reference::Reference;

/// How much of a layer must be compressed, in bytes, before any of it is sent. What is whole by then is asked for first.
const ENOUGH: u64 = 1 << 20;

/// A layer that was made, and whether the registry has it; if not, why, unless nothing was tried.
struct Sent {
    measured: Measured,
    blob: Blob,
    arrived: Result<(), Option<Error>>,
}

/// The file of a layer that did not arrive, and why, unless nothing was tried.
pub(super) type Unsent = Option<(File, Option<Error>)>;

/// A blob that is on its way.
struct Begun<'a> {
    /// Where the upload can be asked for.
    url: Url,
    /// Where it is ended, once all was sent, and who hears of that.
    sent: Result<(Url, Told<'a>), Error>,
}

/// Says that nobody waits any more, also when a thread ends early.
struct CallOff<'a>(&'a Spool);

impl Drop for CallOff<'_> {
    fn drop(&mut self) {
        self.0.end(End::CalledOff);
    }
}

impl RegistryImages {
    /// Makes a layer in one pass, and sends it ahead to the repository of an image that is yet to be written.
    pub(super) fn make_ahead(&self, name: &str, id: &str, tar: &dyn TarSource) -> io::Result<Option<Measured>> {
        let Ok(spool) = Spool::new(&self.temp_dir) else { return Ok(None) };
        match self.make_and_send(name, id, tar, &spool) {
            Ok(Sent { measured, blob, arrived }) => {
                if let Err(why) = arrived {
                    self.refuse(name, why);
                    lock(&self.kept).insert(measured.diff_id.clone(), (blob, spool.into_file()));
                }
                Ok(Some(measured))
            }
            Err(blob::Error::Source { cause, .. }) => Err(cause),
            // Whoever writes the image finds the full disk again, and tells of it.
            Err(_) => Ok(None),
        }
    }

    /// Compresses a layer and sends it ahead; gives the file of one that did not arrive, and why, if that is known.
    pub(super) fn compress_ahead(&self, name: &str, layer: &NewLayer) -> Result<(Blob, Unsent), Error> {
        let spool = Spool::new(&self.temp_dir)?;
        let at = |error: blob::Error| error.written_to(&self.temp_dir);
        let Sent { measured, blob, arrived } =
            self.make_and_send(name, &layer.id, layer.tar.as_ref(), &spool).map_err(at)?;
        blob::expect(layer, &measured).map_err(at)?;
        Ok((blob, arrived.err().map(|why| (spool.into_file(), why))))
    }

    /// After a failure nothing more is sent ahead: whoever writes the image tells what is wrong, once.
    pub(super) fn refuse(&self, name: &str, why: Option<Error>) {
        if let (Ok(reference), Some(error)) = (Reference::parse(name), why) {
            let repository = self.client.repository(&reference);
            lock(&self.refused).get_or_insert((repository, Arc::new(error)));
        }
    }

    fn make_and_send(&self, name: &str, id: &str, tar: &dyn TarSource, spool: &Spool) -> Result<Sent, blob::Error> {
        let reference = Reference::parse(name).ok().filter(|_| lock(&self.refused).is_none());
        let Some(reference) = reference else {
            let (measured, blob) = self.make(id, tar, spool)?;
            return Ok(Sent { measured, blob, arrived: Err(None) });
        };
        let repository = self.client.repository(&reference);
        let (made, is_there, begun) = thread::scope(|scope| {
            let guard = CallOff(spool);
            let sending = || self.client.send_while_written(&repository, id, spool).transpose();
            let sending = thread::Builder::new().spawn_scoped(scope, sending);
            let made = self.make(id, tar, spool);
            let find =
                |blob: &Blob| self.client.find_blob(&repository, &repository.push(), &blob.digest, Some(blob.size));
            let has = |blob: &Blob| find(blob).map(|found| found == Found::Whole);
            let is_there = made.as_ref().map_or(Ok(false), |(_, blob)| has(blob));
            if made.is_ok() && matches!(is_there, Ok(false)) {
                spool.end(End::Whole);
            }
            drop(guard);
            // Where the system gives no thread nothing was begun.
            let begun = sending.ok().and_then(|thread| match thread.join() {
                Ok(begun) => begun,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            (made, is_there, begun)
        });
        if let Some(Ok(Begun { url, .. })) = &begun
            && (made.is_err() || !matches!(is_there, Ok(false)))
        {
            self.client.call_off(&repository, url);
        }
        let (measured, blob) = made?;
        let arrived = match is_there {
            Ok(true) => Ok(()),
            Ok(false) => self.arrive(&repository, &blob, spool, begun),
            Err(error) => Err(error),
        };
        if arrived.is_ok() {
            self.remember(Some(&measured.diff_id), &blob, &repository);
        }
        Ok(Sent { measured, blob, arrived: arrived.map_err(Some) })
    }

    fn make(&self, id: &str, tar: &dyn TarSource, spool: &Spool) -> Result<(Measured, Blob), blob::Error> {
        let (measured, blob) = blob::make(id, tar, &mut &*spool, &self.client.listener)?;
        lock(&self.client.names).insert(blob.digest.clone(), id.to_owned());
        Ok((measured, blob))
    }

    /// Ends an upload, or what is left to do of it.
    fn arrive(
        &self,
        repository: &Repository,
        blob: &Blob,
        spool: &Spool,
        begun: Option<Result<Begun<'_>, Error>>,
    ) -> Result<(), Error> {
        let Some(begun) = begun else {
            return self.send(repository, blob, From::Spool(spool.file()));
        };
        let Begun { url, sent } = begun?;
        let ended = sent.and_then(|(url, told)| {
            self.client.end(repository, &url, &blob.digest)?;
            told.arrived();
            Ok(())
        });
        match ended {
            Ok(()) => Ok(()),
            // It, or what stands before it, takes no request without a length.
            Err(error) if matches!(error.status(), Some(400 | 411)) => {
                self.send(repository, blob, From::Spool(spool.file()))
            }
            Err(error) => self.client.resume(repository, &blob.digest, spool.file(), &url, error),
        }
    }
}

impl Client {
    /// Sends a blob as it is written; `None` where it is whole before there is enough of it.
    fn send_while_written(&self, repository: &Repository, id: &str, spool: &Spool) -> Result<Option<Begun<'_>>, Error> {
        if !spool.grows_beyond(ENOUGH) {
            return Ok(None);
        }
        let url = self.begin(repository)?;
        let sent = self.send_growing(repository, &url, id, spool);
        Ok(Some(Begun { url, sent }))
    }
}
