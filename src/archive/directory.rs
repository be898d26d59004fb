//! The layer of one folder.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, statat};

use super::error::Error;
use super::tar::{Files, Fixed, FixedKind, Order, Owner, Recipe, Tar};
use super::tree::{Tree, permissions};

/// Plans the layer of a folder: the folders above it as they are, then the folder and everything below it as `owner`'s.
///
/// A link at `path` is not followed: the layer has the link alone.
///
/// # Errors
/// Something cannot be read; the error names it.
pub fn directory(path: &Path, owner: Owner) -> Result<Tar, Error> {
    plan(&Origin::real(), path, owner)
}

/// Where layers are read from, and what their ancestors are: the file system itself but in tests.
pub(super) struct Origin<'a> {
    /// What is in front of each name to find it.
    pub(super) prefix: &'a Path,
    /// What every folder above a layer is; otherwise each is asked.
    pub(super) ancestors: Option<Ancestor>,
}

/// A folder above a layer.
#[derive(Clone, Copy)]
pub(super) struct Ancestor {
    pub(super) mode: u32,
    pub(super) owner: Owner,
}

impl Origin<'_> {
    /// The file system.
    pub(super) fn real() -> Origin<'static> {
        Origin { prefix: Path::new(""), ancestors: None }
    }

    /// Where something with this absolute name is.
    pub(super) fn locate(&self, name: &Path) -> PathBuf {
        let mut at = OsString::from(self.prefix);
        at.push(name);
        at.into()
    }

    /// The folders above `name`, from the top, without the root.
    pub(super) fn ancestors(&self, name: &Path) -> Result<Vec<Fixed>, Error> {
        let mut above = Vec::new();
        for folder in name.ancestors().skip(1).filter(|folder| folder.parent().is_some()) {
            let Ancestor { mode, owner } = match self.ancestors {
                Some(ancestor) => ancestor,
                None => Ancestor::read(&self.locate(folder))?,
            };
            let name = folder.as_os_str().to_owned().into_vec();
            above.push(Fixed { name, mode, owner, what: FixedKind::Directory });
        }
        above.reverse();
        Ok(above)
    }
}

pub(super) fn plan(origin: &Origin<'_>, path: &Path, owner: Owner) -> Result<Tar, Error> {
    let name = absolute(path)?;
    let first = origin.ancestors(&name)?.into();
    let mut tree = Tree::read(&origin.locate(&name))?;
    let oddities = std::mem::take(&mut tree.oddities);
    let files = Some(Files { tree: Arc::new(tree), owner, order: Order::Walk, oddities });
    Ok(Tar { recipe: Arc::new(Recipe { prefix: origin.prefix.as_os_str().len(), first, files }) })
}

impl Ancestor {
    /// Reads what a folder is. Links are followed, so that a folder behind a link is a folder.
    fn read(at: &Path) -> Result<Self, Error> {
        let found = statat(CWD, at, AtFlags::empty()).map_err(|cause| Error::system("stat", at, cause))?;
        Ok(Self { mode: permissions(&found), owner: Owner { uid: found.st_uid, gid: found.st_gid } })
    }
}

