//! SIPp as a carrier: one process, one scenario of tests/sipp, and what it sent and received.

use super::process::{Process, read};
use super::stage::Carrier;
use super::{PATIENCE, wait_for};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a scenario may take, from start to end, unless it says more.
const SCENARIO_MAX: Duration = Duration::from_secs(45);

/// How a scenario is to be run.
#[derive(Clone)]
pub struct Caller {
    name: String,
    file: &'static str,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    folder: PathBuf,
    keys: Vec<(String, String)>,
    options: Vec<String>,
    tcp: bool,
    limit: Duration,
    traced: bool,
}

/// A running SIPp.
pub struct Sipp {
    process: Process,
    name: String,
    messages: PathBuf,
    complaints: PathBuf,
    limit: Duration,
}

/// Which way a message went, as SIPp sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// SIPp sent it.
    Sent,
    /// SIPp received it.
    Received,
}

/// A SIP message as SIPp saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which way it went.
    pub direction: Direction,
    /// The message, with line ends as LF.
    pub text: String,
}

impl Caller {
    pub(super) fn new(
        carrier: &Carrier,
        file: &'static str,
        remote: Option<SocketAddr>,
        folder: &Path,
    ) -> Self {
        let audio = carrier.phone.address();
        Self {
            name: format!("{}-{}", carrier.name, file.trim_end_matches(".xml")),
            file,
            local: carrier.address(),
            remote,
            folder: folder.to_owned(),
            keys: Vec::new(),
            options: Vec::new(),
            tcp: false,
            limit: SCENARIO_MAX,
            traced: true,
        }
        .key("audio_ip", audio.ip())
        .key("audio_port", audio.port())
        .key("formats", "0 101")
        .key("dtmf", 101)
        .key("ptime", 20)
    }

    /// Sets what stands for `[name]` in the scenario.
    #[must_use]
    pub fn key(mut self, name: &str, value: impl ToString) -> Self {
        self.keys.retain(|(known, _)| known != name);
        self.keys.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets what is dialled.
    #[must_use]
    pub fn dials(self, number: &str) -> Self {
        self.option(&["-s", number])
    }

    /// Sets how long the pauses without a length of their own are: how long one talks, mostly.
    #[must_use]
    pub fn pauses(self, pause: Duration) -> Self {
        self.option(&["-d", &pause.as_millis().to_string()])
    }

    /// Goes over TCP.
    #[must_use]
    pub fn over_tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Makes so many calls a second, so many in all, each with audio from one of the ports in turn. The messages are
    /// not kept; what the scenario logs is (see [`Caller::log`]).
    #[must_use]
    pub fn many(self, per_second: u32, in_all: u32, audio_ports: &[u16]) -> Self {
        let words = ["-r", &per_second.to_string(), "-l", &in_all.to_string()];
        self.option(&words).many_answers(in_all, audio_ports)
    }

    /// Answers so many calls, as [`Caller::many`] makes them.
    ///
    /// # Panics
    /// When the file of ports cannot be written.
    #[must_use]
    pub fn many_answers(mut self, in_all: u32, audio_ports: &[u16]) -> Self {
        self.traced = false;
        let values = self.folder.join(format!("{}.csv", self.name));
        let lines: String = audio_ports.iter().map(|port| format!("{port};\n")).collect();
        std::fs::write(&values, format!("SEQUENTIAL\n{lines}")).expect("a file of values");
        let log = self.log();
        self.option(&["-m", &in_all.to_string(), "-inf", &values.to_string_lossy()]).option(&[
            "-trace_logs",
            "-log_file",
            &log.to_string_lossy(),
        ])
    }

    /// Returns the file of what the scenario logs.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Sets how long it may take from start to end.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it, and returns when it is ready to receive.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(self) -> Sipp {
        let file = |kind: &str| self.folder.join(format!("{}.{kind}", self.name));
        let (messages, complaints) = (file("messages"), file("complaints"));
        let mut command = Command::new("sipp");
        // Its screens need no terminal, but a name of one.
        command.env("TERM", "dumb").current_dir(&self.folder).arg("-nostdin");
        command.arg("-sf").arg(scenarios().join(self.file));
        command.args(["-i", &host(self.local.ip()), "-p", &self.local.port().to_string()]);
        // Its own media and control sockets, which nobody here uses, out of the way of other tests.
        command.args(["-mi", &self.local.ip().to_string(), "-ci", &self.local.ip().to_string()]);
        command.args(["-timeout", &self.limit.as_secs().to_string(), "-timeout_error"]);
        command
            .args(["-t", if self.tcp { "t1" } else { "u1" }, "-trace_err", "-error_file"])
            .arg(&complaints);
        if self.traced {
            command.args(["-m", "1", "-trace_msg", "-message_file"]).arg(&messages);
        }
        command.args(&self.options);
        for (name, value) in &self.keys {
            command.args(["-key", name, value]);
        }
        if let Some(remote) = self.remote {
            command.arg(remote.to_string());
        }
        let mut process = Process::start(&self.name, &mut command, &self.folder, Stdio::null());
        if self.remote.is_none() {
            wait_for(&format!("{} to listen on {}", self.name, self.local), || {
                assert!(process.ended().is_none(), "SIPp did not start: {}", process.errors());
                listens(self.local, self.tcp).then_some(())
            });
        }
        Sipp { process, name: self.name.clone(), messages, complaints, limit: self.limit }
    }

