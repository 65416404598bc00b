//! Our certificate, and what all handshakes have in common. The door to `dimpl`.
//!
//! str0m's own provider builds a configuration for each session, and building one tests the whole cryptography: a key
//! exchange with itself in every group, signatures, all ciphers. That is the 0.9 ms which a session costs there. Here it
//! is built once.

use crate::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use str0m::config::DtlsVersion;
use str0m::crypto::dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};
use str0m::crypto::{CryptoError, CryptoProvider};
use trunkline_media::Fingerprint;

/// The certificate that this process shows to every browser. Cheap to clone.
///
/// Self-signed, and good for as long as the process runs: browsers know it by the fingerprint in our descriptions alone.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    certificate: DtlsCert,
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl Certificate {
    /// Makes a certificate.
    ///
    /// # Errors
    /// When the cryptography of this build fails its own test.
    pub fn generate() -> Result<Self, Error> {
        let config = dimpl::Config::builder()
            // ICE has proved the browser's address before its first record counts.
            .use_server_cookie(false)
            .mtu(HANDSHAKE_MTU)
            .build()
            .map_err(|_| Error::Cryptography)?;
        // A second certificate of the same process meets what is there.
        let _ = SHARED.set(Arc::new(config));
        let backend = str0m::crypto::from_feature_flags();
        let certificate = backend.dtls_provider.generate_certificate().ok_or(Error::Cryptography)?;
        let fingerprint = Fingerprint(backend.sha256_provider.sha256(&certificate.certificate));
        let provider = Arc::new(CryptoProvider { dtls_provider: &SharedConfig, ..backend });
        Ok(Self { inner: Arc::new(Inner { certificate, fingerprint, provider }) })
    }

    /// Returns what our descriptions state.
    pub fn fingerprint(&self) -> Fingerprint {
        self.inner.fingerprint
    }

    pub(crate) fn certificate(&self) -> DtlsCert {
        self.inner.certificate.clone()
    }

    pub(crate) fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.inner.provider)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.inner.fingerprint).finish_non_exhaustive()
    }
}

/// What every handshake goes by. Never changes once set.
static SHARED: OnceLock<Arc<dimpl::Config>> = OnceLock::new();

/// Bytes of a datagram of a handshake: the IPv6 minimum of 1,280 less the headers, with room for a tunnel.
const HANDSHAKE_MTU: usize = 1150;

/// Makes handshakes that share one configuration.
#[derive(Debug)]
struct SharedConfig;

impl DtlsProvider for SharedConfig {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m::crypto::from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        _: DtlsVersion,
        _: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = SHARED.get().ok_or_else(|| CryptoError::Other("no certificate was made".to_owned()))?;
        // DTLS 1.2: every browser does it, and RFC 8827 §6.5 asks for no more.
        Ok(Box::new(Instance(dimpl::Dtls::new_12(Arc::clone(config), certificate.clone(), now))))
    }
}

struct Instance(dimpl::Dtls);

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
