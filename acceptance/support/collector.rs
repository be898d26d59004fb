//! A collector in other people's code: Python's grpcio and opentelemetry-proto, from PyPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::running::Running;
use super::{checkout, free_port, scratch, tool};

/// What is installed from PyPI.
const PACKAGES: [&str; 2] = ["grpcio>=1.60,<2", "opentelemetry-proto>=1.30,<2"];

/// A collector that takes gRPC and http/protobuf.
pub(crate) struct Collector {
    /// Ended before its folder goes.
    _running: Running,
    dir: TempDir,
    grpc: u16,
    http: u16,
}

impl Collector {
    /// Starts it, and installs it before where that was not done yet.
    pub(crate) fn start() -> Self {
        let dir = scratch();
        let (grpc, http) = (free_port(), free_port());
        let mut command = Command::new(python());
        command.arg(checkout().join("acceptance/collector.py")).arg(dir.path().join("taken.jsonl"));
        command.args([grpc.to_string(), http.to_string()]);
        let mut running = Running::start("the collector", &mut command, &dir.path().join("log"));
        running.until_listening(grpc);
        running.until_listening(http);
        Self { _running: running, dir, grpc, http }
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT` for a protocol.
    pub(crate) fn endpoint(&self, protocol: &str) -> String {
        format!("http://127.0.0.1:{}", if protocol == "grpc" { self.grpc } else { self.http })
    }

    /// All that it took, in order: `log` or `span`.
    pub(crate) fn taken(&self, kind: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("taken.jsonl")).unwrap();
        let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|entry| entry["kind"] == kind).collect()
    }
}

/// The interpreter of an environment with the packages, which is kept in cargo's folder.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-collector");
    let (interpreter, done) = (root.join("bin/python"), root.join("installed"));
    if !done.exists() {
        tool(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&root));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"];
        tool(Command::new(&interpreter).args(install).args(PACKAGES));
        fs::write(done, "").unwrap();
    }
    interpreter
}
