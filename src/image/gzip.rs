//! gzip on every core: one layer is compressed in blocks of 1 MiB, each a gzip member of its own, or two (policy P41).
//!
//! The thread that makes the tar hashes it and hands its blocks out; a few threads compress them; one more takes the
//! members in their order, hashes and stores them. A layer of one block needs no threads at all, and where the system
//! gives none, one thread does all. Blocks come back to be filled again, and all layers together have a fixed number of
//! them: memory does not grow with layers, their size or the number of cores.

use std::io::{self, Write};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder, Scope, ScopedJoinHandle};

use libdeflater::{CompressionLvl, Compressor};

use super::blob::Blob;
use super::sha256::Sha256;
use crate::effect::images::TarSource;
use crate::model::digest::{DiffId, Digest};

/// The size of the part of a tar that is compressed by itself, in bytes.
pub(super) const BLOCK: usize = 1 << 20;
/// How many blocks the layers at work share besides one that each has anyway. A block and its member take 2 MiB.
const SHARED: usize = 8;
/// How many of them a layer takes more than there are threads to compress them: they are filled or stored.
const WAITING: usize = 2;
/// Samples to find out whether half a block can be compressed: this many, and their size in bytes. Many small ones, as the
/// header of a file among them counts for more than it takes of the block.
const SAMPLES: (usize, usize) = (32, 512);
/// What they come to, in percent of their size, where compressing is not worth its time. Headers take 2 % of files of
/// 40 KB, and of the samples sometimes 6 %.
const DENSE: usize = 93;

/// How many of the shared blocks nobody uses.
static FREE: AtomicUsize = AtomicUsize::new(SHARED);
/// Memory of blocks that nobody uses: the next layer fills it again.
static SPARE: Mutex<Vec<(Vec<u8>, Vec<u8>)>> = Mutex::new(Vec::new());

/// A tar and the blob that it became.
pub(super) struct Made {
    pub(super) diff_id: DiffId,
    /// The size of the tar in bytes.
    pub(super) size: u64,
    pub(super) blob: Blob,
}

/// Which side failed.
pub(super) enum Failure {
    Source(io::Error),
    Sink(io::Error),
}

/// Compresses a tar into `sink`, in one pass over its source.
pub(super) fn compress(tar: &dyn TarSource, sink: &mut (dyn Write + Send)) -> Result<Made, Failure> {
    compress_on(tar, sink, Builder::new)
}

/// The same on threads that are made so.
fn compress_on(tar: &dyn TarSource, sink: &mut (dyn Write + Send), thread: fn() -> Builder) -> Result<Made, Failure> {
    let (jobs, queue) = channel();
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        let mut splitter = Splitter {
            scope,
            thread,
            queue: &queue,
            jobs,
            way: Way::Here(Storage::new(sink)),
            hash: Sha256::new(),
            block: Some(Block::new(false)),
            blocks: 1,
            threads: 0,
        };
        let written = tar.write_tar(&mut splitter);
        splitter.end(written)
    })
}

/// A part of a tar, and the member that it becomes.
struct Block {
    tar: Vec<u8>,
    /// Room for the member, which is cleared only once, and how much of it is used.
    room: Vec<u8>,
    used: usize,
    /// It is one of [`FREE`].
    shared: bool,
}

impl Block {
    /// One of those that layers share, if there is one left.
    fn take() -> Option<Self> {
        let less = |free: usize| free.checked_sub(1);
        FREE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(Self::new(true))
    }

    fn new(shared: bool) -> Self {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (mut tar, room) = spare.unwrap_or_default();
        tar.clear();
        Self { tar, room, used: 0, shared }
    }

    /// What it was compressed to.
    fn member(&self) -> &[u8] {
        &self.room[..self.used]
    }

