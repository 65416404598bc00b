//! Requests byte by byte over TLS, signed as the clients sign them, so that a test can change any bit of one.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long an answer may take: longer than the database may be busy.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A resource as its apps know it.
#[derive(Clone)]
pub(crate) struct Resource {
    /// What the clients are given.
    pub(crate) connection: String,
    /// The host with its port, as it is signed.
    pub(crate) host: String,
    key: Vec<u8>,
}

/// A request, not signed yet.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// Whom to trust, read once.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

/// A connection that is kept between requests.
pub(crate) struct Connection(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Resource {
    /// Reads a connection string (`endpoint=https://HOST:PORT/;accesskey=BASE64`).
    pub(crate) fn parse(connection: &str) -> Self {
        let (endpoint, key) = connection.trim().split_once(";accesskey=").expect("an access key");
        let host = endpoint.strip_prefix("endpoint=https://").expect("an endpoint").trim_end_matches('/');
        Self {
            connection: connection.trim().to_owned(),
            host: host.to_owned(),
            key: BASE64.decode(key).expect("a key in base64"),
        }
    }

    /// Returns a request on the wire, signed with its headers in order.
    pub(crate) fn sign(&self, request: &Request) -> Vec<u8> {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let hash = BASE64.encode(digest::digest(&digest::SHA256, &request.body));
        let Request { method, target, body } = request;
        let text = format!("{method}\n{target}\n{date};{};{hash}", self.host);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        let signature = BASE64.encode(hmac::sign(&key, text.as_bytes()));
        let mut bytes = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nx-ms-date: {date}\r\nx-ms-content-sha256: {hash}\r\n\
             authorization: HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

impl Request {
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), body: Vec::new() }
    }

    pub(crate) fn post(target: impl Into<String>, body: &serde_json::Value) -> Self {
        Self { method: "POST", target: target.into(), body: body.to_string().into_bytes() }
    }
}

impl Answer {
    /// Returns a header, named in lower case; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether the same request may be answered otherwise a little later.
    pub(crate) fn puts_off(&self) -> bool {
        [429, 503].contains(&self.status)
    }

    /// Returns the body, null where it is no JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Trust {
    /// Reads the certificate of an authority.
    pub(crate) fn read(authority: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(authority).expect("the certificate of the authority");
        roots.add(certificate).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }
}

impl Connection {
    /// Connects to a gateway on this machine.
    pub(crate) fn open(port: u16, trust: &Trust) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&trust.0), name).map_err(io::Error::other)?;
        Ok(Self(BufReader::new(StreamOwned::new(connection, stream))))
    }

    /// Sends a request as it is on the wire, and reads the answer.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.0.get_mut().write_all(request)?;
        self.0.get_mut().flush()?;
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| invalid(&status_line))?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let body = self.body(&headers, status)?;
        Ok(Answer { status, headers, body })
    }

    fn body(&mut self, headers: &BTreeMap<String, String>, status: u16) -> io::Result<Vec<u8>> {
        if status == 204 {
            return Ok(Vec::new());
        }
        // The gateway knows how long its answers are.
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let length: usize = length.ok_or_else(|| invalid("an answer without its length"))?;
        if length > ANSWER_BYTES_MAX {
            return Err(invalid("an answer that is too long"));
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(body)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
