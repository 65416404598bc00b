//! The development CA: made on the first run, so that clients have something to trust before there is a
//! certificate to buy. Its certificates are for names below `localhost` and for loopback addresses only.

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Names that every certificate of ours is for, besides the hosts of resources.
const NAMES: [&str; 2] = ["localhost", "*.localhost"];

/// Most names in one certificate; a handshake carries all of them.
const NAMES_MAX: usize = 200;

/// How long a certificate is good for. Clients on some platforms refuse more than 398 days.
const LIFE: Duration = Duration::from_secs(397 * 24 * 3600);

/// How long the CA is: nobody wants to trust it again every year.
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Clocks of machines on a desk differ.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// The development CA.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Where its certificate is, for clients to trust.
    pub(super) certificate: PathBuf,
}

impl Authority {
    /// Reads the CA of a data directory, or makes it.
    ///
    /// # Errors
    /// Its files cannot be read, understood or written.
    pub(super) fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let directory = data_dir.join("tls");
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
        if !key.exists() {
            make(&certificate, &key)?;
        }
        let pem = fs::read_to_string(&key).with_context(|| format!("cannot read {}", key.display()))?;
        let pair = KeyPair::from_pem(&pem).with_context(|| format!("{} holds no key", key.display()))?;
        anyhow::ensure!(
            certificate.exists(),
            "{} is missing: remove {} too",
            certificate.display(),
            key.display()
        );
        let certificate = certificate.canonicalize().unwrap_or(certificate);
        Ok(Self { issuer: Issuer::new(parameters()?, pair), certificate })
    }

    /// Issues a certificate for this machine and for hosts below `localhost`; others are left out.
    ///
    /// # Errors
    /// The library fails; with these names it does not.
    pub(super) fn issue(&self, hosts: &[String]) -> anyhow::Result<CertifiedKey> {
        let mut names: Vec<String> = NAMES.map(str::to_owned).to_vec();
        // Clients do not match a wildcard right below the root (RFC 9525 §6.3 leaves it to them).
        let ours = hosts.iter().filter(|host| host.ends_with(".localhost"));
        names.extend(ours.take(NAMES_MAX).cloned());
        names.extend([Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()]);
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name = name("localhost");
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = SystemTime::now();
        leaf.not_before = (now - BACKDATED).into();
        leaf.not_after = (now + LIFE - BACKDATED).into();
        let pair = KeyPair::generate()?;
        let certificate = leaf.signed_by(&pair, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
    }
}

/// Makes a CA. The key comes last: without it there is no CA yet.
fn make(certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let pair = KeyPair::generate()?;
    let signed = parameters()?.self_signed(&pair)?;
    let write = |path: &Path, mode, text: &str| {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write(certificate, 0o644, &signed.pem())
        .with_context(|| format!("cannot write {}", certificate.display()))?;
    write(key, 0o600, &pair.serialize_pem()).with_context(|| format!("cannot write {}", key.display()))
}

fn parameters() -> anyhow::Result<CertificateParams> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name = name("Trunkline development CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // No name constraints, though it is for this machine alone: verifiers to which a wildcard right below the root
    // is no name, rustls among them, refuse the whole chain when there are constraints to hold it against.
    let now = SystemTime::now();
    ca.not_before = (now - BACKDATED).into();
    ca.not_after = (now + CA_LIFE).into();
    Ok(ca)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
