//! Headers of tar entries, byte for byte as the reference's (policy P5).
//!
//! POSIX ustar where everything fits, with the pax extension in front where something does not. Which of the two is
//! chosen, and what the fields hold that a pax record overrides, is part of a layer's digest: catalogue 2, section 2.3.

/// The unit of an archive, in bytes: headers are one, contents are padded to whole ones.
pub(super) const BLOCK: usize = 512;

/// The modification time of every entry: 1980-01-01T00:00:01Z.
const MODIFIED: u64 = 315_532_801;

/// Where a field of the header is: its offset and its length.
type Field = (usize, usize);

const NAME: Field = (0, 100);
const MODE: Field = (100, 8);
const UID: Field = (108, 8);
const GID: Field = (116, 8);
const SIZE: Field = (124, 12);
const MTIME: Field = (136, 12);
const CHECKSUM: Field = (148, 8);
const TYPE: usize = 156;
const LINK: Field = (157, 100);
const MAGIC: usize = 257;
/// What is at [`MAGIC`]: the format and its version.
const POSIX: [u8; 8] = *b"ustar\x0000";
const GNU: [u8; 8] = *b"ustar  \0";
const MAJOR: Field = (329, 8);
const MINOR: Field = (337, 8);
const PREFIX: Field = (345, 155);

/// What an entry is, with what only such an entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A regular file; its contents follow the header.
    File {
        /// How many bytes follow.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points to, as it is written in the link.
        target: &'a [u8],
    },
    /// Another name of an entry before; only layers that another program made have such.
    HardLink {
        /// The name of that entry.
        target: &'a [u8],
    },
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
}

/// The numbers of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// Which driver.
    pub(super) major: u32,
    /// Which of its devices.
    pub(super) minor: u32,
}

/// The header of one entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    /// The name as it stands in the archive.
    pub(super) name: &'a [u8],
    /// What it is.
    pub(super) kind: Kind<'a>,
    /// Permissions, with the bits for set-user-id, set-group-id and sticky.
    pub(super) mode: u32,
    /// The owner.
    pub(super) uid: u32,
    /// The owning group.
    pub(super) gid: u32,
    /// How what does not fit is written.
    pub(super) format: Format<'a>,
}

/// A pax record: its key and its value.
pub(super) type Record = (Vec<u8>, Vec<u8>);

/// How a header says what does not fit into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format<'a> {
    /// With pax records: those that are needed, and these, which the header is known to agree with.
    Posix(&'a [Record]),
    /// As GNU's tar does: long names as entries of their own, large numbers as bytes. Only layers that another program
    /// made are so, and stay so.
    Gnu,
}