    fn option(mut self, words: &[&str]) -> Self {
        self.options.extend(words.iter().map(|&word| word.to_owned()));
        self
    }
}

impl Sipp {
    /// Returns all messages so far, each once: a slow machine makes them come again.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        for message in Message::read_all(&read(&self.messages)) {
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        messages
    }

    /// Returns the messages received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Message> {
        self.messages().into_iter().filter(|message| message.direction == Direction::Received).collect()
    }

    /// Waits for a received message that starts so, counting from the given one (the first is 0).
    #[must_use]
    pub fn waits_for(&self, start: &str, number: usize) -> Message {
        wait_for(&format!("{start} number {number} at {}", self.name), || {
            self.received().into_iter().filter(|message| message.text.starts_with(start)).nth(number)
        })
    }

    /// Waits for session description number so-and-so of those received (the first is 0, repeats not counted), and
    /// returns where it wants audio.
    #[must_use]
    pub fn peer_audio(&self, number: usize) -> SocketAddr {
        wait_for(&format!("session description {number} at {}", self.name), || {
            let mut descriptions: Vec<String> = self
                .received()
                .iter()
                .map(|message| message.body().to_owned())
                .filter(|body| body.starts_with("v=0"))
                .collect();
            descriptions.dedup();
            descriptions.get(number).map(|body| audio_address(body))
        })
    }

    /// Waits until the scenario is over, and returns all messages.
    ///
    /// # Panics
    /// When it did not go as written.
    #[must_use]
    pub fn finish(mut self) -> Vec<Message> {
        let status = self.process.wait(self.limit + PATIENCE);
        assert!(
            status.success(),
            "{} did not go as written ({status}): {}",
            self.name,
            read(&self.complaints)
        );
        self.messages()
    }

    /// Returns the last screen of figures that it printed.
    #[must_use]
    pub fn screen(&self) -> String {
        self.process.output()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}: complaints\n{}", self.name, read(&self.complaints));
            eprintln!("--- {}: messages\n{}", self.name, read(&self.messages));
        }
    }
}

impl Message {
    /// Reads the file that SIPp's `-message_file` writes.
    fn read_all(text: &str) -> Vec<Self> {
        let mut messages = Vec::new();
        // SIPp heads each message with 47 dashes and the time, a line that says what it is, and an empty line.
        for block in text.split("-----------------------------------------------").skip(1) {
            let Some((head, text)) = block.split_once("\n\n").filter(|(_, text)| is_whole(text)) else {
                continue;
            };
            let direction = if head.contains(" sent ") { Direction::Sent } else { Direction::Received };
            messages
                .push(Self { direction, text: text.replace("\r\n", "\n").trim_end_matches('\n').to_owned() });
        }
        messages
    }

