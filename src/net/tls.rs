//! TLS to a server, and whose certificates are good.
//!
//! ureq could do this but for one thing: a server may show a certificate that signs itself and may sign others, which is
//! how guides make one for a registry of one's own. Where that very certificate is among the trusted ones the reference
//! accepts it; the checks of rustls alone do not.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, InvalidMessage,
    RootCertStore, SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

/// Speaks TLS where an address says https.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts the system's certificates, with `SSL_CERT_FILE` and `SSL_CERT_DIR` as OpenSSL reads them, and Mozilla's
    /// where there are none; or all certificates.
    pub(crate) fn new(insecure: bool) -> Result<Self, Error> {
        static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        if insecure {
            return Ok(Self { config: configure(Trust::All, None)? });
        }
        if let Some(config) = SYSTEM.get() {
            return Ok(Self { config: Arc::clone(config) });
        }
        let config = configure(Trust::these(rustls_native_certs::load_native_certs().certs)?, None)?;
        Ok(Self { config: Arc::clone(SYSTEM.get_or_init(|| config)) })
    }

    /// Trusts these certificates, or the system's where none are given, and shows some of its own to who asks.
    pub(crate) fn with(trusted: Option<Vec<CertificateDer<'static>>>, client: Option<Client>) -> Result<Self, Error> {
        let trusted = trusted.unwrap_or_else(|| rustls_native_certs::load_native_certs().certs);
        Ok(Self { config: configure(Trust::these(trusted)?, client)? })
    }

    /// The same for who speaks TLS by other means.
    #[cfg(feature = "grpc")]
    pub(crate) fn config(self) -> Arc<ClientConfig> {
        self.config
    }
}

/// Certificates that a client shows, its own first, and its key.
type Client = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn configure(trust: Trust, client: Option<Client>) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Verifier { trust, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(Arc::new(match client {
        Some((certificates, key)) => builder.with_client_auth_cert(certificates, key)?,
        None => builder.with_no_client_auth(),
    }))
}

/// Whose certificates are good.
enum Trust {
    /// Everybody's.
    All,
    /// Those that one of these vouches for, and these.
    These { roots: Arc<WebPkiServerVerifier>, certificates: Vec<CertificateDer<'static>> },
}

impl Trust {
    fn these(certificates: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        if certificates.is_empty() {
            store.roots.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
        }
        store.add_parsable_certificates(certificates.iter().cloned());
        let roots =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::new(ring::default_provider())).build();
        // Files without one good certificate vouch for nobody.
        let roots = roots.map_err(|error| Error::General(error.to_string()))?;
        Ok(Self::These { roots, certificates })
    }
}

struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Checks what was signed, unless everybody's certificate is good.
    fn signed(
        &self,
        verify: impl FnOnce(&WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Trust::All => Ok(HandshakeSignatureValid::assertion()),
            Trust::These { .. } => verify(&self.provider.signature_verification_algorithms),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Trust::These { roots, certificates } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        match roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The time was looked at before this was found, the name was not.
            Err(error) if may_sign_others(&error) && certificates.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(|known| verify_tls12_signature(message, certificate, signature, known))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(|known| verify_tls13_signature(message, certificate, signature, known))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate was refused because it may sign others.
fn may_sign_others(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// An error in the words of the reference where it has some (Go's `crypto/tls` and `crypto/x509`).
pub(crate) fn words(error: &Error) -> String {
    let cause = match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => "certificate signed by unknown authority",
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "certificate has expired or is not yet valid",
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            return "server gave HTTP response to HTTPS client".to_owned();
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            return "remote error: tls: certificate required".to_owned();
        }
        error if may_sign_others(error) => "certificate signed by unknown authority",
        other => return format!("tls: {other}"),
    };
    format!("tls: failed to verify certificate: x509: {cause}")
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Secured>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ureq::Error::BadUri(host.to_owned()))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(failed)?;
        let transport: Box<dyn Transport> = Box::new(transport);
        let mut socket = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Secured { buffers, stream: StreamOwned { conn: connection, sock: socket } })))
    }
}