impl Header<'_> {
    /// Appends the header: one block, or three and more if something does not fit.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::Posix(more) => self.append_posix(more, out),
            Format::Gnu => self.append_gnu(out),
        }
    }

    fn append_posix(&self, more: &[Record], out: &mut Vec<u8>) {
        let records = self.pax_records(more);
        let split = split_name(self.name);
        if !records.is_empty() {
            append_pax(self.name, &records, out);
        }

        let mut block = [0; BLOCK];
        match split {
            // With pax records the whole name is cut, even where it could be split.
            Some((prefix, suffix)) if records.is_empty() => {
                put_text(&mut block, PREFIX, prefix);
                put_text(&mut block, NAME, suffix);
            }
            _ => put_text(&mut block, NAME, &ascii(self.name)),
        }
        put_text(&mut block, LINK, &ascii(self.kind.link()));
        self.put_numbers(&mut block, put_number);
        seal(&mut block, POSIX, self.kind.letter());
        out.extend_from_slice(&block);
    }

    fn append_gnu(&self, out: &mut Vec<u8>) {
        let link = self.kind.link();
        for (text, field, letter) in [(self.name, NAME, b'L'), (link, LINK, b'K')] {
            if text.len() > field.1 {
                append_special(b"././@LongLink", (GNU, letter), &[text, b"\0"].concat(), out);
            }
        }
        let mut block = [0; BLOCK];
        put_text(&mut block, NAME, self.name);
        put_text(&mut block, LINK, link);
        self.put_numbers(&mut block, put_any_number);
        seal(&mut block, GNU, self.kind.letter());
        out.extend_from_slice(&block);
    }

    fn put_numbers(&self, block: &mut [u8; BLOCK], put: impl Fn(&mut [u8; BLOCK], Field, u64)) {
        let (size, device) = match self.kind {
            Kind::File { size } => (size, None),
            Kind::CharacterDevice(device) | Kind::BlockDevice(device) => (0, Some(device)),
            Kind::Symlink { .. } | Kind::HardLink { .. } | Kind::Directory | Kind::Fifo => (0, None),
        };
        put(block, MODE, u64::from(self.mode));
        put(block, UID, u64::from(self.uid));
        put(block, GID, u64::from(self.gid));
        put(block, SIZE, size);
        put(block, MTIME, MODIFIED);
        put(block, MAJOR, device.map_or(0, |device| u64::from(device.major)));
        put(block, MINOR, device.map_or(0, |device| u64::from(device.minor)));
    }

    /// What ustar cannot hold, and `more`, sorted by key.
    fn pax_records(&self, more: &[Record]) -> Vec<Record> {
        let mut records = more.to_vec();
        let mut add = |key: &[u8], value: &[u8]| {
            if !records.iter().any(|(given, _)| given == key) {
                records.push((key.to_vec(), value.to_vec()));
            }
        };
        if !fits(u64::from(self.gid), GID) {
            add(b"gid", self.gid.to_string().as_bytes());
        }
        let link = self.kind.link();
        if link.len() > LINK.1 || !link.is_ascii() {
            add(b"linkpath", link);
        }
        if let Kind::File { size } = self.kind
            && !fits(size, SIZE)
        {
            add(b"size", size.to_string().as_bytes());
        }
        if !fits(u64::from(self.uid), UID) {
            add(b"uid", self.uid.to_string().as_bytes());
        }
        // A name that can be split still gets its record when something else asks for pax.
        let long_name = self.name.len() > NAME.1 || !self.name.is_ascii();
        let is_given = records.iter().any(|(key, _)| key == b"path");
        if long_name && !is_given && (!records.is_empty() || split_name(self.name).is_none()) {
            records.push((b"path".to_vec(), self.name.to_vec()));
        }
        records.sort();
        records
    }
}

impl<'a> Kind<'a> {
    /// Where a link points to; empty for all else.
    fn link(&self) -> &'a [u8] {
        match self {
            Self::Symlink { target } | Self::HardLink { target } => target,
            _ => &[],
        }
    }

    fn letter(&self) -> u8 {
        match self {
            Self::File { .. } => b'0',
            Self::HardLink { .. } => b'1',
            Self::Symlink { .. } => b'2',
            Self::CharacterDevice(_) => b'3',
            Self::BlockDevice(_) => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// How many bytes follow `size` bytes of contents up to the next block.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// Appends an entry whose contents are pax records for the next one.
fn append_pax(name: &[u8], records: &[Record], out: &mut Vec<u8>) {
    let mut contents = Vec::new();
    for (key, value) in records {
        append_record(key, value, &mut contents);
    }

    let base_at = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (folder, base) = name.split_at(base_at);
    let mut full = [folder, b"PaxHeaders.0/", base].concat();
    full.retain(u8::is_ascii);
    full.truncate(NAME.1);
    while full.last() == Some(&b'/') {
        full.pop();
    }

    append_special(&full, (POSIX, b'x'), &contents, out);
}

/// Appends an entry that says something of the next one.
fn append_special(name: &[u8], (magic, letter): ([u8; 8], u8), contents: &[u8], out: &mut Vec<u8>) {
    let mut block = [0; BLOCK];
    put_text(&mut block, NAME, name);
    for field in [MODE, UID, GID, MTIME] {
        put_number(&mut block, field, 0);
    }
    put_number(&mut block, SIZE, contents.len() as u64);
    seal(&mut block, magic, letter);
    out.extend_from_slice(&block);
    out.extend_from_slice(contents);
    out.resize(out.len() + padding(contents.len() as u64), 0);
}

/// Appends `<length> <key>=<value>\n`, where the length counts itself.
fn append_record(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let others = key.len() + value.len() + " =\n".len();
    let mut length = others;
    while length != others + length.to_string().len() {
        length = others + length.to_string().len();
    }
    out.extend_from_slice(&[length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat());
}

/// Splits a name that is too long for its field at a slash, so that ustar can hold it in two.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME.1 || !name.is_ascii() {
        return None;
    }
    let searched = &name[..name.len().min(PREFIX.1 + 1)];
    let slash = searched.iter().rposition(|&byte| byte == b'/')?;
    let (prefix, suffix) = (&name[..slash], &name[slash + 1..]);
    (!prefix.is_empty() && (1..=NAME.1).contains(&suffix.len())).then_some((prefix, suffix))
}

/// Leaves out what is not ASCII.
fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii).collect()
}

