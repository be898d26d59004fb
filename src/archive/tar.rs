//! A planned layer: writes its archive as often as asked, with the same bytes each time.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::error::Error;
use super::header::{Format, Header, Kind};
use super::measure::Sum;
use super::stream::{Stream, path};
use super::tree::{NodeId, Oddity, Stamp, Tree};
use crate::effect::images::TarSource;
use crate::model::digest::DiffId;

/// To whom the contents of a layer belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Something about the files of a layer that a user should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// A program has capabilities (`setcap`); the layer has the program without them (policy P13).
    CapabilityLost(PathBuf),
    /// Files with several names are in the layer once for each name (policy P12). How many such names there are.
    HardLinks(u64),
    /// A socket was left out.
    SocketSkipped(PathBuf),
    /// A named pipe or a device is in the layer; it is not restored from a cache (policy P14).
    SpecialFile(PathBuf),
}

/// A planned layer. Its clones share the plan.
#[derive(Clone)]
pub struct Tar {
    pub(super) recipe: Arc<Recipe>,
}

/// What a layer is made of.
pub(super) struct Recipe {
    /// How long the part of each path is that does not become part of a name: 0 but in tests.
    pub(super) prefix: usize,
    /// Entries that come first.
    pub(super) first: Arc<[Fixed]>,
    /// Entries from a folder.
    pub(super) files: Option<Files>,
}

/// An entry that does not come from a folder of files.
pub(super) struct Fixed {
    /// The name in the archive.
    pub(super) name: Vec<u8>,
    pub(super) mode: u32,
    pub(super) owner: Owner,
    pub(super) what: FixedKind,
}

/// What a [`Fixed`] entry is.
pub(super) enum FixedKind {
    Directory,
    /// A link with its target.
    Symlink(Vec<u8>),
    /// The contents of a file elsewhere.
    File(PathBuf, Stamp),
}

/// Entries from a folder.
pub(super) struct Files {
    pub(super) tree: Arc<Tree>,
    pub(super) owner: Owner,
    pub(super) order: Order,
    /// What a user may want to know of some of them.
    pub(super) oddities: Vec<(NodeId, Oddity)>,
}

/// Which nodes of a folder are in a layer, in which order.
pub(super) enum Order {
    /// All, as they are walked.
    Walk,
    /// These, in this order.
    Listed(Vec<NodeId>),
}

impl Tar {
    /// What a user should know of the files in this layer, sorted.
    pub fn notices(&self) -> Vec<Notice> {
        let Some(files) = &self.recipe.files else { return Vec::new() };
        let mut notices = Vec::new();
        let mut hard_links = 0;
        let mut at = Vec::new();
        for &(node, oddity) in &files.oddities {
            files.tree.path_of(node, &mut at);
            let at = path(&at).to_owned();
            match oddity {
                Oddity::Capability => notices.push(Notice::CapabilityLost(at)),
                Oddity::HardLink => hard_links += 1,
                Oddity::Socket => notices.push(Notice::SocketSkipped(at)),
                Oddity::Special => notices.push(Notice::SpecialFile(at)),
            }
        }
        if hard_links > 0 {
            notices.push(Notice::HardLinks(hard_links));
        }
        notices.sort();
        notices
    }
}

impl Tar {
    fn write(&self, mut stream: Stream<'_>) -> io::Result<()> {
        for entry in self.recipe.first.iter() {
            entry.write(&mut stream)?;
        }
        if let Some(files) = &self.recipe.files {
            files.write(self.recipe.prefix, &mut stream)?;
        }
        Ok(stream.finish()?)
    }

    /// The digest of all but the contents of files: see [`super::seal`].
    pub(super) fn outline(&self) -> io::Result<DiffId> {
        let mut sum = Sum::new();
        self.write(Stream::outline(&mut sum))?;
        Ok(sum.diff_id())
    }

    /// What state the whole folder was in when this was planned; `None` if it is not of a whole folder alone, or if the
    /// file system cannot tell.
    pub(super) fn state(&self) -> Option<&DiffId> {
        let is_file = |entry: &Fixed| matches!(entry.what, FixedKind::File(..));
        let files = self.recipe.files.as_ref().filter(|files| matches!(files.order, Order::Walk))?;
        files.tree.state.as_ref().filter(|_| !self.recipe.first.iter().any(is_file))
    }
}

impl TarSource for Tar {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write(Stream::new(out))
    }

    fn files(&self) -> u64 {
        match &self.recipe.files {
            Some(files) => files.count(),
            None => self.recipe.first.len() as u64,
        }
    }
}

impl fmt::Debug for Tar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tar").finish_non_exhaustive()
    }
}

impl Fixed {
    fn write(&self, stream: &mut Stream<'_>) -> io::Result<()> {
        let kind = match &self.what {
            FixedKind::Directory => Kind::Directory,
            FixedKind::Symlink(target) => Kind::Symlink { target },
            FixedKind::File(_, stamp) => Kind::File { size: stamp.size },
        };
        let Owner { uid, gid } = self.owner;
        stream.header(&Header { name: &self.name, kind, mode: self.mode, uid, gid, format: Format::Posix(&[]) })?;
        match &self.what {
            FixedKind::File(at, stamp) => Ok(stream.contents(at, stamp)?),
            FixedKind::Directory | FixedKind::Symlink(_) => Ok(()),
        }
    }
}

impl Files {
    fn count(&self) -> u64 {
        let nodes = match &self.order {
            Order::Walk => self.tree.len(),
            Order::Listed(nodes) => nodes.len(),
        };
        let sockets = self.oddities.iter().filter(|(_, oddity)| *oddity == Oddity::Socket).count();
        (nodes - sockets) as u64
    }

    fn write(&self, prefix: usize, stream: &mut Stream<'_>) -> io::Result<()> {
        let mut at = Vec::new();
        match &self.order {
            Order::Walk => {
                for node in self.tree.walk() {
                    self.write_node(node, prefix, &mut at, stream)?;
                }
            }
            Order::Listed(nodes) => {
                for &node in nodes {
                    let written = self.write_node(node, prefix, &mut at, stream);
                    written.map_err(|cause| cause.in_list(path(&at)))?;
                }
            }
        }
        Ok(())
    }

    fn write_node(&self, node: NodeId, prefix: usize, at: &mut Vec<u8>, stream: &mut Stream<'_>) -> Result<(), Error> {
        let Some(kind) = self.tree.kind(node) else { return Ok(()) };
        self.tree.path_of(node, at);
        let Owner { uid, gid } = self.owner;
        stream.header(&Header {
            name: &at[prefix..],
            kind,
            mode: self.tree.mode(node),
            uid,
            gid,
            format: Format::Posix(&[]),
        })?;
        match self.tree.stamp(node) {
            Some(stamp) => stream.contents(path(at), stamp),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
