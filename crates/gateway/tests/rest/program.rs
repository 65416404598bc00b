//! The binary as a child, and a client of its API that signs what it sends.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest wait for anything that should happen at once; reached only when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running program of ours.
pub(crate) struct Program {
    child: Child,
    pub(crate) ready: Value,
    log: mpsc::Receiver<String>,
}

impl Program {
    pub(crate) fn serve(config: &Path) -> Self {
        Self::start(&["serve", "--ready-json", "--config", config.to_str().unwrap()])
    }

    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, log) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("{error}: {line:?}\n{}", log.iter().collect::<Vec<_>>().join("\n"));
        });
        Self { child, ready, log }
    }

    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        let value = &self.ready[listener];
        let value = if value.is_array() { &value[0] } else { value };
        value.as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for a log line that holds the text.
    pub(crate) fn logged(&self, text: &str) {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{text:?} was not logged"));
            if line.contains(text) {
                return;
            }
        }
    }

    /// Waits for its end, which has to be a good one, and returns what it logged since the last look.
    pub(crate) fn ended_log(&mut self) -> Vec<String> {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.log.iter().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a configuration on free ports; lines of `[http]` and what comes behind everything.
pub(crate) fn config(directory: &Path, http: &str, rest: &str) -> PathBuf {
    let path = directory.join("trunkline.toml");
    let text = format!(
        "[sip]\nudp = [\"127.0.0.1:0\"]\ntcp = [\"127.0.0.1:0\"]\n[rtp]\nipv4 = \"127.0.0.1\"\nfree_ports = 16\n\
         workers = 1\n[metrics]\nlisten = \"127.0.0.1:0\"\n[storage]\ndata_dir = \"{0}\"\n\
         url = \"sqlite:{0}/trunkline.db\"\n[shutdown]\ndrain_secs = 1\n[http]\nlisten = [\"127.0.0.1:0\"]\n{http}{rest}",
        directory.display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs a command on the configuration's database; returns its exit status and everything it printed.
pub(crate) fn run(config: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    let output = command.args(arguments).arg("--config").arg(config).output().unwrap();
    let printed =
        if output.status.success() { output.stdout } else { [output.stdout, output.stderr].concat() };
    (output.status.code(), String::from_utf8(printed).unwrap())
}

/// Imports rows of number and trunk.
pub(crate) fn import(config: &Path, directory: &Path, rows: &str) {
    let file = directory.join("numbers.csv");
    std::fs::write(&file, format!("number,trunk\n{rows}")).unwrap();
    let (status, printed) = run(config, &["number", "import", file.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{printed}");
}

/// Sends an INVITE and returns the status of the first final response; a call that is answered is not kept up.
pub(crate) fn invite(gateway: &Program, socket: &UdpSocket, number: &str) -> u16 {
    static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let call = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let local = socket.local_addr().unwrap();
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n",
        local.port()
    );
    let request = format!(
        "INVITE sip:{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{call}.{0};rport\r\n\
         From: <sip:+14255550199@{local}>;tag={call}\r\nTo: <sip:{number}@127.0.0.1>\r\nCall-ID: {call}.{0}@test\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:{local}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
         Content-Length: {1}\r\n\r\n{offer}",
        local.port(),
        offer.len()
    );
    let mine = format!("Call-ID: {call}.{}@test", local.port());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(request.as_bytes(), gateway.address("sip_udp")).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).unwrap();
        let response = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let status = response.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
        if let Some(status @ 200..=699) = status
            && response.contains(&mine)
        {
            return status;
        }
    }
}

/// Asks the plain HTTP server of the metrics.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

pub(crate) fn now_unix_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A client of the API under one host, with one key.
pub(crate) struct Client {
    address: SocketAddr,
    host: String,
    key: Vec<u8>,
    tls: Arc<ClientConfig>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).unwrap()
    }
}

impl Client {
    /// One that trusts the gateway's development CA.
    pub(crate) fn new(gateway: &Program, host: &str, key: &str) -> Self {
        let ca = std::fs::read_to_string(gateway.ready["ca_certificate"].as_str().unwrap()).unwrap();
        Self { host: host.to_owned(), key: BASE64.decode(key).unwrap(), ..Self::trusting(gateway, &ca) }
    }

    /// One that trusts this certificate.
    pub(crate) fn trusting(gateway: &Program, pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
        Self { address: gateway.address("https"), host: "localhost".to_owned(), key: Vec::new(), tls }
    }

    /// Opens a connection.
    pub(crate) fn open(&self) -> Connection {
        let name = ServerName::try_from(self.host.clone()).unwrap();
        let session = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = Connection(StreamOwned::new(session, stream));
        // Has the handshake over with.
        connection.write(b"");
        while connection.0.conn.is_handshaking() {
            connection.0.conn.complete_io(&mut connection.0.sock).unwrap();
        }
        connection
    }

    /// Opens a connection for HTTP/2.
    pub(crate) async fn open_http2(&self) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(self.host.clone()).unwrap();
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream
    }

    /// Returns a signed GET for HTTP/2.
    pub(crate) fn signed_http2(&self, target: &str) -> hyper::Request<()> {
        let signed = self.signed("GET", target, &Value::Null);
        let mut request =
            hyper::Request::get(format!("https://{}:{}{target}", self.host, self.address.port()));
        // RFC 9113 §8.2.2: no fields of the connection; Host is :authority.
        let fields = signed.lines().skip(1).filter_map(|line| line.split_once(": "));
        for (name, value) in
            fields.filter(|(name, _)| !matches!(*name, "Host" | "Connection" | "Content-Length"))
        {
            request = request.header(name, value);
        }
        request.body(()).unwrap()
    }

    /// Sends one signed request on a connection of its own; no body for null.
    pub(crate) fn send(&self, method: &str, target: &str, body: &Value) -> Answer {
        let mut connection = self.open();
        connection.write(self.signed(method, target, body).as_bytes());
        let text = connection.read_to_end();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.get(9..12).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Returns a signed request as it goes over the wire.
    pub(crate) fn signed(&self, method: &str, target: &str, body: &Value) -> String {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let authority = format!("{}:{}", self.host, self.address.port());
        let date = httpdate::fmt_http_date(SystemTime::now());
        let hash = BASE64.encode(digest::digest(&digest::SHA256, body.as_bytes()));
        let to_sign = format!("{method}\n{target}\n{date};{authority};{hash}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        let signature = BASE64.encode(hmac::sign(&key, to_sign.as_bytes()));
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             x-ms-date: {date}\r\nx-ms-content-sha256: {hash}\r\nContent-Length: {}\r\n\
             Authorization: HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}\
             \r\n\r\n{body}",
            body.len()
        )
    }
}

/// One TLS connection.
pub(crate) struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// Reads until the other side closes, cleanly or not.
    pub(crate) fn read_to_end(&mut self) -> String {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => text.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(error) => panic!("{error}"),
            }
        }
        String::from_utf8(text).unwrap()
    }

    /// Sends a request, reads the whole answer, and keeps the connection.
    pub(crate) fn get(&mut self, target: &str) -> u16 {
        self.write(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let length = self.0.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "closed before the answer was whole");
            text.extend_from_slice(&buffer[..length]);
            let Some(end) = text.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&text[..end]).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if text.len() >= end + 4 + length.parse::<usize>().unwrap() {
                return head[9..12].parse().unwrap();
            }
        }
    }
}
