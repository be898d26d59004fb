//! Phases that root starts: whose folders become whose, and who writes afterwards.
//!
//! Clause: platform.md#security-considerations; catalogue 1, section 1.8.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;

use crate::support::platform::Platform;
use crate::support::registry::Registry;

/// User and group of a file or link.
fn owner(path: &Path) -> (u32, u32) {
    let metadata = path.symlink_metadata().unwrap();
    (metadata.uid(), metadata.gid())
}

/// A platform whose user is 2222 of group 3333, and whose layers folder, with a file and a link in it, has this owner
/// and these permissions.
fn platform(registry: &Registry, user: u32, group: u32, mode: u32) -> Platform {
    let mut platform = Platform::new().run_image_in(registry);
    platform.env("CNB_USER_ID", "2222");
    platform.env("CNB_GROUP_ID", "3333");
    platform.write("layers/folder/file", "");
    platform.write("elsewhere", "");
    symlink(platform.path("elsewhere"), platform.path("layers/link")).unwrap();
    for name in ["layers", "layers/folder", "layers/folder/file", "layers/link"] {
        lchown(platform.path(name), Some(user), Some(group)).unwrap();
    }
    chown(platform.path("elsewhere"), Some(user), Some(group)).unwrap();
    fs::set_permissions(platform.path("layers"), Permissions::from_mode(mode)).unwrap();
    platform
}

#[test]
fn the_layers_folder_and_all_in_it_become_the_users() {
    let registry = Registry::plain();
    let platform = platform(&registry, 9999, 9999, 0o775);
    platform.run("analyzer", &[&registry.image("app")]).exits(0).done();
    for name in ["layers", "layers/folder", "layers/folder/file", "layers/link", "layers/analyzed.toml"] {
        assert_eq!(owner(&platform.path(name)), (2222, 3333), "{name}");
    }
    assert_eq!(owner(&platform.path("elsewhere")), (9999, 9999), "a link is not followed");
    platform.run("restorer", &["-group", "layers/none"]).exits(1).done();
}

#[test]
fn a_folder_that_the_user_may_write_keeps_its_owner() {
    let registry = Registry::plain();
    for (user, group, mode) in [(9999, 3333, 0o775), (9999, 9999, 0o777), (2222, 9999, 0o700)] {
        let platform = platform(&registry, user, group, mode);
        platform.run("analyzer", &[&registry.image("app")]).exits(0).done();
        for name in ["layers", "layers/folder", "layers/folder/file", "layers/link"] {
            assert_eq!(owner(&platform.path(name)), (user, group), "{name} at {mode:o}");
        }
        assert_eq!(owner(&platform.path("layers/analyzed.toml")), (2222, 3333));
    }
}

#[test]
fn the_creator_needs_a_user_that_is_in_the_list_of_users() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_USER_ID", "3000000");
    let text = "failed to set environment for user 3000000: unknown userid 3000000";
    platform.create(&registry.image("app"), &[]).exits(1).fails_with(&[text]).done();
    assert!(!platform.path("layers/analyzed.toml").exists(), "no phase has begun");
}

#[test]
fn wrong_arguments_are_told_before_root_is_refused() {
    let platform = Platform::new();
    for program in ["detector", "builder"] {
        let text = "failed to parse arguments: received unexpected arguments";
        platform.run_as_root(program, &["x"]).exits(3).fails_with(&[text]).done();
    }
}
