//! The phones of many calls at once: one thread that plays and listens for all of them.

use super::heard::Packet;
use super::phone::even_port;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Ports that the calls share. Each socket has a receive buffer of its own, of 200 KiB by default, which is more than 200
/// packets: all of them together hold what arrives in a second, should the thread be late.
const PORTS: usize = 64;

/// Packets are sent in turns of 1 ms, as if so many independent phones sent them.
const TURN: Duration = Duration::from_millis(1);

/// Turns of a packet of 20 ms.
const TURNS: u32 = 20;

/// Packets of a talk spurt. Phones that suppress silence send nothing between spurts (RFC 3551 §4.1).
const SPURT: u32 = 20;

/// From the start of one talk spurt to that of the next, in packets. Both ends of 1,500 calls then send 25,000 packets a
/// second, of which the phones and Trunkline together have to take and give 100,000: what two cores do beside a compiler.
const SPURT_EVERY: u32 = 120;

/// Bytes of a packet of 20 ms.
const PACKET: usize = 160;

/// Bytes at the front of each packet that tell which call it is of, and which packet.
const LABEL: usize = 8;

/// The phones of one carrier, silent yet.
pub struct Swarm {
    sockets: Vec<UdpSocket>,
    ports: Vec<u16>,
    /// Held so that reports of the peer find a socket, as they would at a carrier.
    rtcp: Vec<UdpSocket>,
}

/// The phones of one carrier, at work.
pub struct SwarmAtWork {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Stream>>,
}

/// What arrived from one port of Trunkline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The call whose packets came, by the number that the sender gave it.
    pub call: u32,
    /// Packets that came in order.
    pub in_order: u32,
    /// Packets left out before and between those.
    pub missing: u32,
    /// The first of the packets left out.
    pub first_missing: Option<u32>,
    /// Packets of another call, repeated, late, or changed on the way. Each is a fault.
    pub wrong: u32,
}

/// A call to play for.
struct Calling {
    number: u32,
    to: SocketAddr,
    socket: usize,
    /// Packet times since the start.
    age: u32,
    sent: u32,
}

impl Swarm {
    /// Takes its ports.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn at(ip: IpAddr) -> Self {
        let (sockets, rtcp): (Vec<UdpSocket>, Vec<UdpSocket>) = (0..PORTS).map(|_| even_port(ip)).unzip();
        let ports = sockets.iter().map(|socket| {
            socket.set_nonblocking(true).expect("a socket that does not block");
            socket.local_addr().expect("a bound socket").port()
        });
        let ports = ports.collect();
        Self { sockets, ports, rtcp }
    }

    /// Returns the ports that calls are to use in turn.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Plays for every call that SIPp logs as `audio <ip> <port> <own port>`, each for so many packets, in talk spurts.
    /// Every packet says which call and which packet it is, and is filled up with speech; those that arrive are to have
    /// `peer_speech`.
    #[must_use]
    pub fn play(
        self,
        log: PathBuf,
        speech: &'static [u8],
        peer_speech: &'static [u8],
        packets: u32,
    ) -> SwarmAtWork {
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut work =
                    Work { swarm: self, speech, peer_speech, calls: Vec::new(), streams: HashMap::new() };
                work.run(&log, packets, &ended);
                work.streams.into_values().collect()
            }
        });
        SwarmAtWork { ended, thread }
    }
}

impl SwarmAtWork {
    /// Ends all calls and returns what arrived, one stream for each port it came from.
    ///
    /// # Panics
    /// When the thread did.
    #[must_use]
    pub fn finish(self) -> Vec<Stream> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("the phones")
    }
}

struct Work {
    swarm: Swarm,
    speech: &'static [u8],
    peer_speech: &'static [u8],
    calls: Vec<Calling>,
    streams: HashMap<SocketAddr, Stream>,
}

