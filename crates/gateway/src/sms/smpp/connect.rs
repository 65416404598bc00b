//! Connections to carriers, plain or by TLS.

use crate::config::{SmppCarrier, SmsTls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use trunkline_model::Host;

/// A connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How long a connection, handshake included, may take: longer than a lost SYN and its second try.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Where systems keep the authorities they trust: Debian and Alpine, Fedora, SUSE.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// Connects to a carrier.
pub(super) async fn connect(carrier: Arc<SmppCarrier>) -> io::Result<Box<dyn Stream>> {
    timeout(CONNECT_MAX, establish(&carrier)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn establish(carrier: &SmppCarrier) -> io::Result<Box<dyn Stream>> {
    let stream = match &carrier.host {
        Host::Ip(ip) => TcpStream::connect((*ip, carrier.port)).await?,
        Host::Name(name) => TcpStream::connect((name.as_str(), carrier.port)).await?,
    };
    // PDUs are small and their answers are waited for.
    stream.set_nodelay(true)?;
    let Some(tls) = &carrier.tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(tls.server_name.clone()).map_err(io::Error::other)?;
    // Read anew for each connection, so that a certificate that was replaced is taken.
    let connector = TlsConnector::from(Arc::new(client(tls)?));
    Ok(Box::new(connector.connect(name, stream).await?))
}

fn client(tls: &SmsTls) -> io::Result<ClientConfig> {
    let roots = match &tls.ca_file {
        Some(path) => authorities(path)?,
        None => {
            let system = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
            authorities(system.ok_or_else(|| io::Error::other("the system has no list of authorities"))?)?
        }
    };
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    // A bundle may hold what this library does not read; what is left is what counts.
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(io::Error::other(format!("{} holds no authority", path.display())));
    }
    Ok(roots)
}
