//! The run image: an OCI layout with one layer, made of what this machine has.
//!
//! A real platform takes a distribution's image. Here it holds users, folders, and a few of this machine's programs with
//! their libraries: bash, because one of the sample buildpacks brings a profile script.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::Trouble;
use super::user::User;

/// Makes the layout `layout` with `programs` (paths), using `scratch` for the files of its layer.
pub(crate) fn make(layout: &Path, scratch: &Path, user: &User, programs: &[&str]) -> Result<(), Trouble> {
    let root = scratch.join("rootfs");
    lay_out(&root, user, programs)?;
    of_folder(layout, &root, user)
}

/// Fills the folder `root` with users, folders and `programs` (paths).
pub(crate) fn lay_out(root: &Path, user: &User, programs: &[&str]) -> Result<(), Trouble> {
    for folder in ["tmp", "bin", "usr/bin", "home/cnb"] {
        fs::create_dir_all(root.join(folder)).map_err(|error| Trouble::with("write", root, &error))?;
    }
    users(root, user)?;
    programs.iter().try_for_each(|program| copy_program(Path::new(program), root))
}

/// Writes root and `user` into `/etc/passwd` and `/etc/group` of the folder `root`.
pub(crate) fn users(root: &Path, user: &User) -> Result<(), Trouble> {
    let failed = |error: std::io::Error| Trouble::with("write", root, &error);
    let (uid, gid) = (user.uid, user.gid);
    let passwd = format!("root:x:0:0:root:/root:/bin/bash\ncnb:x:{uid}:{gid}:cnb:/home/cnb:/bin/bash\n");
    fs::create_dir_all(root.join("etc")).map_err(failed)?;
    fs::write(root.join("etc/passwd"), passwd).map_err(failed)?;
    fs::write(root.join("etc/group"), format!("root:x:0:\ncnb:x:{gid}:\n")).map_err(failed)
}

/// Makes the layout `layout` whose one layer is what the folder `root` has; its processes run as `user`.
pub(crate) fn of_folder(layout: &Path, root: &Path, user: &User) -> Result<(), Trouble> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| Trouble::with("write", &path, &error)
    };
    let (uid, gid) = (user.uid, user.gid);
    let tar = Command::new("tar")
        .args(["--numeric-owner", "--owner=0", "--group=0", "--mtime=@315532801", "--sort=name", "-c", "-C"])
        .arg(root)
        .arg(".")
        .output()
        .map_err(|error| Trouble::new(format!("tar does not run: {error}")))?
        .stdout;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let layer = gzip.write_all(&tar).and_then(|()| gzip.finish()).map_err(failed(root))?;
    let config = json!({
        "architecture": cnb_lifecycle::os::os_release::architecture(),
        "os": "linux",
        "created": "1980-01-01T00:00:01Z",
        "config": {
            "User": format!("{uid}:{gid}"),
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Labels": {
                "io.buildpacks.base.id": "com.example.demo",
                "io.buildpacks.base.distro.name": "demo",
                "io.buildpacks.base.distro.version": "1",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [sha256(&tar)] },
        "history": [{ "created": "1980-01-01T00:00:01Z", "created_by": "make demo" }],
    });

    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(failed(&blobs))?;
    let blob = |media_type: &str, bytes: &[u8]| {
        let digest = sha256(bytes);
        let path = blobs.join(&digest["sha256:".len()..]);
        fs::write(&path, bytes).map_err(failed(&path))?;
        Ok::<_, Trouble>(json!({ "mediaType": media_type, "size": bytes.len(), "digest": digest }))
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?,
        "layers": [blob("application/vnd.oci.image.layer.v1.tar+gzip", &layer)?],
    });
    let manifest = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes())?;
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).map_err(failed(layout))?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).map_err(failed(layout))
}

fn sha256(bytes: &[u8]) -> String {
    let hex: String =
        digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("sha256:{hex}")
}

/// Copies a program and the libraries that `ldd` names, each to its own path below `root`.
fn copy_program(program: &Path, root: &Path) -> Result<(), Trouble> {
    let ldd = Command::new("ldd").arg(program).output().map(|output| output.stdout).unwrap_or_default();
    let listed = String::from_utf8_lossy(&ldd).into_owned();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for file in std::iter::once(program.to_owned()).chain(libraries) {
        let target = root.join(file.strip_prefix("/").unwrap_or(&file));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(|error| Trouble::with("make", folder, &error))?;
        }
        fs::copy(&file, &target).map_err(|error| Trouble::with("copy", &file, &error))?;
    }
    Ok(())
}
