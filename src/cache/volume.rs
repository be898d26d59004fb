//! A cache in a folder, with the reference's layout (catalogue 2, section 3.1).
//!
//! ```text
//! <dir>/committed/sha256:<hex>.tar                          each layer, uncompressed
//! <dir>/committed/io.buildpacks.lifecycle.cache.metadata    JSON; a launch cache has none
//! <dir>/staging/                                            the next commit, while one build writes it
//! <dir>/committed-backup/                                   the last commit, between two renames
//! <dir>/io.buildpacks.lifecycle.seals                       what was restored, from one phase to another
//! ```
//!
//! A commit exchanges `staging` and `committed` in one step. Where the file system cannot do that it takes two renames
//! as the reference does, and whoever opens the cache after a crash between them puts the backup back. So at each
//! moment the cache is the old one or the new one. Nothing is forced to disk: after a loss of power, layers that did
//! not arrive there are found out by their digests.
//!
//! Writers hold a lock on the folder, from the first layer to the commit; readers need none. Whatever else is in the
//! folder stays; what others put into or in the place of `committed`, `staging` and `committed-backup` goes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with, statvfs};
use rustix::io::Errno;

use super::lock::FolderLock;
use crate::archive::Sum;
use crate::effect::cache::{Cache, CacheError, LayerDraft};
use crate::effect::images::NewLayer;
use crate::model::app_metadata::CacheMetadata;
use crate::model::digest::DiffId;
use crate::model::seal::Seals;
use crate::os::{error_text, give_name, open_regular};
use crate::schema::label::{CACHE_METADATA, parse_cache, render_cache};

/// Where seals are kept between the phases of a build.
const SEALS: &str = "io.buildpacks.lifecycle.seals";
/// How long a build waits for another one to finish writing.
const PATIENCE: Duration = Duration::from_secs(30);

/// After how many bytes of a layer that is being made it is found out whether there is room for more.
const CHECKED: u64 = 16 << 20;
/// What is left free besides, in bytes.
const SPARE: u64 = 1 << 30;

/// A cache in a folder.
#[derive(Debug)]
pub struct VolumeCache {
    dir: PathBuf,
    patience: Duration,
    state: Mutex<State>,
    /// Numbers files that are not yet complete.
    partial: AtomicU64,
    /// Layers of the last commit that were read and are sound, and those that were opened to be read.
    sound: Mutex<BTreeMap<DiffId, FileState>>,
    opened: Mutex<BTreeMap<DiffId, FileState>>,
    /// How many bytes were written ahead of the image.
    drafted: AtomicU64,
    /// Layers that were written while they were made, as files that have no name yet.
    drafts: Mutex<BTreeMap<DiffId, File>>,
}

/// What tells that a file was not written to or replaced: its number, its size, and when it was last changed, in seconds
/// and nanoseconds.
type FileState = (u64, u64, i64, i64);

/// How far the next commit is.
#[derive(Debug)]
enum State {
    /// Nothing is written yet.
    Reading,
    /// `staging` is ours.
    Writing(FolderLock),
    /// Another build was writing for too long.
    Busy,
    /// It is done.
    Committed,
}

