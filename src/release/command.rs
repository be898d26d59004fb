//! The program behind `make package` and `make image`.
//!
//! `<folder>` is what `make build` leaves: `out/linux-<arch>` with `lifecycle/`, and the file `target` that names what
//! was built for. Descriptor and SBOMs are written there first, so the folder, the archive and the image have the same.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::archive::{archive_name, contents, sha256, write_archive};
use super::bill::Bill;
use super::cargo::{PROGRAMS, components};
use super::{Error, cyclonedx, image, spdx, syft, unheard};
use crate::effect::images::{ImageDraft, Images};
use crate::image::daemon::{Daemon, DaemonConfig, DaemonImages};
use crate::image::layout::LayoutImages;
use crate::model::env::Environment;
use crate::schema::lifecycle;

/// Where docker listens when `DOCKER_HOST` says nothing.
const SOCKET: &str = "/var/run/docker.sock";

/// Writes an SBOM.
type Writer = fn(&Bill) -> String;

/// The writers of the three SBOMs, with the ends of their files' names.
const FORMATS: [(&str, Writer); 3] = [("cdx", cyclonedx::render), ("spdx", spdx::render), ("syft", syft::render)];

/// Makes an archive or an image of the release of `version`, as the arguments behind the program's name say.
///
/// # Errors
/// See [`Error`].
pub fn run(args: &[String], version: &str, env: &Environment, out: &mut dyn Write) -> Result<(), Error> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["archive", folder] => archive(&Release::prepare(Path::new(folder), version, env)?, out),
        ["layout", folder] => {
            let release = Release::prepare(Path::new(folder), version, env)?;
            make_image(&release, None, None, env, out)
        }
        ["image", folder, name] => {
            make_image(&Release::prepare(Path::new(folder), version, env)?, Some(name), None, env, out)
        }
        ["image", folder, name, base] => {
            let release = Release::prepare(Path::new(folder), version, env)?;
            make_image(&release, Some(name), Some(Path::new(base)), env, out)
        }
        _ => Err(Error::Usage),
    }
}

/// A release with all its files in place.
struct Release<'a> {
    folder: PathBuf,
    version: &'a str,
    architecture: &'static str,
}

impl<'a> Release<'a> {
    /// Writes the descriptor and the SBOMs.
    fn prepare(folder: &Path, version: &'a str, env: &Environment) -> Result<Self, Error> {
        let folder = folder.canonicalize().map_err(Error::file(folder))?;
        let path = folder.join("target");
        let target = fs::read_to_string(&path).map_err(Error::file(&path))?.trim().to_owned();
        let architecture = match target.split('-').next() {
            Some("x86_64") => "amd64",
            Some("aarch64") => "arm64",
            _ => return Err(Error::Target(target)),
        };
        let release = Self { folder, version, architecture };
        let path = release.descriptor();
        fs::write(&path, lifecycle::render_descriptor(version)).map_err(Error::file(&path))?;
        let created = created(env)?;
        let cargo = env.get("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        for (program, features) in PROGRAMS {
            let bill = Bill {
                program: program.to_owned(),
                version: version.to_owned(),
                sha256: sha256(&release.programs().join(program))?,
                created: created.clone(),
                components: components(&cargo, Path::new("."), &target, features)?,
            };
            for (format, render) in FORMATS {
                let path = release.programs().join(format!("{program}.sbom.{format}.json"));
                fs::write(&path, render(&bill)).map_err(Error::file(&path))?;
            }
        }
        Ok(release)
    }

    fn programs(&self) -> PathBuf {
        self.folder.join("lifecycle")
    }

    fn descriptor(&self) -> PathBuf {
        self.folder.join("lifecycle.toml")
    }
}

/// When the release was made: `SOURCE_DATE_EPOCH`, which `make` takes from the commit, else the time that every layer
/// has. The clock would make each archive another one.
fn created(env: &Environment) -> Result<String, Error> {
    let text = env.get("SOURCE_DATE_EPOCH").map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
    let epoch = if text.is_empty() { Some(315_532_801) } else { text.parse().ok() };
    let time = epoch.and_then(|epoch| OffsetDateTime::from_unix_timestamp(epoch).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).ok_or(Error::Epoch(text))
}

fn archive(release: &Release<'_>, out: &mut dyn Write) -> Result<(), Error> {
    let name = archive_name(release.version, release.architecture);
    let path = release.folder.with_file_name(name);
    write_archive(contents(&release.descriptor(), &release.programs(), "")?, &path)?;
    say(out, &format!("{}\n{}.sha256", path.display(), path.display()));
    Ok(())
}

