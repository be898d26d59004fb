//! What tests stand on: the machine, what is started and ended, a platform that calls phases, and judges of images.

pub(crate) mod browser;
pub(crate) mod collector;
pub(crate) mod daemon;
pub(crate) mod front;
pub(crate) mod image;
pub(crate) mod outcome;
pub(crate) mod platform;
pub(crate) mod podman;
pub(crate) mod registry;
pub(crate) mod running;

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::machine::user::{self, User};

/// The folder of this checkout.
pub(crate) fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the release under test: `LIFECYCLE_DIR`, or what `make build` leaves.
pub(crate) fn lifecycle_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a test target has no other way to be told")]
    let given = std::env::var_os("LIFECYCLE_DIR").map(PathBuf::from);
    let dir = given.unwrap_or_else(|| {
        let arch = cnb_lifecycle::os::os_release::architecture();
        checkout().join(format!("out/linux-{arch}/lifecycle"))
    });
    for name in ["lifecycle", "launcher", "analyzer", "creator"] {
        assert!(dir.join(name).exists(), "{} is not there: run `make build` first", dir.join(name).display());
    }
    dir
}

/// The user that builds. The tests themselves need root, for a daemon and for changing users.
pub(crate) fn builder() -> User {
    let own = std::fs::metadata("/proc/self").unwrap();
    assert!(own.uid() == 0, "the acceptance tests need root: a daemon is started, and users are changed");
    user::choose().unwrap_or_else(|trouble| panic!("{}", trouble.0))
}

/// Makes a folder that every user may enter, gone when it is dropped.
pub(crate) fn scratch() -> TempDir {
    let dir = tempfile::Builder::new().prefix("lifecycle-acceptance-").tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Finds a port of 127.0.0.1 on which nothing listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Runs a tool of this machine to its end and returns its standard output; it must succeed.
#[track_caller]
pub(crate) fn tool(command: &mut Command) -> Vec<u8> {
    let shown = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| {
        panic!("{shown} does not start: {error}; acceptance/install-packages installs what tests need")
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{shown} ended with {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output.stdout
}

/// Gives a folder to a user.
pub(crate) fn give(folder: &Path, user: &User) {
    tool(Command::new("chown").arg("-R").arg(format!("{}:{}", user.uid, user.gid)).arg(folder));
}