    /// Makes a member of the tar, or two where compressing is worth its time for one half only.
    fn compress(&mut self, compressor: &mut Compressor) -> io::Result<()> {
        self.used = 0;
        let (first, second) = self.tar.split_at(self.tar.len().min(BLOCK / 2));
        let (dense, other) = (is_dense(first, compressor), is_dense(second, compressor));
        let parts = if second.is_empty() || dense == other {
            [Some((&self.tar[..], dense)), None]
        } else {
            [Some((first, dense)), Some((second, other))]
        };
        for (bytes, dense) in parts.into_iter().flatten() {
            // What is stored as it is costs a copy, and no search.
            let mut storing;
            let compressor = if dense {
                storing = Compressor::new(level(0)?);
                &mut storing
            } else {
                &mut *compressor
            };
            let room = self.used + compressor.gzip_compress_bound(bytes.len());
            if self.room.len() < room {
                self.room.reserve_exact(room - self.room.len());
                self.room.resize(room, 0);
            }
            let compressed = compressor.gzip_compress(bytes, &mut self.room[self.used..]);
            self.used += compressed.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let memory = (std::mem::take(&mut self.tar), std::mem::take(&mut self.room));
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.0.capacity() == BLOCK && spare.len() < SHARED {
            spare.push(memory);
        }
        drop(spare);
        if self.shared {
            FREE.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Level 1: the library's own "fastest" is level 0, which stores without compressing.
fn compressor() -> io::Result<Compressor> {
    Ok(Compressor::new(level(1)?))
}

fn level(level: i32) -> io::Result<CompressionLvl> {
    CompressionLvl::new(level).map_err(|_| io::Error::other("gzip has no such level"))
}

/// Whether samples of some bytes cannot be compressed, as those of archives, pictures and ciphers cannot: it takes longest to
/// find that out for every byte. Whatever this says, the member is right.
fn is_dense(bytes: &[u8], compressor: &mut Compressor) -> bool {
    let (count, size) = SAMPLES;
    if bytes.len() < 4 * count * size {
        return false;
    }
    let step = bytes.len() / count;
    let mut samples = Vec::with_capacity(count * size);
    bytes.chunks_exact(step).take(count).for_each(|part| samples.extend_from_slice(&part[..size]));
    let mut out = vec![0; compressor.deflate_compress_bound(samples.len())];
    compressor.deflate_compress(&samples, &mut out).is_ok_and(|compressed| compressed >= samples.len() / 100 * DENSE)
}

/// A block to compress, and where it is awaited.
struct Job {
    block: Block,
    done: SyncSender<io::Result<Block>>,
}

/// Members in their order, each to come.
type Members = Receiver<Receiver<io::Result<Block>>>;

/// How blocks become members that are stored.
enum Way<'scope, 'env> {
    /// On this thread: what is no larger than a block, and all where the system gives no other threads.
    Here(Storage<'env>),
    /// On others.
    Line(Line<'scope>),
    /// It could not be stored.
    Failed(io::Error),
}

/// The way of blocks through other threads.
struct Line<'scope> {
    /// Where the next member is awaited.
    next: Sender<Receiver<io::Result<Block>>>,
    /// Blocks whose members are stored.
    back: Receiver<Block>,
    storing: ScopedJoinHandle<'scope, io::Result<Blob>>,
}

/// Takes the tar from its source, hashes it and hands it out in blocks.
struct Splitter<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// How threads are begun.
    thread: fn() -> Builder,
    queue: &'env Mutex<Receiver<Job>>,
    jobs: Sender<Job>,
    way: Way<'scope, 'env>,
    hash: Sha256,
    /// The one that is filled; none after a failure.
    block: Option<Block>,
    /// How many there are.
    blocks: usize,
    /// How many threads compress.
    threads: usize,
}

impl Splitter<'_, '_> {
    /// Starts one more thread that compresses, while there may be more, and with the first of them the one that stores.
    /// Where the system gives none, the next block is another occasion.
    fn start(&mut self) {
        if self.threads < most_threads() {
            let queue = self.queue;
            let started = (self.thread)().spawn_scoped(self.scope, move || work(queue));
            self.threads += usize::from(started.is_ok());
        }
        if self.threads == 0 || !matches!(self.way, Way::Here(_)) {
            return;
        }
        let (next, members) = channel();
        let (used, back) = channel();
        // It goes to the thread once there is one.
        let (give, given) = channel::<Storage<'_>>();
        let run = move || store(&members, &used, given.recv().map_err(|_| stopped())?);
        if let Ok(storing) = (self.thread)().spawn_scoped(self.scope, run)
            && let Way::Here(storage) = std::mem::replace(&mut self.way, Way::Line(Line { next, back, storing }))
        {
            let _ = give.send(storage);
        }
    }

    /// Hands out a block; another one is filled next.
    fn send(&mut self) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut block = self.block.take().ok_or_else(gone)?;
        self.hash.update(&block.tar);
        let mut next = match &mut self.way {
            Way::Here(storage) => {
                let compressed = compressor().and_then(|mut compressor| block.compress(&mut compressor));
                if let Err(cause) = compressed.and_then(|()| storage.put(block.member())) {
                    self.way = Way::Failed(cause);
                    return Err(gone());
                }
                block
            }
            Way::Line(line) => {
                let (done, member) = sync_channel(1);
                line.next.send(member).map_err(|_| gone())?;
                self.jobs.send(Job { block, done }).map_err(|_| gone())?;
                match line.back.try_recv() {
                    Ok(block) => block,
                    Err(_) => match if self.blocks < most_threads() + WAITING { Block::take() } else { None } {
                        Some(block) => {
                            self.blocks += 1;
                            block
                        }
                        // At least the one that was just sent comes back, or nobody is there to send it.
                        None => line.back.recv().map_err(|_| gone())?,
                    },
                }
            }
            Way::Failed(_) => return Err(gone()),
        };
        next.tar.clear();
        self.block = Some(next);
        Ok(())
    }

    /// Compresses what is left, and waits until all is stored.
    fn end(mut self, written: io::Result<()>) -> Result<Made, Failure> {
        let is_left = |block: &Block| !block.tar.is_empty();
        let written = match written {
            // Of nothing too there is a member.
            Ok(()) if self.hash.bytes() == 0 || self.block.as_ref().is_some_and(is_left) => self.send(),
            written => written,
        };
        // Without senders the other threads end.
        drop(self.jobs);
        let blob = match self.way {
            Way::Here(storage) => storage.finish(),
            Way::Line(Line { next, storing, .. }) => {
                drop(next);
                storing.join().unwrap_or_else(|_| Err(stopped()))
            }
            Way::Failed(cause) => Err(cause),
        };
        // The source fails too when nobody takes its bytes: the cause is then in the sink.
        let blob = blob.map_err(Failure::Sink)?;
        written.map_err(Failure::Source)?;
        let size = self.hash.bytes();
        Ok(Made { diff_id: DiffId::from_sha256(&self.hash.finish()), size, blob })
    }
}

/// How many threads compress a layer.
fn most_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(SHARED + 1)
}

fn stopped() -> io::Error {
    io::Error::other("compression stopped")
}

impl Write for Splitter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.as_ref().is_some_and(|block| block.tar.len() == BLOCK) {
            self.start();
            self.send()?;
        }
        let Some(Block { tar, .. }) = &mut self.block else { return Err(io::ErrorKind::BrokenPipe.into()) };
        // A layer of little more than nothing takes little memory.
        if tar.capacity() < BLOCK && tar.len() + bytes.len() > BLOCK / 8 {
            tar.reserve_exact(BLOCK - tar.len());
        }
        let count = bytes.len().min(BLOCK - tar.len());
        tar.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses blocks as long as there are any.
fn work(queue: &Mutex<Receiver<Job>>) {
    let mut compressor = compressor();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { mut block, done }) = next else { return };
        let compressed = match &mut compressor {
            Ok(compressor) => block.compress(compressor),
            Err(cause) => Err(io::Error::other(cause.to_string())),
        };
        // Nobody waits any more if an earlier one could not be stored.
        let _ = done.send(compressed.map(|()| block));
    }
}

