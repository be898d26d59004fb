//! Who a collector says it is, and whom it talks to. The certificates are good until 2126.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// What a collector shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// A certificate for localhost and 127.0.0.1 by the authority in `ca.pem`.
    Good,
    /// One of the same authority for another host.
    Stranger,
    /// A good one, and only clients with a certificate of the same authority (`client.pem`) are heard.
    Mutual,
}

impl Identity {
    pub(super) fn config(self, protocol: &[u8]) -> Arc<ServerConfig> {
        let name = if self == Self::Stranger { "stranger" } else { "server" };
        let chain = CertificateDer::pem_file_iter(path(&format!("{name}.pem"))).unwrap();
        let chain = chain.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(path(&format!("{name}-key.pem"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if self == Self::Mutual {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(path("ca.pem")).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}

/// A file of this folder: `ca.pem` and `other-ca.pem` are authorities, `client.pem` and `client-key.pem` a client's.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/lifecycle/support/collector/certificates").join(name)
}
