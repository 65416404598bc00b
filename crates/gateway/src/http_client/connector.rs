//! Connections of the client: resolve, check, connect to what was checked, TLS.

use super::guard::Guard;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    guard: Arc<Guard>,
    tls: TlsConnector,
}

/// A connection.
pub(super) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

/// How long one address may take to connect, where there may be another.
const CONNECT_MAX: Duration = Duration::from_secs(4);

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

impl Connector {
    pub(super) fn new(guard: Arc<Guard>, trusted: RootCertStore) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { guard, tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn connect(self, url: Uri) -> io::Result<Stream> {
        let https = url.scheme_str() == Some("https");
        let host = url.host().unwrap_or_default();
        // IPv6 addresses stand in brackets in a URL, and nowhere else.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        let stream = self.open(&found, https).await?;
        stream.set_nodelay(true)?;
        if !https {
            return Ok(Stream::Plain(TokioIo::new(stream)));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = self.tls.connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
    }

    /// Connects to the first address that takes us, of those that are allowed.
    async fn open(&self, found: &[SocketAddr], https: bool) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the host has no address");
        for remote in found.iter().take(ADDRESSES_MAX) {
            if let Err(why) = self.guard.check(*remote, https) {
                last = io::Error::other(why);
                continue;
            }
            match timeout(CONNECT_MAX, TcpStream::connect(*remote)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::other("it took too long to connect"),
            }
        }
        Err(last)
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        Box::pin(self.clone().connect(url))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}
