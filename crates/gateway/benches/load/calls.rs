//! A caller and a callee for one server under test, on two sockets and one thread.
//!
//! Arrivals are open-loop: a call starts when the clock says so, however slow the server is. Lost messages are sent
//! again as RFC 3261 has it, so a call counts as failed only when a real user agent would have given it up.

use anyhow::{Context as _, Result, bail};
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Caller, callee, and the server between them.
pub struct Load {
    server: SocketAddr,
    caller: End,
    callee: End,
    calls: Vec<Call>,
    /// Calls and answers that wait for the next repetition, by when.
    repeats: BTreeMap<(Instant, Party, usize), Duration>,
    by_call_id: HashMap<String, usize>,
    /// The call that the next INVITE to the callee is taken for.
    next_for_callee: usize,
    started: Instant,
    tally: Tally,
}

/// One socket, and where its media is said to be.
struct End {
    socket: UdpSocket,
    address: SocketAddr,
    media: SocketAddr,
}

/// Which end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Caller,
    Callee,
}

/// A call, as both ends see it.
#[derive(Default)]
struct Call {
    started: Option<Instant>,
    state: State,
    /// The last request of the caller, sent again until it is answered.
    request: String,
    /// The 200 of the callee, sent again until its ACK comes.
    answer: String,
    acknowledged: bool,
    ack: String,
    /// Where the server takes RTP from the caller.
    caller_media: Option<SocketAddr>,
    /// Where the server takes RTP from the callee.
    callee_media: Option<SocketAddr>,
    dialog: Option<Dialog>,
}

/// What the caller needs to send BYE.
struct Dialog {
    target: String,
    to: String,
    routes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Inviting,
    Ringing,
    Up,
    Ending,
    Over,
    Failed,
}

/// What came of the calls so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub finished: usize,
    pub failed: usize,
    pub repeated: usize,
    /// From INVITE to 200, in microseconds.
    pub setup_us: Vec<u64>,
}

/// Where the server takes RTP for one call.
#[derive(Debug, Clone, Copy)]
pub struct MediaPorts {
    pub from_caller: SocketAddr,
    pub from_callee: SocketAddr,
}

/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

/// A call that is not over this long after its INVITE has failed: 64 times T1.
const CALL_TIME_MAX: Duration = Duration::from_secs(32);

const DID: &str = "+14255550100";

impl Load {
    /// Binds an end to each of two loopback addresses. The server's address is set when it is known.
    pub fn bind(caller_media: SocketAddr, callee_media: SocketAddr) -> Result<Self> {
        Ok(Self {
            server: SocketAddr::from(([127, 0, 0, 1], 0)),
            caller: End::bind("127.0.0.2", caller_media)?,
            callee: End::bind("127.0.0.3", callee_media)?,
            calls: Vec::new(),
            repeats: BTreeMap::new(),
            by_call_id: HashMap::new(),
            next_for_callee: 0,
            started: Instant::now(),
            tally: Tally::default(),
        })
    }