impl Work {
    fn run(&mut self, log: &Path, packets: u32, ended: &AtomicBool) {
        let mut log_read = 0;
        let mut next = Instant::now();
        let mut turn = 0;
        while !ended.load(Ordering::Relaxed) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += TURN;
            turn = (turn + 1) % TURNS;
            if turn == 0 {
                self.new_calls(log, &mut log_read);
            }
            self.speak(turn, packets);
            self.listen();
        }
        drop(std::mem::take(&mut self.swarm.rtcp));
    }

    /// Reads of which calls SIPp has logged since.
    fn new_calls(&mut self, log: &Path, log_read: &mut u64) {
        let Ok(mut file) = std::fs::File::open(log) else { return };
        let mut text = String::new();
        file.seek(SeekFrom::Start(*log_read))
            .and_then(|_| file.read_to_string(&mut text))
            .expect("the log of SIPp");
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        *log_read += whole.len() as u64;
        for line in whole.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ["audio", ip, port, own] = words[..] else { panic!("not a line of the scenario: {line}") };
            let to = SocketAddr::new(ip.parse().expect("an address"), port.parse().expect("a port"));
            let own: u16 = own.parse().expect("a port");
            let socket = self.swarm.ports.iter().position(|port| *port == own).expect("a port of ours");
            let number = u32::try_from(self.calls.len()).expect("a number of calls");
            self.calls.push(Calling { number, to, socket, age: 0, sent: 0 });
        }
    }

    /// Sends the packets of those calls whose turn it is.
    fn speak(&mut self, turn: u32, packets: u32) {
        for call in self.calls.iter_mut().filter(|call| call.number % TURNS == turn && call.sent < packets) {
            let age = call.age;
            call.age += 1;
            if age % SPURT_EVERY >= SPURT {
                continue;
            }
            let packet = Packet {
                source: call.to,
                marker: age.is_multiple_of(SPURT_EVERY),
                payload_type: Packet::PCMU,
                sequence: call.sent as u16,
                timestamp: age * PACKET as u32,
                ssrc: call.number,
                payload: payload(self.speech, call.number, call.sent),
            };
            call.sent += 1;
            // What does not leave shows as missing at the other end.
            let _ = self.swarm.sockets[call.socket].send_to(&packet.write(), call.to);
        }
    }

    /// Takes in all that has arrived.
    fn listen(&mut self) {
        let mut buffer = [0; 2048];
        for socket in &self.swarm.sockets {
            // The refusal of an earlier datagram is not the end of what has arrived.
            loop {
                match socket.recv_from(&mut buffer) {
                    Ok((length, source)) => {
                        heard(&mut self.streams, self.peer_speech, source, &buffer[..length])
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(_) => {}
                }
            }
        }
    }
}

fn heard(streams: &mut HashMap<SocketAddr, Stream>, speech: &[u8], source: SocketAddr, bytes: &[u8]) {
    let stream = streams.entry(source).or_insert(Stream {
        call: u32::MAX,
        in_order: 0,
        missing: 0,
        first_missing: None,
        wrong: 0,
    });
    let Some((call, index)) = label(speech, bytes) else {
        stream.wrong += 1;
        return;
    };
    if stream.in_order == 0 {
        stream.call = call;
    }
    let next = stream.in_order + stream.missing;
    if call == stream.call && index >= next {
        if index > next {
            stream.first_missing.get_or_insert(next);
        }
        stream.missing += index - next;
        stream.in_order += 1;
    } else {
        stream.wrong += 1;
    }
}

/// Returns the payload of a packet: its label, then the speech of its time.
fn payload(speech: &[u8], call: u32, index: u32) -> Vec<u8> {
    let mut payload = Vec::with_capacity(PACKET);
    payload.extend(call.to_be_bytes());
    payload.extend(index.to_be_bytes());
    payload.extend(&part(speech, index)[LABEL..]);
    payload
}

/// Returns which packet of which call it is, if every byte of it is as it was sent.
fn label(speech: &[u8], bytes: &[u8]) -> Option<(u32, u32)> {
    let (label, rest) = bytes.get(12..)?.split_at_checked(LABEL)?;
    let call = u32::from_be_bytes(label[..4].try_into().ok()?);
    let index = u32::from_be_bytes(label[4..].try_into().ok()?);
    (rest == &part(speech, index)[LABEL..]).then_some((call, index))
}

/// Returns the speech of a packet; it is repeated for ever.
fn part(speech: &[u8], index: u32) -> &[u8] {
    let parts = speech.len() / PACKET;
    let first = index as usize % parts * PACKET;
    &speech[first..first + PACKET]
}
