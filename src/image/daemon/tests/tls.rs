//! A daemon behind TLS. The certificates beside this file are good for a hundred years, and for nothing else.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;

const AUTHORITY: &str = include_str!("certificates/ca.pem");
const DAEMON: &str = include_str!("certificates/daemon.pem");
const DAEMON_KEY: &str = include_str!("certificates/daemon-key.pem");
const CLIENT: &str = include_str!("certificates/client.pem");
const CLIENT_KEY: &str = include_str!("certificates/client-key.pem");

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// What a daemon puts on a connection, which takes nobody without the client's certificate.
fn server() -> impl Fn(TcpStream) -> StreamOwned<ServerConnection, TcpStream> + Send + 'static {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate(AUTHORITY)).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let key = PrivateKeyDer::from_pem_slice(DAEMON_KEY.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(clients).with_single_cert(vec![certificate(DAEMON)], key).unwrap();
    let config = Arc::new(config);
    move |stream| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
}

/// A folder as `DOCKER_CERT_PATH` names one.
fn folder(authority: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("ca.pem", authority), ("cert.pem", CLIENT), ("key.pem", CLIENT_KEY)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn config(address: &str, dir: &Path, tls_verify: &str) -> DaemonConfig {
    DaemonConfig {
        host: format!("tcp://{address}"),
        tls_verify: tls_verify.to_owned(),
        cert_path: dir.display().to_string(),
        ..DaemonConfig::default()
    }
}

#[test]
fn works_over_tls_with_certificates_on_both_sides() {
    let world = World::new(Store::Classic);
    let address = world.daemon.listen(server());
    let dir = folder(AUTHORITY);
    conforms(&world.images_with(&config(&address, dir.path(), "1")), RUN, &names());
}

#[test]
fn only_a_daemon_of_the_right_authority_is_believed_unless_nobody_cares() {
    let world = World::new(Store::Classic);
    let address = world.daemon.listen(server());
    let dir = folder(DAEMON);
    let error = Daemon::connect(&config(&address, dir.path(), "1")).err().unwrap().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    found(&world.images_with(&config(&address, dir.path(), "")), RUN);
}

#[test]
fn certificate_files_that_cannot_be_used_are_named() {
    let dir = folder(AUTHORITY);
    let connect = || Daemon::connect(&config("127.0.0.1:1", dir.path(), "1")).err().unwrap().to_string();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("key.pem"), "none").unwrap();
    assert!(connect().starts_with(&format!("could not use {}: ", path("key.pem").display())), "{}", connect());
    std::fs::write(path("cert.pem"), "").unwrap();
    assert_eq!(connect(), format!("could not use {}: it has no certificate", path("cert.pem").display()));
    std::fs::remove_file(path("ca.pem")).unwrap();
    assert_eq!(connect(), format!("could not use {}: no such file or directory", path("ca.pem").display()));
}