/// Makes the image as a layout, and with a name in the daemon too, if there is one.
fn make_image(
    release: &Release<'_>,
    name: Option<&str>,
    base: Option<&Path>,
    env: &Environment,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let Release { folder, version, architecture } = release;
    let scratch = tempfile::tempdir_in(folder).map_err(Error::file(folder))?;
    let base = base.map(|base| image::layout_base(base, architecture)).transpose()?;
    let has_base = base.is_some();
    let contents = contents(&release.descriptor(), &release.programs(), "/cnb/")?;
    let draft = image::draft(contents, version, architecture, base, scratch.path())?;

    let layout = folder.join("image");
    if layout.exists() {
        fs::remove_dir_all(&layout).map_err(Error::file(&layout))?;
    }
    write(&LayoutImages::new(folder.clone(), architecture, unheard()), &draft, &layout.to_string_lossy())?;
    say(out, &layout.display().to_string());

    let Some(name) = name else { return Ok(()) };
    let value = |name: &str| env.get(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
    if value("DOCKER_HOST").is_empty() && !Path::new(SOCKET).exists() {
        say(out, "There is no daemon: set DOCKER_HOST to have the image in one.");
        return Ok(());
    }
    if has_base {
        say(out, "A daemon does not have the base image's layers: copy the layout with skopeo.");
        return Ok(());
    }
    let config = DaemonConfig {
        host: value("DOCKER_HOST"),
        tls_verify: value("DOCKER_TLS_VERIFY"),
        cert_path: value("DOCKER_CERT_PATH"),
        api_version: value("DOCKER_API_VERSION"),
    };
    let name = &tagged(name, version);
    let daemon = Daemon::connect(&config).map_err(|error| Error::Image(format!("daemon: {error}")))?;
    let images = DaemonImages::new(daemon, architecture, scratch.path().to_owned(), unheard());
    write(&images, &draft, name)?;
    say(out, &format!("{name}, in the daemon"));
    Ok(())
}

/// Gives a name without a tag the version as tag, as far as a tag can hold it.
fn tagged(name: &str, version: &str) -> String {
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    if has_tag { name.to_owned() } else { format!("{name}:{}", version.replace('+', "_")) }
}

/// Writes an image under one name, which must not fail.
fn write(images: &dyn Images, draft: &ImageDraft, name: &str) -> Result<(), Error> {
    let written = images.write(draft, &[name.to_owned()]).map_err(|error| Error::Image(error.to_string()))?;
    match written.names.into_iter().find_map(|(name, result)| result.err().map(|error| (name, error))) {
        Some((name, error)) => Err(Error::Image(format!("{name}: {error}"))),
        None => Ok(()),
    }
}

/// Prints a line. That nobody reads it is no reason to fail.
fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_told() {
        let run = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
            run(&args, "1", &Environment::default(), &mut Vec::new()).unwrap_err().to_string()
        };
        assert!(run(&[]).starts_with("usage: package"));
        assert!(run(&["archive"]).starts_with("usage: package"));
        assert_eq!(run(&["archive", "/no/folder"]), "/no/folder: no such file or directory");
    }

    #[test]
    fn an_image_is_tagged_with_the_version_unless_it_has_a_tag() {
        assert_eq!(tagged("localhost:5000/lifecycle", "0.22.0+abc"), "localhost:5000/lifecycle:0.22.0_abc");
        assert_eq!(tagged("lifecycle:mine", "0.22.0"), "lifecycle:mine");
    }

    #[test]
    fn a_target_without_releases_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("target"), "riscv64gc-unknown-linux-gnu\n").unwrap();
        let error = Release::prepare(dir.path(), "1", &Environment::default()).err().unwrap();
        assert_eq!(error.to_string(), "there are no releases for 'riscv64gc-unknown-linux-gnu'");
    }

    #[test]
    fn the_time_is_the_given_one_or_a_fixed_one() {
        let at = |value: &str| {
            let mut env = Environment::default();
            env.set("SOURCE_DATE_EPOCH", value);
            created(&env).map_err(|error| error.to_string())
        };
        assert_eq!(at("1700000000").unwrap(), "2023-11-14T22:13:20Z");
        assert_eq!(at("").unwrap(), "1980-01-01T00:00:01Z");
        assert_eq!(at("yesterday"), Err("SOURCE_DATE_EPOCH has 'yesterday', which is no number of seconds".to_owned()));
    }
}
