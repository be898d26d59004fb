//! Exports from outside: what flags and odd files of a build do to the image. Catalogue 2, sections 1 to 3 and 8.

/// Documents, folders and images that are missing or wrong.
mod faults;
/// What goes to a registry, request by request.
mod pushes;

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{APP_IMAGE, Outcome, RUN_IMAGE, World, sha256};

/// The arguments of every export here.
const EXPORT: [&str; 3] = ["-launcher", "bin/launcher", APP_IMAGE];

/// A world in which all phases before the export have run, with a layer for launch and cache.
fn built(api: &'static str) -> World {
    built_by(
        api,
        "mkdir -p $CNB_LAYERS_DIR/kept\n\
         echo data > $CNB_LAYERS_DIR/kept/data\n\
         printf '[types]\\nlaunch = true\\ncache = true\\n' > $CNB_LAYERS_DIR/kept.toml\n",
    )
}

fn built_by(api: &'static str, build: &str) -> World {
    let world = World::new().at(api);
    world.buildpack("test/one", "0.10", "", "exit 0", build);
    world.order(&[&["test/one"]]);
    world.write("workspace/file", "content\n");
    world.write("stack.toml", "[run-image]\nimage = \"example.com/test/run\"\n");
    let stack = world.path("stack.toml");
    world.run_with("analyzer", &[APP_IMAGE], &[("CNB_STACK_PATH", stack.to_str())]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    world.run("builder", &[]).exits(0).done();
    world
}

fn export(world: &World, more: &[&str]) -> Outcome {
    world.run("exporter", &[more, &EXPORT].concat())
}

/// The JSON of a label of the app image.
fn label(config: &Value, name: &str) -> Value {
    serde_json::from_str(config["config"]["Labels"][name].as_str().unwrap()).unwrap()
}

/// The bytes of the layer of the app image that this history entry made.
fn layer(world: &World, made_by: &str) -> Vec<u8> {
    let (_, manifest, config) = world.app_image();
    let entry = |entry: &Value| entry["created_by"].as_str().is_some_and(|text| text.starts_with(made_by));
    let index = config["history"].as_array().unwrap().iter().position(entry).unwrap();
    let digest = manifest["layers"][index]["digest"].as_str().unwrap();
    let blob = world.layout(APP_IMAGE).join("blobs").join(digest.replace(':', "/"));
    let mut tar = Vec::new();
    let mut gzip = flate2::read::MultiGzDecoder::new(fs::File::open(blob).unwrap());
    std::io::Read::read_to_end(&mut gzip, &mut tar).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][index], sha256(&tar));
    tar
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_is_ignored_or_not_there_is_told_and_the_image_is_written() {
    let world = built("0.15");
    export(&world, &["-launch-cache", "launch-cache"])
        .exits(0)
        .says("Warning: No cached data will be used, no cache specified.")
        .says("Warning: Ignoring -launch-cache, only intended for use with -daemon")
        .done();
    assert!(!world.path("launch-cache").exists());
    fs::remove_file(world.path("run.toml")).unwrap();
    let path = world.path("run.toml").display().to_string();
    export(&world, &["-cache-dir", "cache"])
        .exits(0)
        .does_not_say("No cached data")
        .says(&format!("No run metadata found at path \"{path}\""))
        .done();
    let run_image = &label(&world.app_image().2, "io.buildpacks.lifecycle.metadata")["runImage"];
    assert!(run_image["image"].is_null() && run_image["mirrors"].is_null(), "{run_image}");
    let world = built("0.11");
    let run = world.run_with("exporter", &EXPORT, &[("CNB_STACK_PATH", Some("no/stack.toml"))]);
    run.exits(0).says("No stack metadata found at path \"no/stack.toml\"").done();
}

