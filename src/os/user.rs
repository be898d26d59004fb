//! Users: giving folders to one, becoming one, and finding one's home.
//!
//! Clause: platform.md#security-considerations; catalogue 1, section 1.8.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, getgid, getuid, setresgid, setresuid};

use super::error_text;

/// Why a folder could not be given to a user, or a user not become.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A file keeps its owner.
    #[error("chown {}: {cause}", path.display())]
    Chown {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The process keeps its user.
    #[error("{0}")]
    Become(String),
    /// The user is not in /etc/passwd.
    #[error("unknown userid {0}")]
    Unknown(u32),
}

/// Says whether this process is root.
pub fn is_root() -> bool {
    getuid().is_root()
}

/// Gives a folder and all in it to a user, unless the user may write the folder already: its owner, a member of its
/// group with write permission, or anybody. A missing folder is left out. Links are not followed.
///
/// # Errors
/// A file cannot be given away.
pub fn ensure_owner(dir: &Path, uid: u32, gid: u32) -> Result<(), UserError> {
    let failed =
        |path: &Path, error: &std::io::Error| UserError::Chown { path: path.to_owned(), cause: error_text(error) };
    let metadata = match fs::metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(dir, &error)),
    };
    let writable = metadata.uid() == uid
        || (metadata.gid() == gid && metadata.mode() & 0o020 != 0)
        || metadata.mode() & 0o002 != 0;
    if writable {
        return Ok(());
    }
    let root = fs::canonicalize(dir).map_err(|error| failed(dir, &error))?;
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(dir).to_owned();
            failed(&path, &error.into())
        })?;
        lchown(entry.path(), Some(uid), Some(gid)).map_err(|error| failed(entry.path(), &error))?;
    }
    Ok(())
}

/// Becomes a user for good: real, effective and saved ids of every thread. Nothing happens when the process is that
/// user and group already. Supplementary groups stay, as in the reference: volumes may be shared through them.
///
/// # Errors
/// The process may not.
pub fn become_user(uid: u32, gid: u32) -> Result<(), UserError> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if getuid() == uid && getgid() == gid {
        return Ok(());
    }
    let failed = |errno: nix::errno::Errno| UserError::Become(errno.desc().to_lowercase());
    setresgid(gid, gid, gid).map_err(failed)?;
    setresuid(uid, uid, uid).map_err(failed)
}

/// A user of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The home folder.
    pub home: PathBuf,
}

/// Finds a user in the text of /etc/passwd. The file is read directly: a static binary has no other source.
///
/// # Errors
/// It has no such user.
pub fn find(passwd: &str, uid: u32) -> Result<User, UserError> {
    let line = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut users = line.filter(|fields| fields.len() >= 6 && fields[2].parse() == Ok(uid));
    let fields = users.next().ok_or(UserError::Unknown(uid))?;
    Ok(User { name: fields[0].to_owned(), home: fields[5].into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_user_by_id() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad line\ncnb:x:1000:1000::/home/cnb:/bin/sh\n";
        assert_eq!(find(passwd, 1000), Ok(User { name: "cnb".into(), home: "/home/cnb".into() }));
        assert_eq!(find(passwd, 7), Err(UserError::Unknown(7)));
    }

    #[test]
    fn a_folder_that_the_user_may_write_is_left_alone_and_a_missing_one_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
        ensure_owner(dir.path(), uid, gid).unwrap();
        ensure_owner(&dir.path().join("missing"), uid + 1, gid).unwrap();
        std::os::unix::fs::lchown(dir.path(), None, None).unwrap();
        assert_eq!(fs::metadata(dir.path()).unwrap().uid(), uid);
    }

    #[test]
    fn becoming_oneself_needs_no_privilege() {
        become_user(getuid().as_raw(), getgid().as_raw()).unwrap();
    }
}
