//! Starts the app from its image, as a container runtime would: the image's files as root file system, its environment,
//! its entrypoint, which is the launcher by another name.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::builder::Builder;
use crate::machine::Trouble;
use crate::say;

/// What of an image is needed to start it.
struct Image {
    layers: Vec<PathBuf>,
    env: Vec<String>,
    entrypoint: String,
}

/// How a process gets the image's files as its root.
enum Isolation {
    /// `chroot`, as root.
    Chroot,
    /// `unshare --map-root-user chroot`, where users may make namespaces.
    UserNamespace,
    /// A container engine, by its program's name.
    Engine(&'static str),
}

/// Starts the app, asks it, and ends it.
pub(crate) fn run(builder: &Builder) -> Result<(), Trouble> {
    let image = read(&builder.image_layout())?;
    let isolation = choose(builder)?;
    let root = builder.path("rootfs-of-app");
    match isolation {
        Isolation::Chroot | Isolation::UserNamespace => unpack(&image, &root)?,
        Isolation::Engine(engine) => load(engine, builder)?,
    }
    let port = free_port()?;
    say(format!("\x1b[36m$ {}\x1b[0m", image.entrypoint));
    let mut web = start(builder, &image, &isolation, &root, &image.entrypoint, port)?;
    let answers = ["/", "/environment"].map(|path| get(port, path));
    let _ = web.kill();
    let _ = web.wait();
    for (path, answer) in ["/", "/environment"].iter().zip(answers) {
        say(format!("\x1b[36m$ curl http://127.0.0.1:{port}{path}\x1b[0m\n{}", answer?.trim_end()));
    }
    let shell = "/cnb/process/shell";
    say(format!("\x1b[36m$ {shell}\x1b[0m"));
    let status = start(builder, &image, &isolation, &root, shell, port)?.wait();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Trouble::new(format!("the shell process ended with {status}"))),
        Err(error) => Err(Trouble::new(format!("the shell process is lost: {error}"))),
    }
}

/// Finds a way to give a process another root, or says which one to allow.
fn choose(builder: &Builder) -> Result<Isolation, Trouble> {
    // An ordinary user's PATH lacks the folders where chroot is.
    #[expect(clippy::disallowed_methods, reason = "the demo is a program, not a phase")]
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let works = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).env("PATH", &path).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if builder.user.we_are_root && works("chroot", &["/", "/bin/true"]) {
        return Ok(Isolation::Chroot);
    }
    if works("unshare", &["--map-root-user", "chroot", "/", "/bin/true"]) {
        return Ok(Isolation::UserNamespace);
    }
    for engine in ["podman", "docker"] {
        if works(engine, &["info"]) {
            return Ok(Isolation::Engine(engine));
        }
    }
    Err(Trouble::new(
        "the image is built, but nothing here may start it: run the demo as root, or allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1), or install podman or docker",
    ))
}

fn read(layout: &Path) -> Result<Image, Trouble> {
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap_or_default().replace(':', "/");
        layout.join("blobs").join(digest)
    };
    let index = json(&layout.join("index.json"))?;
    let manifest = json(&blob(&index["manifests"][0]))?;
    let config = json(&blob(&manifest["config"]))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    Ok(Image {
        layers: manifest["layers"].as_array().into_iter().flatten().map(blob).collect(),
        env: list(&config["config"]["Env"]),
        entrypoint: list(&config["config"]["Entrypoint"]).concat(),
    })
}

fn json(path: &Path) -> Result<Value, Trouble> {
    let bytes = fs::read(path).map_err(|error| Trouble::with("read", path, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| Trouble::new(format!("{}: {error}", path.display())))
}

/// Unpacks the layers with the system's own tar: not with the code that made them.
fn unpack(image: &Image, root: &Path) -> Result<(), Trouble> {
    let _ = fs::remove_dir_all(root);
    fs::create_dir_all(root).map_err(|error| Trouble::with("make", root, &error))?;
    for layer in &image.layers {
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "-xzf"]).arg(layer).arg("-C").arg(root).stderr(Stdio::null());
        let unpacked = tar.status().is_ok_and(|status| status.success());
        if !unpacked {
            return Err(Trouble::new(format!("tar cannot unpack {}", layer.display())));
        }
    }
    add_null(root)
}

/// Gives the root what every container runtime does: the launcher and shells open /dev/null. Who may make no device gets
/// an empty file, which reads the same.
fn add_null(root: &Path) -> Result<(), Trouble> {
    let (folder, null) = (root.join("dev"), root.join("dev/null"));
    fs::create_dir_all(&folder).map_err(|error| Trouble::with("make", &folder, &error))?;
    let made =
        Command::new("mknod").args(["-m", "666"]).arg(&null).args(["c", "1", "3"]).stderr(Stdio::null()).status();
    if made.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    fs::write(&null, "").map_err(|error| Trouble::with("write", &null, &error))
}

/// Gives the layout to a container engine, as an archive.
fn load(engine: &str, builder: &Builder) -> Result<(), Trouble> {
    let archive = builder.path("image.tar");
    let packed = Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(builder.image_layout()).arg(".").status();
    let loaded = Command::new(engine).args(["load", "-i"]).arg(&archive).status();
    if packed.is_ok_and(|status| status.success()) && loaded.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(Trouble::new(format!("{engine} cannot load the image")))
    }
}

fn start(
    builder: &Builder,
    image: &Image,
    isolation: &Isolation,
    root: &Path,
    entrypoint: &str,
    port: u16,
) -> Result<Child, Trouble> {
    let mut command = match isolation {
        Isolation::Chroot => {
            let mut command = Command::new("chroot");
            command.arg(format!("--userspec={}:{}", builder.user.uid, builder.user.gid)).arg(root);
            command
        }
        Isolation::UserNamespace => {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "chroot"]).arg(root);
            command
        }
        Isolation::Engine(engine) => {
            let mut command = Command::new(engine);
            command.args(["run", "--rm", "--network", "host", "-e"]).arg(format!("PORT={port}"));
            command.args(["--entrypoint", entrypoint, "latest"]);
            return command.spawn().map_err(|error| Trouble::new(format!("{engine} does not start: {error}")));
        }
    };
    command.arg(entrypoint).env_clear().env("PORT", port.to_string()).current_dir("/");
    for line in &image.env {
        if let Some((name, value)) = line.split_once('=') {
            command.env(name, value);
        }
    }
    command.spawn().map_err(|error| Trouble::new(format!("{entrypoint} does not start: {error}")))
}

fn free_port() -> Result<u16, Trouble> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| Trouble::new(format!("there is no free port: {error}")))
}

/// Asks the app; waits up to ten seconds for it to listen.
fn get(port: u16, path: &str) -> Result<String, Trouble> {
    let failed = |error: std::io::Error| Trouble::new(format!("the app does not answer on port {port}: {error}"));
    let mut stream = (0..100)
        .find_map(|_| {
            TcpStream::connect(("127.0.0.1", port)).ok().or_else(|| {
                sleep(Duration::from_millis(100));
                None
            })
        })
        .ok_or_else(|| Trouble::new(format!("the app does not listen on port {port}")))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains("200 OK") => Ok(body.to_owned()),
        _ => Err(Trouble::new(format!("the app answered {answer:?}"))),
    }
}