#[test]
fn the_run_image_of_the_variable_may_be_given_as_a_flag_too() {
    let world = built("0.15");
    let variable = [("CNB_RUN_IMAGE", Some("example.com/test/run"))];
    let args = [&["-run-image", "example.com/test/run"], &EXPORT[..]].concat();
    world.run_with("exporter", &args, &variable).exits(0).done();
    let args = [&["-run-image", "example.com/test/other"], &EXPORT[..]].concat();
    world.run_with("exporter", &args, &variable).exits(3).says("-run-image is unsupported").done();
}

#[test]
fn a_creator_tells_its_phases_in_order_and_writes_every_tag() {
    let world = built("0.15");
    let tag = "example.com/test/tag:2";
    let created = world.run("creator", &[&["-tag", tag], &EXPORT[..]].concat()).exits(0);
    let mut rest = created.stdout.as_str();
    for phase in ["ANALYZING", "DETECTING", "RESTORING", "BUILDING", "EXPORTING"] {
        let header = format!("===> {phase}\n");
        let at = rest.find(&header).unwrap_or_else(|| panic!("{header} is not in order: {}", created.stdout));
        rest = &rest[at + header.len()..];
    }
    created.done();
    let index = world.path("images/example.com/test/tag/2/index.json");
    assert!(index.exists() && world.layout(APP_IMAGE).join("index.json").exists());
}

#[test]
fn a_creator_warns_of_parallel_export_without_a_cache() {
    let world = built("0.15");
    let text = "Parallel export has been enabled, but it has not taken effect because no cache has been specified.";
    world.run("creator", &[&["-parallel"], &EXPORT[..]].concat()).exits(0).says(text).done();
    let cached = ["-parallel", "-cache-dir", "cache"];
    world.run("creator", &[&cached, &EXPORT[..]].concat()).exits(0).does_not_say(text).done();
    export(&world, &["-parallel"]).exits(0).does_not_say(text).done();
}

#[test]
fn time_zone_locale_and_umask_are_not_in_the_image() {
    let world = built("0.15");
    let strict = "#!/bin/sh\numask 077\nexec \"$(dirname \"$0\")/exporter\" \"$@\"\n";
    world.write("bin/strict", strict);
    fs::set_permissions(world.path("bin/strict"), fs::Permissions::from_mode(0o755)).unwrap();
    export(&world, &[]).exits(0).done();
    let first = world.digest(APP_IMAGE);
    let odd = [
        ("TZ", Some("America/New_York")),
        ("LC_ALL", Some("tr_TR.UTF-8")),
        ("SOURCE_DATE_EPOCH", None),
        ("TMPDIR", Some("/var/tmp")),
    ];
    for program in ["exporter", "strict"] {
        fs::remove_dir_all(world.layout(APP_IMAGE)).unwrap();
        world.run_with(program, &EXPORT, &odd).exits(0).done();
        assert_eq!(world.digest(APP_IMAGE), first, "{program}");
    }
    assert_eq!(world.app_image().2["created"], "1980-01-01T00:00:01Z");
}

#[test]
fn names_of_any_bytes_and_lengths_are_in_the_image() {
    let world = built("0.15");
    let app = world.path("workspace");
    let long = "n".repeat(255);
    fs::write(app.join(&long), "long").unwrap();
    let odd = [b'o', b'd', 0xff, b'\n'];
    fs::write(app.join(std::ffi::OsStr::from_bytes(&odd)), "odd").unwrap();
    // A path of 4000 bytes, below the 4096 that the system takes.
    let deep =
        "for i in $(seq 15); do mkdir $1 && cd -P $1; done && echo the deepest > $(head -c $((3999 - ${#PWD})) <<<$1)";
    let mut bash = std::process::Command::new("bash");
    let made = bash.args(["-c", deep, "deep", &"d".repeat(255)]).current_dir(&app).status().unwrap();
    assert!(made.success());
    export(&world, &[]).exits(0).done();
    let tar = layer(&world, "Application Layer");
    assert!(holds(&tar, long.as_bytes()) && holds(&tar, &odd) && holds(&tar, b"the deepest"));
}