impl VolumeCache {
    /// Opens the cache in a folder, which must exist, and tidies up after a build that did not end well.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        Self::open_with(dir, PATIENCE)
    }

    fn open_with(dir: &Path, patience: Duration) -> Result<Self, CacheError> {
        match fs::metadata(dir) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(failed("stat", dir, &Errno::NOTDIR.into())),
            Err(cause) => return Err(failed("stat", dir, &cause)),
        }
        let state = Mutex::new(State::Reading);
        let cache = Self {
            dir: dir.to_owned(),
            patience,
            state,
            partial: AtomicU64::new(0),
            sound: Mutex::default(),
            opened: Mutex::default(),
            drafted: AtomicU64::new(0),
            drafts: Mutex::default(),
        };
        cache.recover();
        Ok(cache)
    }

    fn committed(&self) -> PathBuf {
        self.dir.join("committed")
    }

    fn staging(&self) -> PathBuf {
        self.dir.join("staging")
    }

    fn backup(&self) -> PathBuf {
        self.dir.join("committed-backup")
    }

    /// Puts the backup back if there is nothing else, and removes leftovers. What cannot be done here does not hinder
    /// reading; whoever wants to write finds out.
    fn recover(&self) {
        // Without `committed`, a build may be between its two renames at this moment.
        let patience = if self.committed().exists() { Duration::ZERO } else { self.patience };
        let Ok(Some(_lock)) = FolderLock::acquire(&self.dir, patience) else { return };
        if !self.committed().exists() {
            let _ = fs::rename(self.backup(), self.committed());
        }
        if self.committed().exists() {
            let _ = clear(&self.backup());
        }
        let _ = clear(&self.staging());
    }

    /// Makes sure that `staging` is there and ours.
    fn begin(&self) -> Result<(), CacheError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_in(&mut state)
    }

    fn begin_in(&self, state: &mut State) -> Result<(), CacheError> {
        match state {
            State::Writing(_) => Ok(()),
            State::Committed => Err(CacheError::Failed("cache cannot be modified after commit".to_owned())),
            State::Busy => Err(self.busy()),
            State::Reading => {
                let lock =
                    FolderLock::acquire(&self.dir, self.patience).map_err(|cause| failed("open", &self.dir, &cause))?;
                let Some(lock) = lock else {
                    *state = State::Busy;
                    return Err(self.busy());
                };
                let staging = self.staging();
                renew(&staging).map_err(|cause| {
                    let cause = error_text(&cause);
                    CacheError::Failed(format!("initializing staging directory '{}': {cause}", staging.display()))
                })?;
                *state = State::Writing(lock);
                Ok(())
            }
        }
    }

    fn busy(&self) -> CacheError {
        CacheError::Failed(format!("another build is writing the cache '{}'", self.dir.display()))
    }

    /// Makes a file in `staging` that is there whole or not at all.
    fn stage(&self, name: &str, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        let number = self.partial.fetch_add(1, Ordering::Relaxed);
        let partial = self.staging().join(format!("{name}.{number}.partial"));
        let made = make(&partial).and_then(|()| fs::rename(&partial, self.staging().join(name)));
        if made.is_err() {
            let _ = fs::remove_file(&partial);
        }
        made
    }

    /// Opens a layer of the last commit.
    fn open_layer(&self, diff_id: &DiffId) -> Result<File, CacheError> {
        let path = self.committed().join(layer_name(diff_id));
        open_regular(&path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => CacheError::Missing(diff_id.clone()),
            io::ErrorKind::PermissionDenied => CacheError::Failed(format!(
                "failed to read cache layer with SHA '{diff_id}' due to insufficient permissions"
            )),
            _ => failed("open", &path, &cause),
        })
    }

    /// Puts `staging` in the place of `committed`; what was there is in one of the two other places afterwards.
    fn exchange(&self) -> io::Result<()> {
        match renameat_with(CWD, self.staging(), CWD, self.committed(), RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            // There was no commit yet.
            Err(Errno::NOENT) => fs::rename(self.staging(), self.committed()),
            Err(_) => self.rename_both(),
        }
    }

    /// The same in two steps, for file systems that cannot exchange.
    fn rename_both(&self) -> io::Result<()> {
        let _ = clear(&self.backup());
        fs::rename(self.committed(), self.backup())?;
        fs::rename(self.staging(), self.committed()).or_else(|cause| {
            fs::rename(self.backup(), self.committed())?;
            Err(cause)
        })
    }

    /// Says whether there is room for layers that are still being made. The image comes first: what is written ahead of it
    /// must not take the space that it needs, which is no more than its layers take here.
    fn has_room(&self) -> bool {
        let drafted = self.drafted.fetch_add(CHECKED, Ordering::Relaxed) + CHECKED;
        statvfs(&self.dir).is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) > drafted + SPARE)
    }

    /// Takes a layer over by its bytes, where links cannot be.
    fn copy(&self, name: &str) -> io::Result<()> {
        self.stage(name, |partial| fs::copy(self.committed().join(name), partial).map(|_| ()))
    }
}