/// Tells whether a number fits in a field as octal digits before a NUL.
fn fits(value: u64, (_, length): Field) -> bool {
    value >> (3 * (length - 1)) == 0
}

/// Writes octal digits and a NUL; a number that does not fit becomes 0, as a pax record says it.
fn put_number(block: &mut [u8; BLOCK], field: Field, value: u64) {
    let mut left = if fits(value, field) { value } else { 0 };
    let (at, length) = field;
    for digit in block[at..at + length - 1].iter_mut().rev() {
        *digit = b'0' + u8::try_from(left & 7).unwrap_or(0);
        left >>= 3;
    }
}

/// Writes a number as [`put_number`], or one that does not fit as bytes behind a set top bit.
fn put_any_number(block: &mut [u8; BLOCK], field: Field, value: u64) {
    let (at, length) = field;
    if fits(value, field) {
        return put_number(block, field, value);
    }
    let bytes = value.to_be_bytes();
    let kept = length.min(bytes.len());
    block[at..at + length].fill(0);
    block[at + length - kept..at + length].copy_from_slice(&bytes[bytes.len() - kept..]);
    block[at] |= 0x80;
}

/// Writes text, cut to the field. A cut never leaves a slash at the end, which some readers take for a directory.
fn put_text(block: &mut [u8; BLOCK], (at, length): Field, text: &[u8]) {
    let kept = text.len().min(length);
    let field = &mut block[at..at + length];
    field[..kept].copy_from_slice(&text[..kept]);
    if text.len() > length && field[length - 1] == b'/' {
        let end = field[..length - 1].iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        field[end] = 0;
    }
}

