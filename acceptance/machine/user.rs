//! Who builds: an ordinary user builds as himself; root, who may not run detect and build, builds as another user.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Trouble;

/// The user that detects and builds.
pub(crate) struct User {
    /// Its login name.
    pub(crate) name: String,
    /// Its id.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
    /// The demo itself runs as root.
    pub(crate) we_are_root: bool,
}

/// Chooses the user of the build.
pub(crate) fn choose() -> Result<User, Trouble> {
    let own = fs::metadata("/proc/self").map_err(|error| Trouble::with("read", Path::new("/proc/self"), &error))?;
    if own.uid() != 0 {
        return Ok(User { name: "that started it".into(), uid: own.uid(), gid: own.gid(), we_are_root: false });
    }
    let passwd =
        fs::read_to_string("/etc/passwd").map_err(|error| Trouble::with("read", Path::new("/etc/passwd"), &error))?;
    let users = passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((*fields.first()?, fields.get(2)?.parse::<u32>().ok()?, fields.get(3)?.parse::<u32>().ok()?))
    });
    let (name, uid, gid) = users
        .filter(|(_, uid, _)| *uid != 0)
        .max_by_key(|(_, uid, _)| (*uid >= 1000, *uid < 60000, *uid))
        .ok_or_else(|| Trouble::new("root may not build, and /etc/passwd has no other user: add one with useradd"))?;
    Ok(User { name: name.to_owned(), uid, gid, we_are_root: true })
}

impl User {
    /// Lets a program run as this user.
    pub(crate) fn apply(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt as _;
        if self.we_are_root {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Finds a folder with `cargo` and `rustc` that this user can run, as a value for `PATH`; root's own toolchain is
    /// linked or copied to `place`, because nobody else may look into root's home.
    pub(crate) fn toolchain(&self, place: &Path) -> Result<PathBuf, Trouble> {
        let output = Command::new("rustc").args(["--print", "sysroot"]).output();
        let output = output.map_err(|error| Trouble::new(format!("rustc does not run: {error}")))?;
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if !self.we_are_root || is_open_to_all(&sysroot) {
            return Ok(sysroot.join("bin"));
        }
        // Only what a compiler needs; documentation is the larger part of a toolchain.
        for part in ["bin", "lib"] {
            let (from, to) = (sysroot.join(part), place.join(part));
            fs::create_dir_all(place).map_err(|error| Trouble::with("make", place, &error))?;
            let copied = ["-al", "-a"].iter().any(|how| {
                let _ = fs::remove_dir_all(&to);
                let status =
                    Command::new("cp").arg(how).arg(&from).arg(&to).stderr(std::process::Stdio::null()).status();
                status.is_ok_and(|status| status.success())
            });
            if !copied {
                return Err(Trouble::new(format!("cannot copy {} to {}", from.display(), to.display())));
            }
        }
        Ok(place.join("bin"))
    }
}

/// Says whether everybody may enter a folder, by the modes of all folders on the way.
fn is_open_to_all(path: &Path) -> bool {
    path.ancestors().all(|folder| fs::metadata(folder).is_ok_and(|metadata| metadata.mode() & 0o001 != 0))
}
