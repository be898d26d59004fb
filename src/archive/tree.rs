//! A folder as it is found, in about 60 bytes a file: what the entries of its layers are made of.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, Dev, FileType, Mode, OFlags, RawDir, Stat, lgetxattr, openat, readlinkat, statat};

use super::error::Error;
use super::header::{Device, Kind};
use super::state::State;
use super::stream::path;
use crate::model::digest::DiffId;

/// A folder, or whatever else was found at its path.
pub(super) struct Tree {
    /// The path that every node is below, in the file system.
    root: Vec<u8>,
    nodes: Vec<Node>,
    /// All names, and the targets of links.
    text: Vec<u8>,
    /// What a user may want to know of some nodes.
    pub(super) oddities: Vec<(NodeId, Oddity)>,
    /// What the file system told of every node, as [`super::state`] has it.
    pub(super) state: Option<DiffId>,
}

/// A node of a [`Tree`]; 0 is the root.
pub(super) type NodeId = u32;

/// The root of each tree.
pub(super) const ROOT: NodeId = 0;

/// One file, folder, link or other thing.
struct Node {
    parent: NodeId,
    name: Text,
    mode: u16,
    what: What,
}

/// A piece of [`Tree::text`].
#[derive(Clone, Copy)]
struct Text {
    start: u32,
    length: u16,
}

/// What a node is.
enum What {
    File(Stamp),
    Directory { children: Range<NodeId> },
    Symlink { target: Text },
    Device { block: bool, device: Device },
    Fifo,
    Socket,
}

/// What a regular file was when it was found, to notice later that it is something else.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    /// Its size in bytes.
    pub(super) size: u64,
    modified: i64,
    /// It was found behind a symbolic link, which is then followed again.
    pub(super) through_link: bool,
}

/// Why a node is worth a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// A program with capabilities, which its layer loses.
    Capability,
    /// A file with other names, each of which becomes a file of its own.
    HardLink,
    /// A socket, which no layer can have.
    Socket,
    /// A named pipe or device.
    Special,
}

impl Stamp {
    /// Notes what a file is now.
    pub(super) fn new(stat: &Stat, through_link: bool) -> Self {
        Self { size: size_of(stat), modified: modified(stat), through_link }
    }

    /// Tells whether a file is still what it was.
    pub(super) fn fits(&self, stat: &Stat) -> bool {
        self.size == size_of(stat) && self.modified == modified(stat)
    }
}