/// Writes type, magic and checksum: the last fields of a block.
fn seal(block: &mut [u8; BLOCK], magic: [u8; 8], letter: u8) {
    block[TYPE] = letter;
    block[MAGIC..MAGIC + 8].copy_from_slice(&magic);
    let (at, length) = CHECKSUM;
    block[at..at + length].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    // Six digits and a NUL; the space after them stays.
    put_number(block, (at, length - 1), sum);
    block[at + length - 2] = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with the digest and length of what Go's `archive/tar` writes.
    fn expect(name: &str, kind: Kind<'_>, mode: u32, (uid, gid): (u32, u32), sha256: &str, length: usize) {
        let mut bytes = Vec::new();
        Header { name: name.as_bytes(), kind, mode, uid, gid, format: Format::Posix(&[]) }.append_to(&mut bytes);
        let found = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let found = crate::model::digest::DiffId::from_sha256(found.as_ref().try_into().unwrap());
        assert_eq!((bytes.len(), found.hex()), (length, sha256), "{name}");
    }

    fn file(name: &str, sha256: &str, length: usize) {
        expect(name, Kind::File { size: 0 }, 0o644, (0, 0), sha256, length);
    }

    #[test]
    fn devices_and_pipes() {
        let null = Kind::CharacterDevice(Device { major: 1, minor: 3 });
        let sha256 = "e733b8c34cac5f1bc945037e54c490f335ecc6eef8445212a744872265acdfdd";
        expect("/dev/null", null, 0o666, (0, 0), sha256, 512);
        let disk = Kind::BlockDevice(Device { major: 259, minor: 70000 });
        let sha256 = "e6e23c830df3d73395202c1b2885f95404ec288680ca78c687246ccbb4f63fa5";
        expect("/dev/sda", disk, 0o660, (0, 0), sha256, 512);
        let sha256 = "8958f085c80148ec176110cbd55c0bafd3d660f6bf8098731a459418dd3a4c94";
        expect("/pipe", Kind::Fifo, 0o644, (0, 0), sha256, 512);
    }

    #[test]
    fn sizes_around_the_largest_that_fits() {
        let sha256 = "d43ca213e386d71c8065147b825c0b906243dd29587c637045983aa0ed16ee60";
        expect("/most", Kind::File { size: 8_589_934_591 }, 0o644, (0, 0), sha256, 512);
        let sha256 = "4be778606747a9f42329d0f1025b40f0e34ea392b54b3a9b51817ae37fe5187f";
        expect("/huge", Kind::File { size: 8_589_934_592 }, 0o644, (0, 0), sha256, 1536);
    }

    #[test]
    fn names_around_the_longest_that_fit() {
        let name = |prefix: usize, base: usize| match prefix {
            0 => format!("/{}", "n".repeat(base)),
            _ => format!("/{}/{}", "p".repeat(prefix), "n".repeat(base)),
        };
        file(&name(0, 99), "e869453fff17db357c29af8569366ca30b7de2afc6483ad3466852a27f4cf551", 512);
        file(&name(0, 100), "82e6436ed6f058da83d90369e195f10fe1fe53ae2adebec742964cd01fc48140", 1536);
        file(&name(154, 100), "b0c90baf2910a1589d1f2f05bd10a9e410bdd20a6a952c283802a6e81a294926", 512);
        file(&name(155, 100), "c000eaa46b477a62038d2b728cd23875d8a024dacae3bcd6d8d3275a35d80c3c", 1536);
        file(&name(154, 101), "8ba28d60868134ab0db6ff82969f2e3a72f710e581f4868135057873e2d6ccd3", 1536);
    }

    #[test]
    fn a_cut_name_does_not_end_in_a_slash() {
        let name = format!("/{}/{}", "p".repeat(98), "n".repeat(300));
        let sha256 = "6c2d3abd34140eb226ac86726de9d390f616170eeb6255e43c591bc0dfa405aa";
        expect(&name, Kind::Directory, 0o755, (0, 0), sha256, 1536);
        let name = format!("/{0}/{0}/x", "\u{e9}".repeat(60));
        file(&name, "32e415aac810841ee220ad933c75bb188bc82241881a5edcd9c4dafebc8090d1", 1536);
    }

    #[test]
    fn targets_of_links_around_the_longest_that_fits() {
        let target = "t".repeat(100);
        let sha256 = "8a879d253e25cf7b6202c0cec815ad960d8dd45b350379e8faebbb4339e09c0f";
        expect("/short", Kind::Symlink { target: target.as_bytes() }, 0o777, (0, 0), sha256, 512);
        let target = format!("{}/u", "t".repeat(99));
        let sha256 = "73940fc4a3a72ac3defc52a167098b4f7954cb9737b1f366b659454c93517ae5";
        expect("/short", Kind::Symlink { target: target.as_bytes() }, 0o777, (0, 0), sha256, 1536);
    }

    #[test]
    fn a_name_that_fits_gets_a_record_when_something_else_needs_one() {
        let name = format!("/{}/{}", "p".repeat(80), "n".repeat(80));
        let link = Kind::Symlink { target: "\u{e9}".as_bytes() };
        let sha256 = "b9fab954aea42d9056cbea65ca65301295d78e9aa4db9e66567bc2d605a15b54";
        expect(&name, link, 0o777, (2_097_152, u32::MAX), sha256, 1536);
        let sha256 = "ca786ce0e2fd373e0d5746e384c0ce8c81537e7f2724bcacc87b7e2934aafa1d";
        expect(&name, Kind::File { size: 99_999_999_999 }, 0o7777, (2_097_151, 2_097_151), sha256, 1536);
    }
}
