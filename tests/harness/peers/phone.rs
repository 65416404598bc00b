//! A phone's ear and mouth: two UDP sockets that play and record RTP in real time.

use super::heard::{Heard, Packet};
use super::wait_for;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Plays and records.
pub struct Phone {
    rtp: Arc<UdpSocket>,
    /// Held so that reports of the peer find a socket, as they would at a carrier.
    _rtcp: UdpSocket,
    heard: Arc<Mutex<Heard>>,
    ended: Arc<AtomicBool>,
    ear: Option<JoinHandle<()>>,
}

/// The state of one outgoing stream: it goes on where it stopped.
#[derive(Debug, Clone)]
pub struct Playing {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    first: bool,
}

impl Phone {
    /// Takes an even port for RTP and the odd one above it for RTCP (RFC 3550 §11).
    ///
    /// # Panics
    /// When there is no such pair.
    #[must_use]
    pub fn at(ip: IpAddr) -> Self {
        let (rtp, rtcp) = even_port(ip);
        // The ear looks this often whether the call is over.
        rtp.set_read_timeout(Some(Duration::from_millis(50))).expect("a read timeout");
        let rtp = Arc::new(rtp);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let ended = Arc::new(AtomicBool::new(false));
        let ear = std::thread::spawn({
            let (rtp, heard, ended) = (Arc::clone(&rtp), Arc::clone(&heard), Arc::clone(&ended));
            move || listen(&rtp, &heard, &ended)
        });
        Self { rtp, _rtcp: rtcp, heard, ended, ear: Some(ear) }
    }

    /// Returns where it listens.
    ///
    /// # Panics
    /// When the socket is gone.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.rtp.local_addr().expect("a bound socket")
    }

    /// Plays audio of one byte a sample, in packets of so many bytes, in real time; returns when it is over.
    ///
    /// # Panics
    /// When the system does not send.
    pub fn play(
        &self,
        playing: &mut Playing,
        to: SocketAddr,
        payload_type: u8,
        audio: &[u8],
        packet_bytes: usize,
    ) {
        let mut next = Instant::now();
        for payload in audio.chunks(packet_bytes) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += samples(payload.len());
            self.send(to, &playing.packet(payload_type, payload));
            playing.timestamp =
                playing.timestamp.wrapping_add(u32::try_from(payload.len()).expect("a short payload"));
        }
    }

    /// Presses keys: 100 ms each, with a pause of 60 ms, each end told three times (RFC 4733 §2.5.1.4).
    ///
    /// # Panics
    /// When the system does not send.
    pub fn press(&self, playing: &mut Playing, to: SocketAddr, payload_type: u8, events: &[u8]) {
        const PACKET: u16 = 160;
        for &event in events {
            playing.first = true;
            for number in 1..=7 {
                // The last three packets are one packet, sent three times.
                let (ended, duration) = (number >= 5, PACKET * number.min(5));
                let [high, low] = duration.to_be_bytes();
                let payload = [event, if ended { 0x80 | 10 } else { 10 }, high, low];
                self.send(to, &playing.packet(payload_type, &payload));
                if number < 5 {
                    std::thread::sleep(samples(usize::from(PACKET)));
                }
            }
            playing.timestamp = playing.timestamp.wrapping_add(u32::from(PACKET) * 8);
            std::thread::sleep(samples(usize::from(PACKET) * 3));
        }
    }

    /// Returns what has arrived so far.
    #[must_use]
    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what has arrived so far.
    pub fn forget(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).packets.clear();
    }

    /// Waits until so many bytes of audio of a payload type have arrived, and returns all that has.
    #[must_use]
    pub fn hears(&self, payload_type: u8, audio_bytes: usize) -> Heard {
        wait_for(&format!("{audio_bytes} bytes of audio in payload type {payload_type}"), || {
            let heard = self.heard();
            (heard.audio(payload_type).len() >= audio_bytes).then_some(heard)
        })
    }

    /// Sends one packet.
    ///
    /// # Panics
    /// When the system does not send.
    pub fn send(&self, to: SocketAddr, packet: &Packet) {
        match self.rtp.send_to(&packet.write(), to) {
            // A refusal is of an earlier datagram: the peer was not there yet, or has hung up.
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => panic!("sending to {to}: {error}"),
            Ok(_) | Err(_) => {}
        }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(ear) = self.ear.take() {
            // A panic of the ear has been printed already.
            let _ = ear.join();
        }
    }
}

impl Playing {
    /// A new stream; the seed tells it from others.
    #[must_use]
    pub fn new(seed: u16) -> Self {
        // Just before both wrap, so that every test crosses the wrap.
        Self {
            ssrc: 0x7e57_0000 | u32::from(seed),
            sequence: 65_500,
            timestamp: u32::MAX - 8_000,
            first: true,
        }
    }

    /// Returns the next packet, at the time reached.
    #[must_use]
    pub fn packet(&mut self, payload_type: u8, payload: &[u8]) -> Packet {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Packet {
            source: SocketAddr::from(([0; 4], 0)),
            marker: std::mem::take(&mut self.first),
            payload_type,
            sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload: payload.to_vec(),
        }
    }
}

fn listen(rtp: &UdpSocket, heard: &Mutex<Heard>, ended: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        // A timeout, or the refusal of something sent before.
        let Ok((length, source)) = rtp.recv_from(&mut buffer) else { continue };
        let packet = Packet::read(source, &buffer[..length])
            .unwrap_or_else(|| panic!("this is not RTP of a gateway: {:02x?}", &buffer[..length]));
        heard.lock().unwrap_or_else(PoisonError::into_inner).packets.push(packet);
    }
}

/// Returns a socket on an even port, and one on the port above it.
pub(super) fn even_port(ip: IpAddr) -> (UdpSocket, UdpSocket) {
    (0..200)
        .find_map(|_| {
            let rtp = UdpSocket::bind((ip, 0)).ok()?;
            let port = rtp.local_addr().ok()?.port();
            let rtcp = (port % 2 == 0).then(|| UdpSocket::bind((ip, port + 1)).ok())??;
            Some((rtp, rtcp))
        })
        .expect("two free ports in a row")
}

fn samples(count: usize) -> Duration {
    Duration::from_micros(count as u64 * 125)
}
