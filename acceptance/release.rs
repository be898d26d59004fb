//! The archive and the image of the release, as tar, sha256sum, skopeo and umoci see them.
//!
//! Catalogue 3, sections C1 to C3, items 49, 50 and 57: what clients of the reference check, and what they do not check
//! but rely on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::image::Image;
use crate::support::registry::Registry;
use crate::support::{checkout, lifecycle_dir, scratch, tool};

/// What is in the folder, in the archive's order.
const FILES: [&str; 16] = [
    "analyzer",
    "builder",
    "creator",
    "detector",
    "exporter",
    "extender",
    "launcher",
    "launcher.sbom.cdx.json",
    "launcher.sbom.spdx.json",
    "launcher.sbom.syft.json",
    "lifecycle",
    "lifecycle.sbom.cdx.json",
    "lifecycle.sbom.spdx.json",
    "lifecycle.sbom.syft.json",
    "rebaser",
    "restorer",
];

/// The folder of this architecture: what `make package` and `make image` leave is in it and beside it.
fn out() -> PathBuf {
    lifecycle_dir().parent().unwrap().to_owned()
}

fn archive() -> PathBuf {
    let arch = if std::env::consts::ARCH == "x86_64" { "x86-64" } else { "arm64" };
    let out = out();
    let folder = out.parent().unwrap();
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_it = |name: &String| name.starts_with("lifecycle-v") && name.ends_with(&format!("+linux.{arch}.tgz"));
    let found: Vec<String> = names.filter(is_it).collect();
    assert!(found.len() == 1, "one archive in {}: run `make package`; found {found:?}", folder.display());
    folder.join(&found[0])
}

/// Checks a listing by tar: every entry is root's, of the year 1980, and has the mode and kind that it should have.
fn is_a_release(listing: &[String], first: &[&str], root: &str) {
    let entries: Vec<Vec<&str>> = listing.iter().map(|line| line.splitn(6, ' ').collect()).collect();
    let names: Vec<String> = listing.iter().map(|line| line.split(" 00:00:01 ").nth(1).unwrap().to_owned()).collect();
    let expected = first.iter().map(|&name| name.to_owned()).chain(FILES.iter().map(|name| match *name {
        "lifecycle" | "launcher" => format!("{root}{name}"),
        sbom if sbom.contains('.') => format!("{root}{sbom}"),
        name => format!("{root}{name} -> lifecycle"),
    }));
    assert_eq!(names, expected.collect::<Vec<_>>());
    for (entry, name) in entries.iter().zip(&names) {
        let last = name.rsplit('/').next().unwrap();
        let mode = match last {
            _ if name.contains(" -> ") => "lrwxrwxrwx",
            _ if last.contains('.') => "-rw-r--r--",
            "launcher" => "-rwxr-xr-x",
            "lifecycle" if name.starts_with(root) => "-rwxr-xr-x",
            _ => "drwxr-xr-x",
        };
        assert_eq!((entry[0], entry[1]), (mode, "0/0"), "{name}");
    }
    assert!(listing.iter().all(|line| line.contains(" 1980-01-01 00:00:01 ")), "{listing:#?}");
}

#[test]
fn the_archive_is_what_builders_take() {
    let archive = archive();
    let mut tar = Command::new("tar");
    tar.env("TZ", "UTC").args(["--numeric-owner", "--full-time", "-tvzf"]).arg(&archive);
    let listing = String::from_utf8(tool(&mut tar)).unwrap();
    let listing: Vec<String> = listing.lines().map(str::to_owned).collect();
    is_a_release(&listing, &["lifecycle.toml", "lifecycle"], "lifecycle/");

    let folder = archive.parent().unwrap();
    let name = archive.file_name().unwrap().to_str().unwrap();
    tool(Command::new("sha256sum").arg("--check").arg(format!("{name}.sha256")).current_dir(folder));

    let mut tar = Command::new("tar");
    let descriptor = tool(tar.arg("-xzOf").arg(&archive).arg("lifecycle.toml"));
    let descriptor = String::from_utf8(descriptor).unwrap();
    let version = name.strip_prefix("lifecycle-v").unwrap().split("+linux.").next().unwrap();
    assert!(descriptor.contains(&format!("  version = \"{version}\"\n")), "{descriptor}");
    // Below 0.19.0, pack runs no extensions with this lifecycle.
    let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
    assert!(minor >= 19 || !version.starts_with("0."), "{version}");
}