    /// Returns the first line.
    #[must_use]
    pub fn start(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// Returns the status, of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.start().strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Returns the value of the first header field of this name, as it is written.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.text.lines().take_while(|line| !line.is_empty());
        lines.skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &str {
        self.text.split_once("\n\n").map_or("", |(_, body)| body)
    }

    /// Whether it is a response with this status to a request of this method.
    #[must_use]
    pub fn answers(&self, status: u16, method: &str) -> bool {
        self.status() == Some(status) && self.header("CSeq").is_some_and(|cseq| cseq.ends_with(method))
    }
}

/// Whether all of a message is there: SIPp may be writing it.
fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = ["Content-Length", "l"].iter().any(|known| name.trim().eq_ignore_ascii_case(known));
        if is_length { value.trim().parse::<usize>().ok() } else { None }
    });
    body.len() >= length.unwrap_or_default()
}

/// Returns where a session description wants audio.
fn audio_address(body: &str) -> SocketAddr {
    let value = |prefix: &str| body.lines().find_map(|line| line.strip_prefix(prefix));
    let ip: IpAddr = value("c=IN IP4 ")
        .or_else(|| value("c=IN IP6 "))
        .and_then(|ip| ip.trim().parse().ok())
        .unwrap_or_else(|| panic!("a connection address in {body}"));
    let port = value("m=audio ")
        .and_then(|media| media.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("an audio port in {body}"));
    SocketAddr::new(ip, port)
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp")
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Whether a socket is bound to the address, by the kernel's tables: trying to bind it could take it away from the
/// program that is waited for.
fn listens(address: SocketAddr, tcp: bool) -> bool {
    let ip: String = match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}", u32::from_le_bytes(ip.octets())),
        IpAddr::V6(ip) => {
            let words = ip.octets();
            words
                .chunks(4)
                .map(|word| format!("{:02X}{:02X}{:02X}{:02X}", word[3], word[2], word[1], word[0]))
                .collect()
        }
    };
    let wanted = format!("{ip}:{:04X}", address.port());
    let table = match (tcp, address.is_ipv4()) {
        (false, true) => "/proc/net/udp",
        (false, false) => "/proc/net/udp6",
        (true, true) => "/proc/net/tcp",
        (true, false) => "/proc/net/tcp6",
    };
    // The state: 0A is a TCP socket that listens, 07 a UDP socket that is not connected.
    let state = if tcp { "0A" } else { "07" };
    read(Path::new(table)).lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(wanted.as_str()) && fields.nth(1) == Some(state)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_sipp_is_read_into_messages() {
        let trace = "----------------------------------------------- 2026-01-01 00:00:00.1\n\
            UDP message sent (30 bytes):\n\nBYE sip:a@b SIP/2.0\r\nCSeq: 2 BYE\r\n\r\n\n\
            ----------------------------------------------- 2026-01-01 00:00:00.2\n\
            UDP message received [40] bytes :\n\nSIP/2.0 200 OK\r\nCSeq: 2 BYE\r\n\r\nv=0\r\n\n";
        let messages = Message::read_all(trace);
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].direction, messages[0].start()), (Direction::Sent, "BYE sip:a@b SIP/2.0"));
        assert!(messages[1].answers(200, "BYE"));
        assert_eq!(messages[1].body(), "v=0");
    }

    #[test]
    fn a_message_that_is_half_written_is_none_yet() {
        let head = "----------------------------------------------- 2026-01-01 00:00:00.1\n\
            UDP message received [40] bytes :\n\nSIP/2.0 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(Message::read_all(&format!("{head}v=0")).len(), 0);
        assert_eq!(Message::read_all(&format!("{head}v=0\r\n")).len(), 1);
    }

    #[test]
    fn a_listening_socket_is_seen() {
        for ip in ["127.0.0.1", "::1"] {
            let udp = std::net::UdpSocket::bind((ip, 0)).expect("a socket");
            let tcp = std::net::TcpListener::bind((ip, 0)).expect("a socket");
            assert!(listens(udp.local_addr().expect("an address"), false));
            assert!(listens(tcp.local_addr().expect("an address"), true));
        }
    }
}