#[test]
fn sockets_are_left_out_of_the_app_and_pipes_are_not() {
    let world = built("0.15");
    let app = world.path("workspace");
    let socket = std::os::unix::net::UnixListener::bind(app.join("the-socket")).unwrap();
    nix::unistd::mkfifo(&app.join("the-pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    export(&world, &["-log-level", "debug"]).exits(0).says("the-socket").done();
    drop(socket);
    let tar = layer(&world, "Application Layer");
    assert!(holds(&tar, b"/the-pipe\0") && !holds(&tar, b"the-socket"));
}

#[test]
fn labels_keep_every_character_and_any_length() {
    let long = "&<> ü\u{2028}".repeat(128 * 1024);
    let world = built("0.15");
    let metadata = world.read("layers/config/metadata.toml");
    let labels = "[[labels]]\nkey = \"a\"\nvalue = \"<&>\"\n";
    let more = format!("{labels}[[labels]]\nkey = \"io.long\"\nvalue = \"{long}\"\n");
    world.write("layers/config/metadata.toml", &format!("{metadata}\n{more}"));
    export(&world, &[]).exits(0).says("io.long").done();
    let config = world.app_image().2;
    assert_eq!(config["config"]["Labels"]["a"], "<&>");
    assert_eq!(config["config"]["Labels"]["io.long"].as_str().unwrap().len(), long.len());
}

#[test]
fn a_slice_that_takes_nothing_is_an_empty_layer_and_both_of_two_stay() {
    let world = built("0.15");
    let metadata = world.read("layers/config/metadata.toml");
    let none = "[[slices]]\npaths = [\"none\"]\n";
    let all = "[[slices]]\npaths = [\"*\"]\n";
    world.write("layers/config/metadata.toml", &format!("{metadata}\n{none}{none}{all}"));
    export(&world, &[]).exits(0).says("Added 4/4 app layer(s)").done();
    let config = world.app_image().2;
    let empty = sha256(&[0; 1024]);
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    // The run image's own layer is empty too, and so are two slices and what is left of the app.
    assert_eq!(diff_ids.iter().filter(|diff_id| **diff_id == empty.as_str()).count(), 4);
    assert_eq!(world.app_image().1["layers"].as_array().unwrap().len(), diff_ids.len());
}

#[test]
fn a_run_image_that_is_named_by_its_mirror_has_the_names_of_its_entry() {
    let world = built("0.15");
    let entries = "[[images]]\nimage = \"first.io/run\"\n\
                   [[images]]\nimage = \"second.io/run\"\nmirrors = [\"example.com/test/run\", \"third.io/run\"]\n";
    world.write("run.toml", entries);
    let reference = format!("{}@{}", world.layout(RUN_IMAGE).display(), world.digest(RUN_IMAGE));
    let run_image = format!("[run-image]\nreference = \"{reference}\"\nimage = \"{RUN_IMAGE}\"\n");
    world.write("layers/analyzed.toml", &run_image);
    let names = |world: &World| {
        export(world, &[]).exits(0).done();
        let metadata = label(&world.app_image().2, "io.buildpacks.lifecycle.metadata");
        assert_eq!(
            metadata["runImage"]["image"], metadata["stack"]["runImage"]["image"],
            "both have the same names: {metadata}"
        );
        metadata["runImage"].clone()
    };
    let found = names(&world);
    assert_eq!((&found["image"], &found["mirrors"][1]), (&"second.io/run".into(), &"third.io/run".into()));
    // A name that no entry has: the first entry counts, unless an extension may have chosen it.
    world.write("run.toml", "[[images]]\nimage = \"first.io/run\"\nmirrors = [\"mirror.io/run\"]\n");
    assert_eq!(names(&world)["image"], "first.io/run");
    let metadata = world.read("layers/config/metadata.toml");
    let extension = "[[extensions]]\nid = \"test/ext\"\nversion = \"1.0\"\napi = \"0.10\"\n";
    world.write("layers/config/metadata.toml", &format!("{metadata}\n{extension}"));
    let found = names(&world);
    assert_eq!((&found["image"], &found["mirrors"]), (&"example.com/test/run".into(), &Value::Null));
}
