//! HTTP requests to endpoints that customers and carriers name: guarded, limited, without redirects.
//!
//! A customer who names an endpoint must not have us reach into the operator's own network (server-side request
//! forgery). So a name is resolved here, only addresses that the [`Guard`] allows are connected to, and it is the
//! addresses that were checked that are connected to, whatever the name leads to a moment later. A redirect is an
//! answer like any other.

mod connector;
mod guard;

pub(crate) use guard::{Forbidden, Guard};

use anyhow::Context;
use bytes::Bytes;
use connector::Connector;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::error::Error as _;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A client whose clones share their connections.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client<Connector, Full<Bytes>>,
    guard: Arc<Guard>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The header.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

/// Why nothing came back that can be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HttpError {
    /// The URL is none that is requested; nothing was sent.
    #[error("the URL cannot be used: {0}")]
    Url(&'static str),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// Its answer was longer than it may be.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// Its addresses are none that may be connected to; nothing was sent.
    #[error("{0}")]
    Forbidden(Forbidden),
    /// It could not be reached, or its certificate is not trusted; nothing was sent.
    #[error("no connection{0}")]
    NoConnection(String),
    /// It does not speak HTTP, or the exchange broke off: the request may have been heard.
    #[error("the exchange failed{0}")]
    Failed(String),
}

/// What one request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Until the answer is whole.
    pub(crate) within: Duration,
    /// Longest body of the answer.
    pub(crate) body_bytes_max: usize,
}

/// Idle connections kept to one host: as many as requests are under way to one subscriber.
const IDLE_PER_HOST_MAX: usize = 64;

/// How long a connection is kept idle. Most servers close theirs after a minute or more.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Longest header of an answer.
const HEADER_BYTES_MAX: usize = 32 * 1024;

impl HttpClient {
    /// Makes a client that trusts the system's certificates and those of a file.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub(crate) fn new(guard: Guard, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let guard = Arc::new(guard);
        let connector = Connector::new(Arc::clone(&guard), trusted(authorities)?)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(HEADER_BYTES_MAX)
            .build(connector);
        Ok(Self { client, guard })
    }

    /// Reads a URL that may be requested.
    ///
    /// # Errors
    /// [`HttpError::Url`].
    pub(crate) fn url(&self, text: &str) -> Result<Uri, HttpError> {
        self.guard.url(text)
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        limits: Limits,
    ) -> Result<Answer, HttpError> {
        request.headers_mut().entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        let late = |_| HttpError::Timeout(limits.within);
        let deadline = Instant::now() + limits.within;
        let response = timeout_at(deadline, self.client.request(request)).await.map_err(late)?;
        let response = response.map_err(|error| match (forbidden(&error), error.is_connect()) {
            (Some(forbidden), _) => HttpError::Forbidden(forbidden),
            (None, true) => HttpError::NoConnection(cause(&error)),
            (None, false) => HttpError::Failed(cause(&error)),
        })?;
        let (parts, body) = response.into_parts();
        let body = timeout_at(deadline, Limited::new(body, limits.body_bytes_max).collect()).await;
        let body = body.map_err(late)?.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                return HttpError::TooLong(limits.body_bytes_max);
            }
            HttpError::Failed(format!(": the answer broke off: {error}"))
        })?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }
}

const USER_AGENT: &str = concat!("trunkline/", env!("CARGO_PKG_VERSION"));

/// Returns what the guard said, if it was that.
fn forbidden(error: &hyper_util::client::legacy::Error) -> Option<Forbidden> {
    let error = error.source()?.downcast_ref::<std::io::Error>()?.get_ref()?;
    error.downcast_ref().copied()
}

/// Returns the cause underneath: the layers above say no more than that there is one.
fn cause(error: &hyper_util::client::legacy::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(error) = source {
        source = error.source();
        if source.is_none() {
            // Writing to a String does not fail.
            let _ = write!(text, ": {error}");
        }
    }
    text
}

fn trusted(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    store.add_parsable_certificates(native.certs);
    if let Some(file) = file {
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("cannot read {}", file.display()))?;
        anyhow::ensure!(!certificates.is_empty(), "{} holds no certificate", file.display());
        for certificate in certificates {
            store.add(certificate).with_context(|| format!("cannot use {}", file.display()))?;
        }
    }
    Ok(store)
}