/// Stores members in their order.
fn store(members: &Members, used: &Sender<Block>, mut storage: Storage<'_>) -> io::Result<Blob> {
    for member in members {
        let block = member.recv().map_err(|_| stopped())??;
        storage.put(block.member())?;
        let _ = used.send(block);
    }
    storage.finish()
}

/// Hashes members on their way into the sink.
struct Storage<'a> {
    sink: &'a mut (dyn Write + Send),
    hash: Sha256,
}

impl<'a> Storage<'a> {
    fn new(sink: &'a mut (dyn Write + Send)) -> Self {
        Self { sink, hash: Sha256::new() }
    }

    fn put(&mut self, member: &[u8]) -> io::Result<()> {
        self.hash.update(member);
        self.sink.write_all(member)
    }

    fn finish(self) -> io::Result<Blob> {
        self.sink.flush()?;
        let size = self.hash.bytes();
        Ok(Blob { digest: Digest::from_sha256(&self.hash.finish()), size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that nothing can compress, the same each time.
    fn noise(size: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..size).map(|_| next()).collect()
    }

    #[test]
    fn noise_is_dense_and_text_is_not() {
        let mut compressor = compressor().unwrap();
        assert!(is_dense(&noise(BLOCK), &mut compressor));
        // Files of pictures or ciphers, with their headers, wherever these are.
        let files = noise(BLOCK).chunks(43_000).flat_map(|file| [&[0; 900], file].concat()).collect::<Vec<u8>>();
        for start in (0..43_900).step_by(1000) {
            assert!(is_dense(&files[start..start + BLOCK / 2], &mut compressor), "{start}");
        }
        assert!(!is_dense(&b"a line of text\n".repeat(80_000)[..BLOCK], &mut compressor));
        assert!(!is_dense(&[noise(BLOCK / 2), vec![0; BLOCK / 2]].concat(), &mut compressor));
        assert!(!is_dense(b"short", &mut compressor));
    }

    #[test]
    fn of_a_block_that_is_half_dense_the_other_half_is_compressed() {
        let text = b"a line of text\n".repeat(40_000);
        for (first, second) in [(noise(BLOCK / 2), text[..BLOCK / 2].to_vec()), (text[..BLOCK / 2].to_vec(), noise(9))]
        {
            let tar = Tar([first, second].concat());
            let (made, out) = made(&tar);
            let dense = tar.0[0] != b'a';
            assert!(out.len() < if dense { BLOCK / 2 + 10_000 } else { 10_000 }, "{}", out.len());
            let mut whole = Vec::new();
            io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&out[..]), &mut whole).unwrap();
            assert!(whole == tar.0 && made.blob.size == out.len() as u64);
        }
    }

