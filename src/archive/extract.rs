//! Extraction of layers that anybody may have made.
//!
//! Catalogue 2, section 3.7; policy P14, P15. Names are joined below a root, `..` included, and must come out in the one
//! folder that the caller allows; how they are kept there is the matter of [`super::place`]. Files belong to whoever
//! extracts. If anything goes wrong, nothing of the archive stays.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use super::error::Error;
use super::hashed::{Chunks, Summed};
use super::place::{FillError, Place};
use super::read::{Entry, EntryKind, Malformed, Reader};
use super::stream::path;
use crate::model::digest::DiffId;

/// How much is read at once.
const BUFFER: usize = 256 * 1024;
/// No path is longer.
const LONGEST_NAME: usize = 4095;
/// Nothing real is deeper, and what is deeper is hard to remove again: that takes an open file for each level.
const DEEPEST_NAME: usize = 500;
/// How many entries that were left out are named.
const NAMED: usize = 100;

/// What was extracted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// How many entries, folders and links among them.
    pub files: u64,
    /// How many bytes of contents.
    pub bytes: u64,
    /// Named pipes and devices that were left out (policy P14): the first hundred by name.
    pub skipped: Vec<PathBuf>,
    /// How many were left out in all.
    pub skipped_count: u64,
    /// The size of the archive in bytes; known by [`extract_verified`] alone.
    pub size: u64,
    /// The digest of all but the contents of files, for a [`super::Seal`]; found by [`extract_verified`] alone.
    pub outline: Option<DiffId>,
    /// When the last of it was written, for a [`super::Seal`]; known by [`extract_verified`] alone.
    pub ended: Option<Instant>,
}

/// Extracts an archive below `root`, into the folder `allowed` and nowhere else; the whole input is read, also behind the
/// archive's end. Entries for folders above `allowed` are accepted, and make them if they are missing.
///
/// `allowed` is absolute as names in archives are: it lies in `<root>/<allowed>`. Links above it are followed, so that
/// the caller answers for them; in it none is. While this works, nobody else may write there.
///
/// # Errors
/// The archive is malformed or leads out of `allowed`, or something cannot be written: then nothing of it stays, and
/// files that were in `allowed` before are as they were, unless an entry replaced them.
pub fn extract(input: impl Read, root: &Path, allowed: &Path) -> Result<Extracted, Error> {
    let mut reader = Reader::new(BufReader::with_capacity(BUFFER, input));
    let mut extraction = Extraction::new(root, allowed);
    let filled = extraction.fill(&mut reader);
    extraction.end(filled)
}

/// Where the digest of an archive is computed while it is extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashing {
    /// On the thread that extracts: where other layers keep the other cores at work, this is the least work in all.
    Here,
    /// On a thread of its own, which reads ahead.
    Ahead,
}

/// Extracts an archive as [`extract`] does, and computes its digest in the same pass.
///
/// # Errors
/// As [`extract`]. If the archive is not the one expected, that is the error, whatever else is wrong with it.
pub fn extract_verified(
    input: impl Read + Send,
    expected: &DiffId,
    root: &Path,
    allowed: &Path,
    hashing: Hashing,
) -> Result<Extracted, Error> {
    let mut extraction = Extraction::new(root, allowed);
    let (filled, found) = match hashing {
        Hashing::Here => hashed_here(&mut extraction, input),
        Hashing::Ahead => std::thread::scope(|scope| {
            let (ahead, chunks) = Chunks::channel();
            // It goes to the thread once there is one.
            let (give, given) = mpsc::channel();
            let run = move || given.recv().ok().and_then(|input| ahead.run(input));
            let Ok(ahead) = std::thread::Builder::new().spawn_scoped(scope, run) else {
                return hashed_here(&mut extraction, input);
            };
            let _ = give.send(input);
            let mut reader = Reader::with_outline(chunks);
            let filled = extraction.fill_to_end(&mut reader);
            // What is not read any more must not be waited for.
            let (_, outline) = reader.into_parts();
            extraction.done.outline = outline;
            (filled, ahead.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        }),
    };
    let found = found.map(|(found, size)| {
        extraction.done.size = size;
        found
    });
    let checked = match (filled, found) {
        (Err(error), _) if !error.blames_archive() => Err(error),
        (_, Some(found)) if found != *expected => Err(Error::Mismatch { expected: expected.clone(), found }),
        (filled, _) => filled,
    };
    let extracted = extraction.end(checked)?;
    Ok(Extracted { ended: Some(Instant::now()), ..extracted })
}

/// Hashes on the thread that writes; the digest is `None` where the archive could not be read to its end.
fn hashed_here(extraction: &mut Extraction<'_>, input: impl Read) -> (Result<(), Error>, Option<(DiffId, u64)>) {
    let mut reader = Reader::with_outline(BufReader::with_capacity(BUFFER, Summed::new(input)));
    let filled = extraction.fill_to_end(&mut reader);
    let is_whole = !matches!(filled, Err(Error::Input(_)));
    let (input, outline) = reader.into_parts();
    extraction.done.outline = outline;
    (filled, is_whole.then(|| input.into_inner().finish()))
}

/// An extraction at work.
struct Extraction<'a> {
    root: &'a Path,
    /// The name of the folder that may be written, as [`clean`] makes it.
    allowed: Vec<u8>,
    /// That folder, from the first entry in it.
    place: Option<Place>,
    /// Folders above it that an entry made, with their permissions.
    above: Vec<(PathBuf, u32)>,
    done: Extracted,
}

/// Where an entry is, seen from the folder that may be written.
enum Spot<'n> {
    /// In it, or itself if the name is empty.
    Within(&'n [u8]),
    /// On the way to it.
    Above,
    Elsewhere,
}

