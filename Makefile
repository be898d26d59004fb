# cnb-lifecycle: `make demo` and `make test` are all that a stranger needs.
#
#   make build       the release in out/linux-<arch>/lifecycle: one static binary, the launcher, links
#   make package     the release as an archive in out/, for builders, with SBOMs and a checksum
#   make image       the release as a lifecycle image: an OCI layout in out/linux-<arch>/image, and in a daemon, if any
#   make demo        a real app image from source, started, with the build's waterfall
#   make test        formatting, clippy, unit and integration tests
#   make acceptance  the same with a real registry, daemon and containers (root; installs Debian packages)
#   make fuzz        hostile documents for our readers, FUZZ_SECONDS for each target (60)
#   make compare-launcher   200 generated starts by our launcher and the one in the folder OTHER
#   make bench       figures, beside another lifecycle when OTHER=<its folder> is given
#   make clean
#
# LIFECYCLE_VERSION and SCM_COMMIT set what -version prints. ARCH=arm64 or ARCH=amd64 builds for another machine, with
# Debian's gcc-aarch64-linux-gnu and libc6-dev-arm64-cross, or gcc-x86-64-linux-gnu and libc6-dev-amd64-cross.
# IMAGE is the image's name in the daemon, IMAGE_BASE an OCI layout to put it on.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:

HOST_ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(shell uname -m)))
ARCH ?= $(HOST_ARCH)
RUST_ARCH := $(patsubst arm64,aarch64,$(patsubst amd64,x86_64,$(ARCH)))
OUT := out/linux-$(ARCH)/lifecycle
IMAGE ?=
IMAGE_BASE ?=
# The launcher goes into every app image: it is loaded where it is linked for, without room between its segments and
# without tables for unwinding.
LAUNCHER_FLAGS := -C relocation-model=static \
    -C link-arg=-Wl,-z,noseparate-code,--no-eh-frame-hdr,-T,cmd/launcher/sections.ld
PHASES := analyzer detector restorer extender builder exporter creator rebaser

export LIFECYCLE_VERSION ?=
export SCM_COMMIT ?= $(shell git rev-parse --short=9 HEAD 2>/dev/null)
export SCM_REPO ?= $(shell git config --get remote.origin.url 2>/dev/null)

# When the release was made: as reproducible as its commit.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --pretty=%ct 2>/dev/null)

.PHONY: build package image layout demo test fmt clippy acceptance fuzz compare-launcher bench clean

# musl where it can be had (the target by rustup, its C compiler from Debian when this is root), else static glibc. For
# another machine: static glibc with Debian's cross compiler, or musl where <cpu>-linux-musl-gcc is.
# Paths of this machine are taken out of the programs: built elsewhere, they are the same.
build:
	musl=$(RUST_ARCH)-unknown-linux-musl target=$(RUST_ARCH)-unknown-linux-gnu
	has_target() { [ -d "$$(rustc --print sysroot)/lib/rustlib/$$1" ]; }
	add_target() { has_target "$$1" || rustup target add "$$1" >/dev/null 2>&1 || true; }
	flags="--remap-path-prefix=$(CURDIR)=/src --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=/cargo"
	if [ $(ARCH) = $(HOST_ARCH) ]; then
	    compiler=musl-gcc
	    if ! command -v musl-gcc >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	        apt-get install -qqy musl-tools >/dev/null 2>&1 || true
	    fi
	else
	    compiler=$(RUST_ARCH)-linux-musl-gcc
	fi
	add_target "$$musl"
	if command -v "$$compiler" >/dev/null && has_target "$$musl"; then
	    target=$$musl
	else
	    compiler=$(RUST_ARCH)-linux-gnu-gcc
	    flags="-C target-feature=+crt-static $$flags"
	    add_target "$$target"
	fi
	if [ $(ARCH) != $(HOST_ARCH) ]; then
	    package=gcc-$(subst _,-,$(RUST_ARCH))-linux-gnu
	    if ! command -v "$$compiler" >/dev/null; then
	        echo "make: there is no $$compiler; on Debian, install it with: apt-get install $$package libc6-dev-$(ARCH)-cross" >&2
	        exit 1
	    fi
	    if ! has_target "$$target"; then
	        echo "make: rustup target add $$target" >&2
	        exit 1
	    fi
	    export "CARGO_TARGET_$$(tr a-z- A-Z_ <<<"$$target")_LINKER=$$compiler" "CC_$${target//-/_}=$$compiler"
	fi
	export RUSTFLAGS="$$flags $${RUSTFLAGS:-}"
	# A phase often lives for milliseconds: the allocator reserves less at first (in KiB), looks for no settings of its own
	# in the environment and leaves the memory to the system at the end.
	export CFLAGS="-DMI_DEFAULT_ARENA_RESERVE=131072L -DMI_NO_GETENV -DMI_SKIP_COLLECT_ON_EXIT $${CFLAGS:-}"
	# mimalloc prints when it was compiled. Always the same time, as Cargo keeps objects from one commit to the next.
	export SOURCE_DATE_EPOCH=315532801
	# Loaded where it is linked for, as Go's programs are: a phase that lives for milliseconds has no time to move itself.
	cargo rustc --locked --release --bin lifecycle --target "$$target" -- -C relocation-model=static
	cargo rustc --locked --profile launcher --no-default-features --bin launcher --target "$$target" -- $(LAUNCHER_FLAGS)
	rm -rf $(OUT)
	mkdir -p $(OUT)
	install -m 0755 "target/$$target/release/lifecycle" "target/$$target/launcher/launcher" $(OUT)/
	echo "$$target" >out/linux-$(ARCH)/target
	for phase in $(PHASES); do ln -s lifecycle "$(OUT)/$$phase"; done
	echo "built $(OUT), static on $$target:"
	du -b --apparent-size $(OUT)/lifecycle $(OUT)/launcher

package: build
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) cargo run --locked --quiet --example package -- archive out/linux-$(ARCH)

image: build
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) cargo run --locked --quiet --example package -- \
	    image out/linux-$(ARCH) $(or $(IMAGE),cnb-lifecycle) $(IMAGE_BASE)

# The image without a daemon.
layout: build
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) cargo run --locked --quiet --example package -- layout out/linux-$(ARCH)

demo: build
	cargo run --locked --quiet --example demo -- $(OUT)

test: fmt clippy
	cargo test --locked

fmt:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets --features acceptance -- -D warnings
	cargo clippy --locked --all-targets --no-default-features --features images -- -D warnings
	cargo clippy --locked --no-default-features --bin launcher -- -D warnings

acceptance: package layout
	acceptance/install-packages
	cargo test --locked --features acceptance --test acceptance -- --test-threads=1

# A target is a test with `fuzz` in its path: src/fuzz.rs.
fuzz:
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} cargo test --locked --lib fuzz -- --nocapture --test-threads=2

compare-launcher: build
	[ -n "$(OTHER)" ] || { echo "usage: make compare-launcher OTHER=<folder of another launcher>" >&2; exit 2; }
	OURS="$(abspath $(OUT))" OTHER="$(abspath $(OTHER))" cargo test --locked --test lifecycle launch::golden -- --nocapture

bench: build
	benches/runs/all $(OUT) $(OTHER)

clean:
	cargo clean
	rm -rf out demo