    /// Returns the SIP addresses of caller and callee.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.caller.address, self.callee.address)
    }

    /// Sets where the caller sends its INVITEs.
    pub fn set_server(&mut self, server: SocketAddr) {
        self.server = server;
    }

    /// Places calls at a steady rate, hangs each up as soon as it is answered, and waits for all to end.
    pub fn run(&mut self, calls_per_sec: f64, calls: usize) -> Result<Tally> {
        self.tally = Tally::default();
        let start = Instant::now();
        let first = self.calls.len();
        while self.tally.finished + self.tally.failed < calls {
            let due = (start.elapsed().as_secs_f64() * calls_per_sec) as usize;
            while self.calls.len() - first < due.min(calls) {
                self.place()?;
            }
            self.turn(true)?;
            self.give_up(first);
        }
        Ok(self.tally.clone())
    }

    /// Places calls and leaves them up; returns where the server takes their media.
    pub fn establish(&mut self, calls: usize) -> Result<Vec<MediaPorts>> {
        let start = Instant::now();
        let first = self.calls.len();
        while self.calls.iter().skip(first).filter(|call| call.state == State::Up).count() < calls {
            let due = (start.elapsed().as_secs_f64() * 100.0) as usize;
            while self.calls.len() - first < due.min(calls) {
                self.place()?;
            }
            self.turn(false)?;
            if start.elapsed() > CALL_TIME_MAX || self.tally.failed > 0 {
                bail!(
                    "only {} of {calls} calls came up",
                    self.calls.iter().filter(|c| c.state == State::Up).count()
                );
            }
        }
        let media = |call: &Call| {
            let (from_caller, from_callee) = call.caller_media.zip(call.callee_media)?;
            Some(MediaPorts { from_caller, from_callee })
        };
        self.calls.iter().skip(first).map(media).collect::<Option<_>>().context("a call has no media address")
    }

    /// Hangs up every call that is up, and waits for it.
    pub fn hang_up(&mut self) -> Result<()> {
        let start = Instant::now();
        for index in 0..self.calls.len() {
            if self.calls[index].state == State::Up {
                self.bye(index)?;
            }
        }
        while self.calls.iter().any(|call| call.state == State::Ending) && start.elapsed() < CALL_TIME_MAX {
            self.turn(true)?;
        }
        Ok(())
    }

    /// Answers what came and repeats what was not answered.
    pub fn turn(&mut self, hang_up: bool) -> Result<()> {
        let mut buffer = [0; 4096];
        while let Some(length) = receive(&self.caller.socket, &mut buffer)? {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.caller_receives(&text, hang_up)?;
        }
        while let Some((length, source)) = receive_from(&self.callee.socket, &mut buffer)? {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.callee_receives(&text, source)?;
        }
        self.repeat()
    }

    fn place(&mut self) -> Result<()> {
        let index = self.calls.len();
        let call_id = format!("bench-{}-{index}", self.started.elapsed().as_nanos());
        let (end, server) = (&self.caller, self.server);
        let sdp = sdp(end.media);
        let request = format!(
            "INVITE sip:{DID}@{server} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {at};branch=z9hG4bK-{call_id}-1;rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:+14255550150@{host}>;tag=c{index}\r\n\
             To: <sip:{DID}@{host}>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 INVITE\r\n\
             Contact: <sip:caller@{at}>\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {length}\r\n\r\n{sdp}",
            at = end.address,
            host = end.address.ip(),
            length = sdp.len(),
        );
        let now = Instant::now();
        self.calls.push(Call { started: Some(now), request, ..Call::default() });
        self.by_call_id.insert(call_id, index);
        send(&self.caller.socket, &self.calls[index].request, server)?;
        self.repeats.insert((now + T1, Party::Caller, index), T1);
        Ok(())
    }

    fn caller_receives(&mut self, text: &str, hang_up: bool) -> Result<()> {
        let Some(index) = field(text, "Call-ID").and_then(|id| self.by_call_id.get(id)).copied() else {
            return Ok(());
        };
        let status: u16 = text.get(8..11).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let method = field(text, "CSeq").and_then(|value| value.split(' ').nth(1)).unwrap_or_default();
        match (method, status, self.calls[index].state) {
            ("INVITE", 100..=199, State::Inviting) => self.calls[index].state = State::Ringing,
            ("INVITE", 200..=299, State::Inviting | State::Ringing) => {
                self.answered(index, text)?;
                if hang_up {
                    self.bye(index)?;
                }
            }
            ("INVITE", 200..=299, State::Up | State::Ending) => {
                send(&self.caller.socket, &self.calls[index].ack, self.server)?;
            }
            ("INVITE", 300..=699, State::Inviting | State::Ringing) => {
                self.calls[index].state = State::Failed;
                self.tally.failed += 1;
            }
            ("BYE", 200..=299, State::Ending) => {
                let call = &mut self.calls[index];
                call.state = State::Over;
                (call.request, call.ack) = (String::new(), String::new());
                self.tally.finished += 1;
            }
            ("BYE", 300..=699, State::Ending) => {
                self.calls[index].state = State::Failed;
                self.tally.failed += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn answered(&mut self, index: usize, text: &str) -> Result<()> {
        let target = field(text, "Contact").and_then(uri).context("200 without Contact")?.to_owned();
        let to = field(text, "To").context("200 without To")?.to_owned();
        let mut routes: Vec<String> = fields(text, "Record-Route").map(str::to_owned).collect();
        routes.reverse();
        let call = &mut self.calls[index];
        call.state = State::Up;
        call.caller_media = media_address(text);
        call.dialog = Some(Dialog { target, to, routes });
        if let Some(started) = call.started {
            self.tally.setup_us.push(started.elapsed().as_micros() as u64);
        }
        let ack = self.in_dialog(index, "ACK", 1);
        send(&self.caller.socket, &ack, self.server)?;
        self.calls[index].ack = ack;
        Ok(())
    }

    fn bye(&mut self, index: usize) -> Result<()> {
        let bye = self.in_dialog(index, "BYE", 2);
        send(&self.caller.socket, &bye, self.server)?;
        let call = &mut self.calls[index];
        call.state = State::Ending;
        call.request = bye;
        self.repeats.insert((Instant::now() + T1, Party::Caller, index), T1);
        Ok(())
    }

    fn in_dialog(&self, index: usize, method: &str, number: u32) -> String {
        let call = &self.calls[index];
        let call_id = field(&call.request, "Call-ID").unwrap_or_default();
        let (mut routes, mut target, mut to) = (String::new(), "", "");
        if let Some(dialog) = &call.dialog {
            (target, to) = (&dialog.target, &dialog.to);
            for route in &dialog.routes {
                routes.push_str(&format!("Route: {route}\r\n"));
            }
        }
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {at};branch=z9hG4bK-{call_id}-{method};rport\r\n\
             Max-Forwards: 70\r\n{routes}\
             From: <sip:+14255550150@{host}>;tag=c{index}\r\n\
             To: {to}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {number} {method}\r\n\
             Content-Length: 0\r\n\r\n",
            at = self.caller.address,
            host = self.caller.address.ip(),
        )
    }

    /// The callee rings, answers, and agrees to every BYE. A B2BUA hides which call an INVITE belongs to, so they
    /// are taken for calls in the order in which they come.
    fn callee_receives(&mut self, text: &str, source: SocketAddr) -> Result<()> {
        let call_id = field(text, "Call-ID").unwrap_or_default().to_owned();
        match text.split(' ').next().unwrap_or_default() {
            "INVITE" => {
                let known = self.by_call_id.get(&format!("b {call_id}")).copied();
                let index = match known {
                    Some(index) => index,
                    None => {
                        self.next_for_callee += 1;
                        self.next_for_callee - 1
                    }
                };
                self.by_call_id.insert(format!("b {call_id}"), index);
                let ringing = response(text, "180 Ringing", index, self.callee.address, None);
                send(&self.callee.socket, &ringing, source)?;
                let answer = response(text, "200 OK", index, self.callee.address, Some(self.callee.media));
                send(&self.callee.socket, &answer, source)?;
                let call = self.calls.get_mut(index).context("more INVITEs than calls")?;
                call.answer = answer;
                call.callee_media = media_address(text);
                if known.is_none() {
                    self.repeats.insert((Instant::now() + T1, Party::Callee, index), T1);
                }
            }
            "ACK" => {
                if let Some(&index) = self.by_call_id.get(&format!("b {call_id}")) {
                    self.calls[index].acknowledged = true;
                }
            }
            "BYE" | "OPTIONS" => {
                let ok = response(text, "200 OK", 0, self.callee.address, None);
                send(&self.callee.socket, &ok, source)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn repeat(&mut self) -> Result<()> {
        let now = Instant::now();
        while let Some((&(due, party, index), &interval)) = self.repeats.first_key_value() {
            if due > now {
                break;
            }
            self.repeats.remove(&(due, party, index));
            let call = &self.calls[index];
            let (socket, text, waiting) = match party {
                Party::Caller => (
                    &self.caller.socket,
                    &call.request,
                    matches!(call.state, State::Inviting | State::Ending),
                ),
                Party::Callee => (&self.callee.socket, &call.answer, !call.acknowledged),
            };
            if !waiting || call.started.is_some_and(|started| started.elapsed() > CALL_TIME_MAX) {
                continue;
            }
            send(socket, text, self.server)?;
            self.tally.repeated += 1;
            let interval = (interval * 2).min(T2);
            self.repeats.insert((now + interval, party, index), interval);
        }
        Ok(())
    }

    fn give_up(&mut self, first: usize) {
        // Calls start in order, so only the oldest that is not over can have run out of time.
        for call in self.calls.iter_mut().skip(first) {
            match call.state {
                State::Over | State::Failed => {}
                State::Inviting | State::Ringing | State::Up | State::Ending => {
                    if call.started.is_none_or(|started| started.elapsed() <= CALL_TIME_MAX) {
                        return;
                    }
                    call.state = State::Failed;
                    self.tally.failed += 1;
                }
            }
        }
    }
}

impl Tally {
    /// Returns a percentile of the time from INVITE to 200, in milliseconds.
    pub fn setup_ms(&self, percentile: f64) -> f64 {
        let mut sorted = self.setup_us.clone();
        sorted.sort_unstable();
        let at = ((sorted.len() as f64 * percentile / 100.0) as usize).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(f64::NAN, |us| *us as f64 / 1000.0)
    }
}

impl End {
    fn bind(host: &str, media: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((host, 0))?;
        socket.set_nonblocking(true)?;
        // A burst of answers must not be lost before this thread reads it: that would measure the generator.
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 8 << 20)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, media })
    }
}

fn response(request: &str, status: &str, index: usize, at: SocketAddr, media: Option<SocketAddr>) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "Record-Route"] {
        for value in fields(request, name) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let to = field(request, "To").unwrap_or_default();
    let tag = if to.contains(";tag=") { String::new() } else { format!(";tag=b{index}") };
    let body = media.map(sdp).unwrap_or_default();
    text.push_str(&format!(
        "From: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:callee@{at}>\r\n",
        field(request, "From").unwrap_or_default(),
        field(request, "Call-ID").unwrap_or_default(),
        field(request, "CSeq").unwrap_or_default(),
    ));
    if media.is_some() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text
}

pub fn sdp(media: SocketAddr) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 8 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
         a=ptime:20\r\na=sendrecv\r\n",
        ip = media.ip(),
        port = media.port(),
    )
}

pub fn media_address(text: &str) -> Option<SocketAddr> {
    let host = text.split("c=IN IP4 ").nth(1)?.split("\r\n").next()?;
    let port = text.split("m=audio ").nth(1)?.split(' ').next()?;
    format!("{host}:{port}").parse().ok()
}

fn field<'a>(text: &'a str, name: &'a str) -> Option<&'a str> {
    fields(text, name).next()
}

fn fields<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.split("\r\n").take_while(|line| !line.is_empty()).filter_map(move |line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn uri(value: &str) -> Option<&str> {
    value.split_once('<')?.1.split_once('>').map(|(uri, _)| uri)
}

fn send(socket: &UdpSocket, text: &str, to: SocketAddr) -> Result<()> {
    match socket.send_to(text.as_bytes(), to) {
        Ok(_) => Ok(()),
        // A full buffer loses the datagram, as a network would; it is sent again.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<usize>> {
    Ok(receive_from(socket, buffer)?.map(|(length, _)| length))
}

fn receive_from(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
