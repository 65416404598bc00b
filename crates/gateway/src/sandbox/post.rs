//! Posts the webhooks of the sandbox's carrier over HTTP: one connection for each, over TLS where the URL says so.

use anyhow::{Context, bail, ensure};
use hyper::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a webhook may take.
const POST_MAX: Duration = Duration::from_secs(10);

/// Octets of an answer that are looked at: the status line is in them.
const ANSWER_BYTES: usize = 512;

/// Posts webhooks.
#[derive(Debug, Clone)]
pub(super) struct Poster {
    /// The CA that receivers are trusted by. It may come into being after the sandbox.
    pub(super) authority: Option<PathBuf>,
}

impl Poster {
    /// Posts JSON.
    ///
    /// # Errors
    /// It could not be posted, or was answered otherwise than with 2xx.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> anyhow::Result<()> {
        timeout(POST_MAX, self.try_post(url, headers, body)).await.context("it takes too long")?
    }

    async fn try_post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> anyhow::Result<()> {
        let uri: Uri = url.parse().context("the URL cannot be read")?;
        let host = uri.host().context("the URL has no host")?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("the URL is neither http nor https"),
        };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((bare, port)).await.context("cannot connect")?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let mut head = format!("POST {path} HTTP/1.1\r\nHost: {authority}\r\n");
        for (name, value) in headers {
            // Writing to a String does not fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let length = body.len();
        let _ = write!(
            head,
            "Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        if is_tls {
            let name = ServerName::try_from(bare.to_owned()).context("the host cannot be read")?;
            let stream = self.connector()?.connect(name, stream).await.context("no TLS")?;
            exchange(stream, &head).await
        } else {
            exchange(stream, &head).await
        }
    }

    fn connector(&self) -> anyhow::Result<TlsConnector> {
        let path = self.authority.as_ref().context("--hook-ca says which CA to trust")?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).context("cannot read the CA")? {
            roots.add(certificate.context("cannot read the CA")?).context("cannot use the CA")?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> anyhow::Result<()> {
    stream.write_all(request.as_bytes()).await.context("cannot write")?;
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES && !answer.contains(&b'\n') {
        // A peer may close TLS without saying so, once it has answered.
        match stream.read_buf(&mut answer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.split_whitespace().nth(1).unwrap_or_default();
    ensure!(status.len() == 3 && status.starts_with('2'), "it was answered with {status:?}");
    Ok(())
}
