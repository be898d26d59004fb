//! Layers that were restored and not touched since, from the restorer to the exporter: two programs, and a file in the
//! cache folder between them.
//!
//! Clause: platform.md#exporter; catalogue 2, section 3.3; policy P28.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use crate::support::{APP_IMAGE, World};

const SEALS: &str = "cache/io.buildpacks.lifecycle.seals";
const FILE: &str = "layers/test_one/big/sub/file";

/// A world whose buildpack makes a layer worth a seal, and then does to it what the file `change` of the app says.
fn world() -> World {
    let world = World::new();
    let build = r#"
layer=$CNB_LAYERS_DIR/big
if [ ! -f "$layer/sub/file" ]; then
  mkdir -p "$layer/sub"
  dd if=/dev/zero of="$layer/sub/file" bs=65536 count=40 2>/dev/null
  ln -s sub/file "$layer/link"
fi
printf '[types]\nlaunch = true\ncache = true\n' > "$layer.toml"
. ./change
"#;
    world.buildpack("test/one", "0.12", "", "exit 0", build);
    world.order(&[&["test/one"]]);
    world.write("workspace/change", "");
    world.build();
    world
}

/// Everything up to the exporter, with a fresh layers folder.
fn restored(world: &World) {
    world.fresh_layers();
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    world.run("restorer", &["-cache-dir", "cache"]).exits(0).says("Restoring data for \"test/one:big\"").done();
}

fn exported(world: &World) {
    world.run("exporter", &["-cache-dir", "cache", "-launcher", "bin/launcher", APP_IMAGE]).exits(0).done();
    assert!(!world.path(SEALS).exists(), "seals are of one build");
}

/// When a file was last read, in nanoseconds.
fn read_at(world: &World, name: &str) -> i64 {
    let found = fs::metadata(world.path(name)).unwrap();
    found.atime() * 1_000_000_000 + found.atime_nsec()
}

/// Whether the exporter reads the layer; `None` where the file system does not say when a file was read.
fn exporter_reads(world: &World) -> Option<bool> {
    let before = read_at(world, FILE);
    std::thread::sleep(Duration::from_millis(20));
    exported(world);
    let reads = read_at(world, FILE) != before;
    fs::read(world.path(FILE)).unwrap();
    (read_at(world, FILE) != before).then_some(reads)
}

#[test]
fn the_exporter_does_not_read_a_layer_that_the_restorer_left() {
    let world = world();
    let first = world.app_image().0;
    restored(&world);
    assert!(world.read(SEALS).contains("/test_one/big\n"));
    world.run("builder", &[]).exits(0).done();
    assert_ne!(exporter_reads(&world), Some(true));
    assert_eq!(world.app_image().0, first);
    // Nor does the next build find anything wrong with what it left.
    restored(&world);
    world.run("builder", &[]).exits(0).done();
    exported(&world);
    assert_eq!(world.app_image().0, first);
}

#[test]
fn what_a_buildpack_changed_is_in_the_image() {
    let changes = [
        "printf y | dd of=$layer/sub/file conv=notrunc 2>/dev/null",
        "cd $CNB_LAYERS_DIR; touch -r $layer/sub/file ref; printf y | dd of=$layer/sub/file conv=notrunc 2>/dev/null; touch -r ref $layer/sub/file",
        "chmod 600 $layer/sub/file",
        "mv $layer/sub/file $layer/sub/other",
        "ln -sf other $layer/link",
        "cd $CNB_LAYERS_DIR; cp -p $layer/sub/file new; printf y | dd of=new conv=notrunc 2>/dev/null; mv new $layer/sub/file",
    ];
    let world = world();
    for change in changes {
        let mut images = Vec::new();
        for keeps_seals in [true, false] {
            // Each begins from what is in the cache before.
            fs::remove_dir_all(world.path("cache")).unwrap();
            fs::create_dir(world.path("cache")).unwrap();
            fs::remove_dir_all(world.layout(APP_IMAGE)).unwrap();
            world.fresh_layers();
            world.write("workspace/change", "");
            world.build();
            let unchanged = world.app_image().0;
            restored(&world);
            world.write("workspace/change", change);
            world.run("builder", &[]).exits(0).done();
            world.write("workspace/change", "");
            if !keeps_seals {
                fs::remove_file(world.path(SEALS)).unwrap();
            }
            exported(&world);
            assert_ne!(world.app_image().0, unchanged, "{change}");
            images.push(world.app_image().0);
        }
        assert_eq!(images[0], images[1], "{change}");
    }
}

/// A part of the last line of the seals.
fn last(seals: &str, part: usize) -> &str {
    seals.lines().last().and_then(|line| line.split(' ').nth(part)).unwrap()
}

/// What becomes of the seals, from those of now and those of an earlier build.
type Damage = fn(&str, &str) -> String;

#[test]
fn seals_that_are_not_as_the_restorer_left_them_are_not_believed() {
    let world = world();
    let first = world.app_image().0;
    restored(&world);
    let stale = fs::read_to_string(world.path(SEALS)).unwrap();
    let damages: [(&str, Damage); 7] = [
        ("stale", |_, stale| stale.to_owned()),
        ("another diff id", |now, _| now.replace(last(now, 0), &last(now, 0).replace(['0', '5', 'a'], "9"))),
        ("another outline", |now, _| now.replace(last(now, 2), last(now, 3))),
        ("no sum", |now, _| now.split_once('\n').unwrap().1.to_owned()),
        ("cut off", |now, _| now[..now.len() - 9].to_owned()),
        ("empty", |_, _| String::new()),
        ("something else", |_, _| "\u{0}\n\n\n".repeat(100)),
    ];
    for (what, damage) in damages {
        restored(&world);
        world.run("builder", &[]).exits(0).done();
        let now = world.read(SEALS);
        let damaged = damage(&now, &stale);
        assert_ne!(now, damaged, "{what}");
        fs::write(world.path(SEALS), damaged).unwrap();
        assert_ne!(exporter_reads(&world), Some(false), "{what}");
        assert_eq!(world.app_image().0, first, "{what}");
    }
}