/// An error of TLS as one of a connection, by which [`super::Failure`] knows it.
fn failed(error: Error) -> ureq::Error {
    ureq::Error::Io(io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A connection inside TLS.
pub(crate) struct Secured {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

/// What TLS says of a connection that failed: an error of its own, or what the server said before it left. Who wants a
/// certificate says so when this side takes the connection for made, and may be gone before the request is written.
pub(crate) fn reason(error: &io::Error, connection: &mut ClientConnection, socket: &mut dyn io::Read) -> Option<Error> {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return Some(error.clone());
    }
    // Only then nobody waits for what is read.
    if !matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted) {
        return None;
    }
    loop {
        if let Err(error) = connection.process_new_packets() {
            return Some(error);
        }
        if !connection.read_tls(socket).is_ok_and(|count| count > 0) {
            return None;
        }
    }
}

impl Secured {
    fn explained(&mut self, error: io::Error) -> ureq::Error {
        reason(&error, &mut self.stream.conn, &mut self.stream.sock).map_or_else(|| error.into(), failed)
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secured")
    }
}

impl Transport for Secured {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount]).map_err(|error| self.explained(error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf());
        let amount = read.map_err(|error| self.explained(error))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// A certificate for 127.0.0.1 that signs itself and may sign others, good from 2026 to 2126.
    const SELF_SIGNED: &str = "\
        MIIBgDCCASagAwIBAgIUROv/B1fGy5MVLMnKwz7LhlhzWTIwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBcjAgFw0yNjExMjExMzMy\
        MjBaGA8yMTI2MTAyODEzMzIyMFowDDEKMAgGA1UEAwwBcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCT6zHyO87sjydy5Fsyo\
        EuqSViQ3jcKghDQIql4V+Rl3RRsufiDJUwoyM9rTgN2U3j8nu8pRq9V8V6du1RO3+8ujZDBiMB0GA1UdDgQWBBSyfa4T2L5bMBON\
        C1RJAGcwoUjn2TAfBgNVHSMEGDAWgBSyfa4T2L5bMBONC1RJAGcwoUjn2TAPBgNVHRMBAf8EBTADAQH/MA8GA1UdEQQIMAaHBH8A\
        AAEwCgYIKoZIzj0EAwIDSAAwRQIhAO0YRHLuXDexSLld7uKqZaUj+LZOK5Oenl2V1rXTeirZAiA3RmwLkQYi+/PFN5GRWMifUHgr\
        tmzi7TEdjRqVpjPK9g==";
    /// A moment at which it is good, in seconds since 1970.
    const GOOD: u64 = 2_000_000_000;

    fn verify(trusted: bool, name: &str, at: u64) -> Result<(), String> {
        let certificate = CertificateDer::from(STANDARD.decode(SELF_SIGNED).unwrap());
        let trusted = if trusted { vec![certificate.clone()] } else { Vec::new() };
        let verifier = Verifier { trust: Trust::these(trusted).unwrap(), provider: Arc::new(ring::default_provider()) };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(at));
        let verified = verifier.verify_server_cert(&certificate, &[], &name.try_into().unwrap(), &[], now);
        verified.map(drop).map_err(|error| words(&error))
    }

    #[test]
    fn a_certificate_that_signs_itself_is_good_where_it_is_trusted_in_its_time_and_for_its_name() {
        assert_eq!(verify(true, "127.0.0.1", GOOD), Ok(()));
        let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        assert_eq!(verify(false, "127.0.0.1", GOOD), Err(unknown.to_owned()));
        let expired = "tls: failed to verify certificate: x509: certificate has expired or is not yet valid";
        assert_eq!(verify(true, "127.0.0.1", 1_000_000_000), Err(expired.to_owned()));
        assert!(verify(true, "127.0.0.2", GOOD).unwrap_err().contains("not valid for"));
    }
}