impl Cache for VolumeCache {
    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn metadata(&self) -> CacheMetadata {
        let file = open_regular(&self.committed().join(CACHE_METADATA));
        let text = file.and_then(io::read_to_string).unwrap_or_default();
        parse_cache(&text).unwrap_or_default()
    }

    fn layer(&self, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, CacheError> {
        let file = self.open_layer(diff_id)?;
        if let Some(state) = state_of(&file) {
            lock(&self.opened).insert(diff_id.clone(), state);
        }
        Ok(Box::new(file))
    }

    fn size(&self, diff_id: &DiffId) -> Option<u64> {
        fs::metadata(self.committed().join(layer_name(diff_id))).ok().map(|found| found.len())
    }

    fn verified(&self, diff_id: &DiffId) {
        if let Some(state) = lock(&self.opened).get(diff_id) {
            lock(&self.sound).insert(diff_id.clone(), *state);
        }
    }

    fn keep_seals(&self, seals: &Seals) {
        let mut text = "sound\n".to_owned();
        for (diff_id, (number, size, seconds, nanoseconds)) in lock(&self.sound).iter() {
            let _ = writeln!(text, "{diff_id} {number} {size} {seconds} {nanoseconds}");
        }
        let text = format!("{text}\n{}", seals.render());
        // It is a new file each time: what is there may be another's, or a link. Without it, layers are read again.
        let _ = fs::remove_file(self.dir.join(SEALS));
        if let Ok(mut file) = File::create_new(self.dir.join(SEALS)) {
            let _ = file.write_all(format!("{}\n{text}", sum_of(&text)).as_bytes());
        }
    }

    /// Whoever takes the seals takes them away: they are of one build. Those that another user left, or that are not as
    /// they were left, are none.
    fn seals(&self) -> Seals {
        let path = self.dir.join(SEALS);
        let text = read_own(&path).unwrap_or_default();
        let _ = fs::remove_file(&path);
        let Some((sum, text)) = text.split_once('\n') else { return Seals::default() };
        let Some((sound, seals)) = text.split_once("\n\n").filter(|_| sum == sum_of(text).as_str()) else {
            return Seals::default();
        };
        let line = |line: &str| {
            let mut parts = line.split(' ');
            let diff_id = DiffId::parse(parts.next()?).ok()?;
            let mut next = || parts.next();
            let state = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
            Some((diff_id, state))
        };
        *lock(&self.sound) = sound.lines().filter_map(line).collect();
        Seals::parse(seals)
    }

    fn reuse(&self, diff_id: &DiffId) -> Result<(), CacheError> {
        self.begin()?;
        let mut file = self.open_layer(diff_id)?;
        let name = layer_name(diff_id);
        let committed = self.committed().join(&name);
        let is_sound = state_of(&file).is_some_and(|state| lock(&self.sound).get(diff_id) == Some(&state));
        if !is_sound {
            let found = digest_of(&mut file).map_err(|cause| failed("read", &committed, &cause))?;
            if found != *diff_id {
                return Err(CacheError::Corrupt { expected: diff_id.clone(), found });
            }
        }
        match fs::hard_link(&committed, self.staging().join(&name)) {
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => self
                .copy(&name)
                .map_err(|cause| CacheError::Failed(format!("reusing layer ({diff_id}): {}", error_text(&cause)))),
            _ => Ok(()),
        }
    }

    /// The bytes are not hashed again: a [`crate::effect::images::TarSource`] gives the same ones each time or fails,
    /// and whoever takes a layer out of the cache checks it.
    fn add(&self, layer: &NewLayer) -> Result<(), CacheError> {
        self.begin()?;
        let name = layer_name(&layer.diff_id);
        let staged = self.staging().join(&name);
        if staged.exists() {
            return Ok(());
        }
        // Where a file without a name cannot get one, its bytes are made again.
        if let Some(draft) = lock(&self.drafts).remove(&layer.diff_id)
            && give_name(&draft, &staged).is_ok()
        {
            return Ok(());
        }
        let written = self.stage(&name, |partial| {
            let mut out = BufWriter::new(File::create_new(partial)?);
            layer.tar.write_tar(&mut out)?;
            out.flush()?;
            let size = out.get_ref().metadata()?.len();
            if size == layer.size {
                Ok(())
            } else {
                Err(io::Error::other(format!("expected {} bytes; found {size}", layer.size)))
            }
        });
        written
            .map_err(|cause| CacheError::Failed(format!("caching layer ({}): {}", layer.diff_id, error_text(&cause))))
    }

    fn draft(&self) -> Option<Box<dyn LayerDraft + '_>> {
        if !self.has_room() {
            return None;
        }
        // Without a name it is nobody's business: other builds may have the folder until the image is there.
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(CWD, &self.dir, flags, Mode::from_raw_mode(0o666)).ok()?;
        Some(Box::new(Draft { cache: self, file: Some(file.into()), size: 0 }))
    }