    #[test]
    fn one_thread_gives_the_same_bytes_where_the_system_gives_no_more() {
        // More memory for its stack than there is.
        let none = || Builder::new().stack_size(1 << 60);
        assert!(none().spawn(|| ()).is_err());
        for size in [0, 9, BLOCK, BLOCK + 1, 3 * BLOCK, 5 * BLOCK / 2] {
            let tar = Tar([noise(size / 3), vec![5; size - size / 3]].concat());
            let (expected, bytes) = made(&tar);
            let mut out = Vec::new();
            let Ok(alone) = compress_on(&tar, &mut out, none) else { panic!("not made: {size}") };
            assert_eq!((alone.diff_id, alone.blob), (expected.diff_id, expected.blob), "{size}");
            assert!(out == bytes, "{size}");
        }
        let full = compress_on(&Tar(noise(3 * BLOCK)), &mut &mut [0; 9][..], none);
        assert!(matches!(full, Err(Failure::Sink(cause)) if cause.kind() == io::ErrorKind::WriteZero));
    }

    #[derive(Debug)]
    struct Tar(Vec<u8>);

    impl TarSource for Tar {
        fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
            self.0.chunks(100_000).try_for_each(|part| out.write_all(part))
        }
    }

    fn made(tar: &Tar) -> (Made, Vec<u8>) {
        let mut out = Vec::new();
        let Ok(made) = compress(tar, &mut out) else { panic!("not made") };
        (made, out)
    }

    #[test]
    fn many_layers_at_once_share_the_blocks_and_give_the_same_bytes() {
        let tar = Tar([noise(3 * BLOCK), vec![5; 9 * BLOCK + 1]].concat());
        let (_, expected) = made(&tar);
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| assert!(made(&tar).1 == expected));
            }
        });
        let mut whole = Vec::new();
        io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&expected[..]), &mut whole).unwrap();
        assert!(whole == tar.0);
    }
}