fn size_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// When the contents of a file last changed, in nanoseconds; only ever compared.
fn modified(stat: &Stat) -> i64 {
    stat.st_mtime.wrapping_mul(1_000_000_000).wrapping_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

/// Permissions with the bits for set-user-id, set-group-id and sticky.
pub(super) fn permissions(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

impl Tree {
    /// Reads a folder and everything below it. A link at `root` is not followed: it becomes the only node.
    ///
    /// # Errors
    /// Something cannot be listed; the error names it.
    pub(super) fn read(root: &Path) -> Result<Self, Error> {
        let mut tree = Self {
            root: root.as_os_str().as_bytes().to_vec(),
            nodes: Vec::new(),
            text: Vec::new(),
            oddities: Vec::new(),
            state: None,
        };
        let mut state = State::default();
        let found =
            statat(CWD, root, AtFlags::SYMLINK_NOFOLLOW).map_err(|cause| Error::system("lstat", root, cause))?;
        let name = tree.push_text(b"")?;
        let what = tree.what(CWD, root.as_os_str().as_bytes(), root, &found)?;
        tree.push(ROOT, name, &found, what)?;
        state.add(0, b"", &found);

        let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
        // Folders yet to be read, with the file system's numbers for them.
        let mut folders = Vec::new();
        if tree.is_folder(ROOT) {
            folders.push((ROOT, found.st_ino));
        }
        while let Some((folder, number)) = folders.pop() {
            let first = tree.count()?;
            let known = folders.len();
            tree.read_folder(folder, number, &mut buffer, &mut state, &mut folders)?;
            folders[known..].reverse();
            let children = first..tree.count()?;
            tree.nodes[folder as usize].what = What::Directory { children };
        }
        tree.state = state.finish();
        Ok(tree)
    }

    /// Adds the children of a folder, sorted by name; those that are folders also to `folders`.
    fn read_folder(
        &mut self,
        folder: NodeId,
        number: u64,
        buffer: &mut [MaybeUninit<u8>],
        state: &mut State,
        folders: &mut Vec<(NodeId, u64)>,
    ) -> Result<(), Error> {
        let mut at = Vec::new();
        self.path_of(folder, &mut at);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            openat(CWD, path(&at), flags, Mode::empty()).map_err(|cause| Error::system("open", path(&at), cause))?;

        let mut names = Vec::new();
        let mut entries = RawDir::new(&fd, buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|cause| Error::system("readdirent", path(&at), cause))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(self.push_text(name)?);
            }
        }
        names.sort_unstable_by(|a, b| self.text(*a).cmp(self.text(*b)));

        let folder_length = at.len();
        for name in names {
            at.truncate(folder_length);
            push_component(&mut at, self.text(name));
            let base = &at[at.len() - usize::from(name.length)..];
            let found = statat(&fd, path(base), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|cause| Error::system("lstat", path(&at), cause))?;
            state.add(number, base, &found);
            let what = self.what(&fd, base, path(&at), &found)?;
            let oddity = oddity(&at, &found, &what);
            let node = self.push(folder, name, &found, what)?;
            if self.is_folder(node) {
                folders.push((node, found.st_ino));
            }
            self.oddities.extend(oddity.map(|oddity| (node, oddity)));
        }
        Ok(())
    }

    /// Adds what the result of lstat does not say of the entry `base` of a folder, known by the path `at`.
    fn what(&mut self, folder: impl AsFd, base: &[u8], at: &Path, found: &Stat) -> Result<What, Error> {
        Ok(match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => What::Directory { children: 0..0 },
            FileType::Symlink => {
                let target =
                    readlinkat(folder, path(base), Vec::new()).map_err(|cause| Error::system("readlink", at, cause))?;
                What::Symlink { target: self.push_text(target.to_bytes())? }
            }
            FileType::CharacterDevice => What::Device { block: false, device: device(found.st_rdev) },
            FileType::BlockDevice => What::Device { block: true, device: device(found.st_rdev) },
            FileType::Fifo => What::Fifo,
            FileType::Socket => What::Socket,
            FileType::RegularFile | FileType::Unknown => What::File(Stamp::new(found, false)),
        })
    }

    fn push(&mut self, parent: NodeId, name: Text, found: &Stat, what: What) -> Result<NodeId, Error> {
        let node = self.count()?;
        let mode = u16::try_from(permissions(found)).unwrap_or(0);
        self.nodes.push(Node { parent, name, mode, what });
        Ok(node)
    }

    fn push_text(&mut self, bytes: &[u8]) -> Result<Text, Error> {
        let text = Text {
            start: u32::try_from(self.text.len()).map_err(|_| self.too_many())?,
            length: u16::try_from(bytes.len()).map_err(|_| self.too_many())?,
        };
        self.text.extend_from_slice(bytes);
        Ok(text)
    }

    fn text(&self, text: Text) -> &[u8] {
        let start = text.start as usize;
        &self.text[start..start + usize::from(text.length)]
    }

    fn is_folder(&self, node: NodeId) -> bool {
        matches!(self.nodes[node as usize].what, What::Directory { .. })
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The id of the next node.
    fn count(&self) -> Result<NodeId, Error> {
        u32::try_from(self.nodes.len()).map_err(|_| self.too_many())
    }

    fn too_many(&self) -> Error {
        Error::TooManyFiles { path: path(&self.root).to_owned() }
    }

    /// Writes the whole path of a node into `out`.
    pub(super) fn path_of(&self, node: NodeId, out: &mut Vec<u8>) {
        let mut length = self.root.len();
        let mut at = node;
        while at != ROOT {
            length += 1 + usize::from(self.nodes[at as usize].name.length);
            at = self.nodes[at as usize].parent;
        }
        out.clear();
        out.resize(length, b'/');
        out[..self.root.len()].copy_from_slice(&self.root);
        let (mut at, mut end) = (node, length);
        while at != ROOT {
            let name = self.text(self.nodes[at as usize].name);
            out[end - name.len()..end].copy_from_slice(name);
            end -= name.len() + 1;
            at = self.nodes[at as usize].parent;
        }
    }

    /// What a node is in an archive; nothing for a socket.
    pub(super) fn kind(&self, node: NodeId) -> Option<Kind<'_>> {
        Some(match &self.nodes[node as usize].what {
            What::File(stamp) => Kind::File { size: stamp.size },
            What::Directory { .. } => Kind::Directory,
            What::Symlink { target } => Kind::Symlink { target: self.text(*target) },
            What::Device { block: false, device } => Kind::CharacterDevice(*device),
            What::Device { block: true, device } => Kind::BlockDevice(*device),
            What::Fifo => Kind::Fifo,
            What::Socket => return None,
        })
    }

    /// What a regular file was when it was found.
    pub(super) fn stamp(&self, node: NodeId) -> Option<&Stamp> {
        match &self.nodes[node as usize].what {
            What::File(stamp) => Some(stamp),
            _ => None,
        }
    }

    /// The folder that a node is in; the root is its own.
    pub(super) fn parent(&self, node: NodeId) -> NodeId {
        self.nodes[node as usize].parent
    }

    /// The name of a node in its folder; the root has none.
    pub(super) fn name(&self, node: NodeId) -> &[u8] {
        self.text(self.nodes[node as usize].name)
    }

    /// The permissions of a node.
    pub(super) fn mode(&self, node: NodeId) -> u32 {
        u32::from(self.nodes[node as usize].mode)
    }

    /// The children of a folder, sorted by name; empty for everything else.
    pub(super) fn children(&self, node: NodeId) -> Range<NodeId> {
        match &self.nodes[node as usize].what {
            What::Directory { children } => children.clone(),
            _ => 0..0,
        }
    }

    /// Every node in the order of a walk: a folder, then all below it, then what sorts behind its name.
    pub(super) fn walk(&self) -> impl Iterator<Item = NodeId> {
        let mut ahead = vec![ROOT];
        std::iter::from_fn(move || {
            let node = ahead.pop()?;
            ahead.extend(self.children(node).rev());
            Some(node)
        })
    }
}

fn push_component(path: &mut Vec<u8>, name: &[u8]) {
    path.push(b'/');
    path.extend_from_slice(name);
}

fn device(number: Dev) -> Device {
    Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) }
}

fn oddity(at: &[u8], found: &Stat, what: &What) -> Option<Oddity> {
    match what {
        // Only what can be executed gains anything by capabilities: the others are not asked.
        What::File(_) if found.st_mode & 0o111 != 0 && has_capabilities(at) => Some(Oddity::Capability),
        What::File(_) if found.st_nlink > 1 => Some(Oddity::HardLink),
        What::Device { .. } | What::Fifo => Some(Oddity::Special),
        What::Socket => Some(Oddity::Socket),
        _ => None,
    }
}

fn has_capabilities(at: &[u8]) -> bool {
    let mut value = [0_u8; 64];
    lgetxattr(path(at), "security.capability", &mut value).is_ok_and(|length| length > 0)
}