    fn commit(&self, metadata: &CacheMetadata) -> Result<(), CacheError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_in(&mut state)?;
        // A launch cache has none: what its layers are, the app image says.
        if *metadata != CacheMetadata::default() {
            let json = render_cache(metadata).map_err(|cause| CacheError::Failed(cause.to_string()))?;
            let path = self.staging().join(CACHE_METADATA);
            self.stage(CACHE_METADATA, |partial| fs::write(partial, json + "\n"))
                .map_err(|cause| failed("creating metadata file: write", &path, &cause))?;
        }
        self.exchange().map_err(|cause| failed("committing cache: rename", &self.staging(), &cause))?;
        let _ = clear(&self.staging());
        let _ = clear(&self.backup());
        *state = State::Committed;
        Ok(())
    }
}

/// A layer that is written while it is made.
struct Draft<'a> {
    cache: &'a VolumeCache,
    /// `None` when it cannot be written.
    file: Option<File>,
    size: u64,
}

impl LayerDraft for Draft<'_> {
    fn write(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let before = self.size / CHECKED;
        self.size += bytes.len() as u64;
        let is_written = file.write_all(bytes).is_ok();
        if !is_written || (self.size / CHECKED > before && !self.cache.has_room()) {
            self.file = None;
        }
    }

    fn keep(self: Box<Self>, diff_id: &DiffId, size: u64) {
        if let Some(file) = self.file.filter(|_| self.size == size) {
            lock(&self.cache.drafts).insert(diff_id.clone(), file);
        }
    }
}

impl Drop for VolumeCache {
    /// What was not committed is of no use to anybody.
    fn drop(&mut self) {
        let staging = self.staging();
        if let State::Writing(_lock) = self.state.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let _ = clear(&staging);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn state_of(file: &File) -> Option<FileState> {
    let found = file.metadata().ok()?;
    Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

fn layer_name(diff_id: &DiffId) -> String {
    format!("{diff_id}.tar")
}

/// Reads a file that this user wrote; a link is none.
fn read_own(path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(openat(CWD, path, flags, Mode::empty())?);
    let found = file.metadata()?;
    let mut text = String::new();
    if found.is_file() && found.uid() == rustix::process::geteuid().as_raw() {
        file.read_to_string(&mut text)?;
    }
    Ok(text)
}

/// What tells that a text is whole.
fn sum_of(text: &str) -> DiffId {
    let mut sum = Sum::new();
    let _ = sum.write_all(text.as_bytes());
    sum.diff_id()
}

/// Removes whatever is there, with all that is in it.
fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
        result => result,
    }
}

/// Makes an empty folder in the place of whatever is there.
fn renew(folder: &Path) -> io::Result<()> {
    match clear(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    fs::create_dir(folder)
}

fn digest_of(file: &mut File) -> io::Result<DiffId> {
    let mut sum = Sum::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(sum.diff_id()),
            Ok(read) => sum.write_all(&buffer[..read])?,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

fn failed(action: &str, path: &Path, cause: &io::Error) -> CacheError {
    CacheError::Failed(format!("{action} {}: {}", path.display(), error_text(cause)))
}

#[cfg(test)]
mod tests;
