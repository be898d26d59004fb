//! Builds and rebases in OCI layouts, which other programs read.
//!
//! Clause: platform.md#exporter; catalogue 2, section 4.4.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::machine::copy_folder;
use crate::support::image::Image;
use crate::support::platform::Platform;
use crate::support::registry::Registry;
use crate::support::tool;

const APP: &str = "example.com/apps/hello";
const TAG: &str = "example.com/other/hello:2";

/// Has skopeo and umoci read the image in `layout`, and says what its app's file `file` has.
#[track_caller]
fn read(registry: &Registry, layout: &Path, scratch: &Path, file: &Path) -> String {
    let tag = layout.file_name().unwrap().display();
    let source = format!("{}:{tag}", layout.display());
    let mut skopeo = registry.skopeo(&["copy", "--quiet", "--preserve-digests"]);
    tool(skopeo.arg(format!("oci:{source}")).arg(format!("dir:{}", scratch.join("copy").display())));
    tool(Command::new("umoci").args(["unpack", "--image", &source]).arg(scratch.join("bundle")));
    fs::read_to_string(scratch.join("bundle/rootfs").join(file.strip_prefix("/").unwrap())).unwrap()
}

#[test]
fn skopeo_and_umoci_read_what_creator_and_rebaser_leave() {
    let registry = Registry::plain();
    let mut platform = Platform::new();
    let images = platform.path("images");
    let run = images.join("example.com/run/latest");
    copy_folder(&platform.path("run-image"), &run).unwrap();
    platform.give("images");
    platform.run_image("example.com/run");
    platform.env("CNB_USE_LAYOUT", "true");
    platform.env("CNB_LAYOUT_DIR", images.to_str().unwrap());
    platform.env("CNB_EXPERIMENTAL_MODE", "quiet");
    let file = platform.path("workspace/greeting.txt");
    let layouts = ["example.com/apps/hello/latest", "example.com/other/hello/2"].map(|name| images.join(name));
    let holds = |greeting: &str, run_image: &Path| {
        for layout in &layouts {
            let scratch = tempfile::tempdir().unwrap();
            assert_eq!(read(&registry, layout, scratch.path(), &file), greeting);
            assert_eq!(Image::read(layout).layers()[..1], Image::read(run_image).layers()[..]);
        }
    };

    for (greeting, says) in [("Hello", "Adding"), ("Good evening", "Reusing")] {
        platform.write("workspace/greeting.txt", greeting);
        let created = platform.create(APP, &["-tag", TAG]).exits(0);
        created.says(&format!("{says} layer 'buildpacksio/lifecycle:launcher'")).done();
        holds(greeting, &platform.path("run-image"));
    }

    let newer = platform.newer_run_image("/usr/bin/date");
    fs::remove_dir_all(&run).unwrap();
    copy_folder(&newer, &run).unwrap();
    platform.give("images");
    platform.run("rebaser", &[APP, TAG]).exits(0).done();
    holds("Good evening", &newer);
}