/// Makes a path absolute and takes `.` and `..` out of it, without looking at the file system.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let whole = if path.is_absolute() {
        path.to_owned()
    } else {
        std::env::current_dir().map_err(|cause| Error::system("getwd", path, cause))?.join(path)
    };
    let mut clean = PathBuf::from("/");
    for component in whole.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::archive::fixture::Fixture;
    use crate::effect::images::TarSource;

    const BUILD: Owner = Owner { uid: 1000, gid: 1000 };

    fn plain() -> Fixture {
        let fixture = Fixture::new();
        fixture.file("/layers/bp_x/plain/a-b", "1\n", 0o644);
        fixture.file("/layers/bp_x/plain/a/z", "2\n", 0o600);
        fixture.link("/layers/bp_x/plain/l", "a/z");
        fixture.file("/layers/bp_x/plain/s", "", 0o4755);
        fixture
    }

    #[test]
    fn golden_g1_a_plain_folder() {
        plain().expect_directory(
            "/layers/bp_x/plain",
            BUILD,
            "7526ae2d3d174fb25b3d4418204bb5aacd3236f2c1acd843a6c30ee65e3524d3",
            6144,
        );
    }

    #[test]
    fn golden_g2_ids_that_need_pax() {
        plain().expect_directory(
            "/layers/bp_x/plain",
            Owner { uid: 3_000_000, gid: 3_000_000 },
            "f7c3b1fa84a36c7314c5ac803a6455ead545e45638c1f4e0534639fb186710b9",
            12288,
        );
    }

    #[test]
    fn golden_g3_names_that_need_pax_or_a_prefix() {
        let fixture = Fixture::new();
        fixture.file(format!("/layers/bp_x/names/{}", "c".repeat(120)), "x\n", 0o644);
        fixture.file("/layers/bp_x/names/\u{e9}.txt", "e\n", 0o644);
        fixture.file(format!("/layers/bp_x/names/{}/{}/f", "a".repeat(60), "b".repeat(60)), "hi\n", 0o644);
        fixture.link("/layers/bp_x/names/longlink", &"t".repeat(130));
        fixture.expect_directory(
            "/layers/bp_x/names",
            BUILD,
            "0aee193346910f3d36e5e4b2f1396e6670b192e6b5254a89b34a2af84a5ffa3c",
            10240,
        );
    }

    #[test]
    fn golden_g4_a_name_that_is_no_utf8() {
        let fixture = Fixture::new();
        fixture.file(OsString::from_vec(b"/layers/bp_x/bad/bad\xff".to_vec()), "q", 0o644);
        fixture.expect_directory(
            "/layers/bp_x/bad",
            BUILD,
            "ef2f8d97d0760f575e32078d8640a6c77bad1c370970db308c36848631fa1e0a",
            4608,
        );
    }

    #[test]
    fn golden_g5_an_empty_folder() {
        let fixture = Fixture::new();
        fixture.folder("/layers/bp_x/empty");
        fixture.expect_directory(
            "/layers/bp_x/empty",
            BUILD,
            "a5ca0ce5e2822e60194d10002245dc1e89364f3ce55222c717d9c26d9ed12844",
            2560,
        );
    }

    #[test]
    fn entries_have_types_and_modes_of_the_files_and_a_fixed_time() {
        let fixture = Fixture::new();
        let folder = "/layers/bp_x/kinds";
        fixture.link(&format!("{folder}/link"), "program");
        let pipe = fixture.at(format!("{folder}/pipe"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::set_permissions(&pipe, std::fs::Permissions::from_mode(0o640)).unwrap();
        fixture.file(format!("{folder}/program"), "", 0o4755);
        let shared = fixture.folder(format!("{folder}/shared"));
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o1777)).unwrap();
        let mut bytes = Vec::new();
        fixture.directory(folder, BUILD).unwrap().write_tar(&mut bytes).unwrap();
        // Without contents and long names, each block is the header of an entry.
        let headers: Vec<&[u8]> = bytes.chunks(512).take_while(|block| block[0] != 0).collect();
        let kinds: Vec<_> = headers.iter().map(|header| (header[156], &header[100..107])).collect();
        let expected: [(u8, &[u8]); 7] = [
            (b'5', b"0000755"),
            (b'5', b"0000755"),
            (b'5', b"0000755"),
            (b'2', b"0000777"),
            (b'6', b"0000640"),
            (b'0', b"0004755"),
            (b'5', b"0001777"),
        ];
        assert_eq!(kinds, expected);
        for header in headers {
            assert_eq!(&header[136..147], format!("{:011o}", 315_532_801).as_bytes());
            assert!(header[265..329].iter().all(|&byte| byte == 0), "an entry has no name of a user or group");
        }
    }

    #[test]
    fn writes_the_same_bytes_each_time() {
        let fixture = plain();
        let tar = plan(&fixture.origin(), Path::new("/layers/bp_x/plain"), BUILD).unwrap();
        let (mut one, mut two) = (Vec::new(), Vec::new());
        tar.write_tar(&mut one).unwrap();
        tar.clone().write_tar(&mut two).unwrap();
        assert_eq!(one, two);
    }

    #[test]
    fn real_ancestors_keep_their_permissions_and_owners() {
        let root = tempfile::tempdir().unwrap();
        let layer = root.path().join("layer");
        std::fs::create_dir(&layer).unwrap();
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o2710)).unwrap();
        let above = Origin::real().ancestors(&layer).unwrap();
        assert_eq!(above.last().unwrap().name, root.path().as_os_str().as_encoded_bytes());
        assert_eq!(above.last().unwrap().mode, 0o2710);
        assert_eq!(above.last().unwrap().owner.uid, rustix::process::geteuid().as_raw());
        assert_eq!(above.first().unwrap().name.iter().rposition(|&byte| byte == b'/'), Some(0));
    }

    #[test]
    fn an_ancestor_behind_a_link_is_a_folder() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("real/layer")).unwrap();
        symlink("real", root.path().join("link")).unwrap();
        let above = Origin::real().ancestors(&root.path().join("link/layer")).unwrap();
        assert!(matches!(above.last().unwrap().what, FixedKind::Directory));
        assert!(above.last().unwrap().name.ends_with(b"/link"));
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("gone");
        let error = directory(&missing, BUILD).unwrap_err();
        assert_eq!(error.to_string(), format!("lstat {}: no such file or directory", missing.display()));
        let error = directory(&missing.join("below"), BUILD).unwrap_err();
        assert_eq!(error.to_string(), format!("stat {}: no such file or directory", missing.display()));
    }

    #[test]
    fn names_are_cleaned() {
        assert_eq!(absolute(Path::new("/a/./b/../c/")).unwrap(), Path::new("/a/c"));
        assert_eq!(absolute(Path::new("/../a")).unwrap(), Path::new("/a"));
        assert!(absolute(Path::new("x")).unwrap().is_absolute());
    }
}