impl<'a> Extraction<'a> {
    fn new(root: &'a Path, allowed: &Path) -> Self {
        let allowed = clean(allowed.as_os_str().as_encoded_bytes());
        Self { root, allowed, place: None, above: Vec::new(), done: Extracted::default() }
    }

    /// Extracts all entries and reads to the end of the input.
    fn fill<R: BufRead>(&mut self, reader: &mut Reader<R>) -> Result<(), Error> {
        while let Some(entry) = reader.next()? {
            self.entry(reader, &entry)?;
        }
        reader.drain()
    }

    /// The same; reads to the end of the input even if the archive is bad, so that its digest can be told.
    fn fill_to_end<R: BufRead>(&mut self, reader: &mut Reader<R>) -> Result<(), Error> {
        let filled = self.fill(reader);
        if filled.as_ref().is_err_and(Error::blames_archive)
            && let Err(error @ Error::Input(_)) = reader.drain()
        {
            return Err(error);
        }
        filled
    }

    fn entry<R: BufRead>(&mut self, reader: &mut Reader<R>, entry: &Entry) -> Result<(), Error> {
        check_name(&entry.name)?;
        let name = clean(&entry.name);
        let outside =
            || Error::Outside { name: path(&entry.name).to_owned(), allowed: Path::new("/").join(path(&self.allowed)) };
        let within = match (self.spot(&name), entry.kind) {
            (Spot::Above, EntryKind::Directory) => return self.folder_above(&name, entry.mode),
            (Spot::Within(within), EntryKind::Directory) => within,
            (Spot::Within(within), _) if !within.is_empty() => within,
            _ => return Err(outside()),
        };
        let target = match entry.kind {
            EntryKind::HardLink => {
                check_name(&entry.link)?;
                clean(&entry.link)
            }
            _ => Vec::new(),
        };
        let target = match self.spot(&target) {
            Spot::Within(target) if !target.is_empty() => target,
            _ if entry.kind == EntryKind::HardLink => return Err(outside()),
            _ => &[],
        };

        let place = match &mut self.place {
            Some(place) => place,
            none => none.insert(Place::open(&self.root.join(path(&self.allowed)))?),
        };
        match entry.kind {
            EntryKind::Directory => place.directory(within, entry.mode)?,
            EntryKind::File => place.file(within, entry.mode, |file| copy(reader, file, &mut self.done.bytes))?,
            EntryKind::Symlink => {
                check_name(&entry.link)?;
                place.symlink(within, &entry.link)?;
            }
            EntryKind::HardLink => place.hard_link(within, target)?,
            EntryKind::Special => {
                self.done.skipped_count += 1;
                if self.done.skipped.len() < NAMED {
                    self.done.skipped.push(Path::new("/").join(path(&name)));
                }
                return Ok(());
            }
        }
        self.done.files += 1;
        Ok(())
    }

    fn spot<'n>(&self, name: &'n [u8]) -> Spot<'n> {
        match below(name, &self.allowed) {
            Some(within) => Spot::Within(within),
            None if below(&self.allowed, name).is_some() => Spot::Above,
            None => Spot::Elsewhere,
        }
    }

    /// Makes a folder on the way, if it is missing.
    fn folder_above(&mut self, name: &[u8], mode: u32) -> Result<(), Error> {
        let at = self.root.join(path(name));
        if !at.exists() {
            std::fs::create_dir_all(&at).map_err(|cause| Error::system("mkdir", &at, cause))?;
            self.above.push((at, mode));
        }
        Ok(())
    }

    /// Gives folders their permissions, or removes everything.
    fn end(mut self, filled: Result<(), Error>) -> Result<Extracted, Error> {
        let finished = filled.and_then(|()| {
            if let Some(place) = &mut self.place {
                place.finish()?;
            }
            self.above.iter().rev().try_for_each(|(at, mode)| set_mode(at, *mode))
        });
        match finished {
            Ok(()) => Ok(self.done),
            Err(error) => {
                if let Some(place) = self.place {
                    place.abandon();
                }
                for (at, _) in self.above.iter().rev() {
                    // Only if it is empty: others may have put something there.
                    let _ = std::fs::remove_dir(at);
                }
                Err(error)
            }
        }
    }
}

fn copy<R: BufRead>(reader: &mut Reader<R>, file: &mut File, bytes: &mut u64) -> Result<(), FillError> {
    loop {
        let ready = reader.contents().map_err(FillError::Read)?;
        if ready.is_empty() {
            return Ok(());
        }
        file.write_all(ready).map_err(FillError::Write)?;
        let count = ready.len();
        reader.consume(count);
        *bytes += count as u64;
    }
}

fn set_mode(at: &Path, mode: u32) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(mode))
        .map_err(|cause| Error::system("chmod", at, cause))
}

fn check_name(name: &[u8]) -> Result<(), Malformed> {
    let depth = name.split(|&byte| byte == b'/').count();
    let valid = (1..=LONGEST_NAME).contains(&name.len()) && depth <= DEEPEST_NAME && !name.contains(&0);
    if valid { Ok(()) } else { Err(Malformed::Name) }
}

/// Joins a name below a root: takes `.` and `..` and all slashes out of it that separate nothing. The root is empty.
fn clean(name: &[u8]) -> Vec<u8> {
    let mut clean: Vec<&[u8]> = Vec::new();
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => drop(clean.pop()),
            _ => clean.push(component),
        }
    }
    clean.join(&b'/')
}

/// The part of a name below a folder; empty if it is the folder.
fn below<'n>(name: &'n [u8], folder: &[u8]) -> Option<&'n [u8]> {
    match name.strip_prefix(folder)? {
        rest if rest.is_empty() || folder.is_empty() => Some(rest),
        rest => rest.strip_prefix(b"/"),
    }
}

#[cfg(test)]
mod tests;
