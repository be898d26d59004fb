//! The certificates of a destination: whom to trust, and what to show. They are read when the transport is made, while
//! the process may still read what only root may.
//!
//! Clause: OpenTelemetry's protocol exporter, "Certificate File", "Client key file", "Client certificate file".

use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::settings::Destination;
use crate::net::tls::Tls;
use crate::os::{error_text, open_regular};

/// The most that a file of certificates may have, in bytes.
const LONGEST: u64 = 1 << 20;

/// Certificates that a client shows, its own first, and its key.
pub(super) type Client = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// TLS as a destination wants it.
pub(super) fn tls(destination: &Destination) -> Result<Tls, String> {
    let trusted = trusted(destination)?;
    let client = client(destination)?;
    let shows = client.is_some();
    Tls::with(trusted, client).map_err(|error| {
        let of = |setting| destination.variable(setting);
        if shows {
            format!("{} and {} are of no use: {error}", of("CLIENT_CERTIFICATE"), of("CLIENT_KEY"))
        } else {
            format!("{} is of no use: {error}", of("CERTIFICATE"))
        }
    })
}

/// Whom to trust instead of those that the system trusts.
pub(super) fn trusted(destination: &Destination) -> Result<Option<Vec<CertificateDer<'static>>>, String> {
    let Some(path) = &destination.certificate else { return Ok(None) };
    certificates(path, &destination.variable("CERTIFICATE")).map(Some)
}

/// What to show.
pub(super) fn client(destination: &Destination) -> Result<Option<Client>, String> {
    let Some((certificate, key)) = &destination.client else { return Ok(None) };
    let certificates = certificates(certificate, &destination.variable("CLIENT_CERTIFICATE"))?;
    let variable = destination.variable("CLIENT_KEY");
    let bytes = read(key, &variable)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        // In the title, or in a line below it.
        if bytes.windows(9).any(|word| word == b"ENCRYPTED") {
            format!(
                "{variable} names a private key that is encrypted; nobody is asked for a password, so name a plain one"
            )
        } else {
            format!("{variable} names a file without a private key in PEM form")
        }
    })?;
    Ok(Some((certificates, key)))
}

fn certificates(path: &Path, variable: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path, variable)?).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| format!("{variable} names a file without certificates in PEM form"))
}

fn read(path: &Path, variable: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // Nobody may write to a pipe that is named here: it is not waited for.
    let read = open_regular(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("{variable} names a file that cannot be read: {}", error_text(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
            let told = certificates(path, "OTEL_EXPORTER_OTLP_CERTIFICATE").unwrap_err();
            assert!(told.starts_with("OTEL_EXPORTER_OTLP_CERTIFICATE names"), "{told}");
        }
    }
}
