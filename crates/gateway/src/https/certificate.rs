//! The certificate in force. It is swapped under running connections: each handshake takes the one of its moment.

use super::authority::Authority;
use crate::config::CertificateFiles;
use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Where certificates come from.
pub(super) enum Source {
    /// Files of the operator's.
    Files(CertificateFiles),
    /// Our own development CA.
    Development(Box<Authority>),
}

/// The certificate in force.
pub(super) struct Current(ArcSwap<CertifiedKey>);

/// What tells one content of the files from another, without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([Option<(u64, u64, SystemTime)>; 2]);

impl Source {
    /// Makes the certificate anew: reads the files, or issues one for these hosts.
    ///
    /// # Errors
    /// What is wrong with the files; the text names the one at fault.
    pub(super) fn certificate(&self, hosts: &[String]) -> anyhow::Result<CertifiedKey> {
        match self {
            Self::Files(files) => read(files),
            Self::Development(authority) => authority.issue(hosts),
        }
    }

    /// Returns what the files are like now. Links are followed, as deployments swap those.
    pub(super) fn stamp(&self) -> Stamp {
        let stat = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
        };
        match self {
            Self::Files(files) => Stamp([stat(&files.chain), stat(&files.key)]),
            Self::Development(_) => Stamp([None, None]),
        }
    }
}

fn read(files: &CertificateFiles) -> anyhow::Result<CertifiedKey> {
    let CertificateFiles { chain, key } = files;
    let chain_of = |path: &Path| CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = chain_of(chain).with_context(|| format!("{} cannot be read", chain.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "{} holds no certificate", chain.display());
    let private =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("{} cannot be read", key.display()))?;
    // This compares the two, so that a chain renewed without its key is noticed.
    CertifiedKey::from_der(certificates, private, &aws_lc_rs::default_provider())
        .with_context(|| format!("{} and {} do not go together", chain.display(), key.display()))
}

impl Current {
    pub(super) fn new(certificate: CertifiedKey) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(certificate)))
    }

    /// Shows this certificate from now on.
    pub(super) fn replace(&self, certificate: CertifiedKey) {
        self.0.store(Arc::new(certificate));
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}
