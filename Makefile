# cnb-lifecycle: `make demo` and `make test` are all that a stranger needs.
#
#   make build       the release in out/linux-<arch>/lifecycle: one static binary, the launcher, links
#   make demo        a real app image from source, started, with the build's waterfall
#   make test        formatting, clippy, unit and integration tests
#   make acceptance  the same with a real registry, daemon and containers (root; installs Debian packages)
#   make fuzz        hostile documents for our readers, FUZZ_SECONDS for each target (60)
#   make compare-launcher   200 generated starts by our launcher and the one in the folder OTHER
#   make bench       figures, beside another lifecycle when OTHER=<its folder> is given
#   make clean
#
# LIFECYCLE_VERSION and SCM_COMMIT set what -version prints.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:

ARCH ?= $(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(shell uname -m)))
RUST_ARCH := $(patsubst arm64,aarch64,$(patsubst amd64,x86_64,$(ARCH)))
OUT := out/linux-$(ARCH)/lifecycle
# The launcher goes into every app image: it is loaded where it is linked for, without room between its segments and
# without tables for unwinding.
LAUNCHER_FLAGS := -C relocation-model=static \
    -C link-arg=-Wl,-z,noseparate-code,--no-eh-frame-hdr,-T,cmd/launcher/sections.ld
PHASES := analyzer detector restorer extender builder exporter creator rebaser

export LIFECYCLE_VERSION ?=
export SCM_COMMIT ?= $(shell git rev-parse --short=9 HEAD 2>/dev/null)
export SCM_REPO ?= $(shell git config --get remote.origin.url 2>/dev/null)

.PHONY: build demo test fmt clippy acceptance fuzz compare-launcher bench clean

# musl where it can be had (the target by rustup, its C compiler from Debian when this is root), else static glibc.
build:
	musl=$(RUST_ARCH)-unknown-linux-musl target=$(RUST_ARCH)-unknown-linux-gnu
	has_target() { [ -d "$$(rustc --print sysroot)/lib/rustlib/$$musl" ]; }
	has_compiler() { command -v musl-gcc >/dev/null; }
	has_target || rustup target add "$$musl" >/dev/null 2>&1 || true
	if ! has_compiler && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    apt-get install -qqy musl-tools >/dev/null 2>&1 || true
	fi
	if has_target && has_compiler; then
	    target=$$musl
	else
	    export RUSTFLAGS="-C target-feature=+crt-static $${RUSTFLAGS:-}"
	fi
	cargo build --locked --release --bin lifecycle --target "$$target"
	cargo rustc --locked --profile launcher --no-default-features --bin launcher --target "$$target" -- $(LAUNCHER_FLAGS)
	rm -rf $(OUT)
	mkdir -p $(OUT)
	install -m 0755 "target/$$target/release/lifecycle" "target/$$target/launcher/launcher" $(OUT)/
	for phase in $(PHASES); do ln -s lifecycle "$(OUT)/$$phase"; done
	echo "built $(OUT), static on $$target:"
	du -b --apparent-size $(OUT)/lifecycle $(OUT)/launcher

demo: build
	cargo run --locked --quiet --example demo -- $(OUT)

test: fmt clippy
	cargo test --locked

fmt:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets --features acceptance -- -D warnings
	cargo clippy --locked --no-default-features --bin launcher -- -D warnings

acceptance: build
	acceptance/install-packages
	cargo test --locked --features acceptance --test acceptance -- --test-threads=1

# A target is a test with `fuzzed` in its name: src/fuzz.rs.
fuzz:
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} cargo test --locked --lib fuzzed -- --nocapture --test-threads=2

compare-launcher: build
	[ -n "$(OTHER)" ] || { echo "usage: make compare-launcher OTHER=<folder of another launcher>" >&2; exit 2; }
	OURS="$(abspath $(OUT))" OTHER="$(abspath $(OTHER))" cargo test --locked --test lifecycle launch::golden -- --nocapture

bench: build
	benches/runs/all $(OUT) $(OTHER)

clean:
	cargo clean
	rm -rf out demo