#[test]
fn the_programs_of_the_archive_run_from_an_empty_file_system() {
    let dir = scratch();
    tool(Command::new("tar").arg("-xzf").arg(archive()).arg("-C").arg(dir.path()));
    for name in ["lifecycle", "analyzer", "extender", "creator"] {
        let mut command = Command::new("chroot");
        command.arg(dir.path()).arg(format!("/lifecycle/{name}")).arg("-version");
        let version = tool(command.env_clear().env("PATH", "/usr/sbin:/usr/bin").env("CNB_PLATFORM_API", "0.15"));
        assert!(String::from_utf8(version).unwrap().contains('.'), "{name}");
    }
    for program in ["lifecycle", "launcher"] {
        let path = dir.path().join("lifecycle").join(format!("{program}.sbom.cdx.json"));
        let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let sum = tool(Command::new("sha256sum").arg(dir.path().join("lifecycle").join(program)));
        let sum = String::from_utf8(sum).unwrap();
        let named = document["metadata"]["component"]["hashes"][0]["content"].as_str().unwrap();
        assert!(sum.starts_with(named), "the SBOM is of another {program}: {named}, {sum}");
    }
}

/// Two archives of a commit, built in two folders by two users, were compared byte for byte; this is what would tell them
/// apart.
#[test]
fn the_programs_name_no_folder_of_the_machine_that_built_them() {
    let checkout = format!("{}/src/", checkout().display());
    for program in ["lifecycle", "launcher"] {
        let bytes = fs::read(lifecycle_dir().join(program)).unwrap();
        for folder in [checkout.as_str(), "/.cargo/registry/", "/.rustup/toolchains/"] {
            let found = bytes.windows(folder.len()).position(|window| window == folder.as_bytes());
            assert!(found.is_none(), "{program} has {folder} in it, at {found:?}");
        }
    }
}

#[test]
fn the_image_has_the_lifecycle_as_its_last_layer_and_says_what_it_is() {
    let registry = Registry::plain();
    let name = registry.image("lifecycle");
    let layout = out().join("image");
    assert!(layout.exists(), "{} is not there: run `make image`", layout.display());
    registry.push(&layout, "lifecycle");
    let dir = scratch();
    let image = Image::fetch(&registry, &name, &dir.path().join("fetched"));

    let layers = image.layers();
    let last = image.listing(layers.last().unwrap());
    is_a_release(&last, &["/cnb", "/cnb/lifecycle.toml", "/cnb/lifecycle"], "/cnb/lifecycle/");

    let config = &image.config["config"];
    let version = config["Labels"]["io.buildpacks.lifecycle.version"].as_str().unwrap().to_owned();
    assert_eq!(config["WorkingDir"], "/layers");
    for key in ["Entrypoint", "Cmd", "User"] {
        let value = config.get(key).unwrap_or(&Value::Null);
        assert!(value.is_null() || value == "", "{key}: {value}");
    }
    let builder = image.label("io.buildpacks.builder.metadata");
    assert_eq!(builder["lifecycle"]["version"], version.as_str());

    let root = image.unpack(&dir.path().join("bundle"));
    let descriptor = fs::read_to_string(root.join("cnb/lifecycle.toml")).unwrap();
    let apis = image.label("io.buildpacks.lifecycle.apis");
    for (api, table) in [("buildpack", "[apis.buildpack]"), ("platform", "[apis.platform]")] {
        let listed: Vec<String> = apis[api]["supported"].as_array().unwrap().iter().map(ToString::to_string).collect();
        let line = format!("supported = [{}]", listed.join(", "));
        let text = descriptor.split(table).nth(1).unwrap();
        assert!(text.trim_start().lines().nth(1).unwrap().contains(&line), "{line} in {descriptor}");
        assert_eq!(builder["api"][api].to_string(), listed[0]);
    }
    let mut command = Command::new("chroot");
    command.arg(&root).args(["/cnb/lifecycle/exporter", "-version"]).env_clear().env("CNB_PLATFORM_API", "0.15");
    let said = tool(command.env("PATH", "/usr/sbin:/usr/bin"));
    assert!(String::from_utf8(said).unwrap().starts_with(&version));
}
