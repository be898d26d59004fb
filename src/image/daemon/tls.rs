//! TLS to a daemon, with docker's own certificate files: `ca.pem`, `cert.pem` and `key.pem` in `DOCKER_CERT_PATH`.
//!
//! As docker's clients do: without `DOCKER_TLS_VERIFY` any certificate of the daemon will do.

use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};

use super::Error;
use crate::os::error_text;

/// How a daemon and this client prove who they are.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the files in `dir`. Client certificates are used if they are there; the authority is needed to `verify`.
    /// Without `dir` the system's authorities are asked.
    ///
    /// # Errors
    /// A file is missing that is needed, or is none of its kind.
    pub(super) fn new(dir: Option<&Path>, verify: bool) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| bad(Path::new("TLS"), &error.to_string()))?;
        let builder = if verify {
            builder.with_root_certificates(roots(dir)?)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        };
        let Some((cert, key)) = dir.map(|dir| (dir.join("cert.pem"), dir.join("key.pem"))) else {
            return Ok(Self(Arc::new(builder.with_no_client_auth())));
        };
        let certificates = certificates(&cert)?;
        let private = PrivateKeyDer::from_pem_slice(&read(&key)?).map_err(|error| bad(&key, &error.to_string()))?;
        let config = builder.with_client_auth_cert(certificates, private);
        Ok(Self(Arc::new(config.map_err(|error| bad(&cert, &error.to_string()))?)))
    }

    /// Puts TLS on a connection to `host`.
    pub(super) fn wrap(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&self.0), name).map_err(std::io::Error::other)?;
        Ok(StreamOwned::new(session, stream))
    }
}

fn roots(dir: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(dir) = dir else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let path = dir.join("ca.pem");
    for certificate in certificates(&path)? {
        roots.add(certificate).map_err(|error| bad(&path, &error.to_string()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if found.is_empty() => Err(bad(path, "it has no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(bad(path, &error.to_string())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| bad(path, &error_text(&error)))?;
    file.take(1 << 20).read_to_end(&mut bytes).map_err(|error| bad(path, &error_text(&error)))?;
    Ok(bytes)
}

fn bad(path: &Path, cause: &str) -> Error {
    Error::Certificate { path: PathBuf::from(path), cause: cause.to_owned() }
}

/// Takes everybody for the daemon; what they sign must still fit their certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
