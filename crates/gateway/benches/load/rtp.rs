//! G.711 streams in both directions of many calls, from two sockets.

use super::calls::MediaPorts;
use anyhow::{Result, bail};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The media sockets of all callers and of all callees.
pub struct Streams {
    caller: UdpSocket,
    callee: UdpSocket,
}

/// What was sent and what came back out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flow {
    pub sent: u64,
    pub received: u64,
}

/// One packet each 20 ms in each direction.
const PACKET_TIME: Duration = Duration::from_millis(20);

/// A generator that ends this much late, of several seconds, did not send what it is said to have sent.
const LATE_MAX: Duration = Duration::from_secs(1);

/// RTP header and 160 samples.
const PACKET_BYTES: usize = 172;

impl Streams {
    /// Binds both sockets.
    pub fn bind() -> Result<Self> {
        let bind = |host: &str| -> Result<UdpSocket> {
            let socket = UdpSocket::bind((host, 0))?;
            socket.set_nonblocking(true)?;
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 8 << 20)?;
            Ok(socket)
        };
        Ok(Self { caller: bind("127.0.0.2")?, callee: bind("127.0.0.3")? })
    }

    /// Returns the addresses of callers and callees, for their SDP.
    pub fn addresses(&self) -> Result<(SocketAddr, SocketAddr)> {
        Ok((self.caller.local_addr()?, self.callee.local_addr()?))
    }

    /// Sends both ways on every call for a while, calls spread evenly over each 20 ms. `sequence` goes on from run
    /// to run.
    pub fn run(&self, calls: &[MediaPorts], time: Duration, sequence: &mut u16) -> Result<Flow> {
        let mut flow = Flow::default();
        let mut packet = [0x55; PACKET_BYTES];
        let start = Instant::now();
        let gap = PACKET_TIME / calls.len().max(1) as u32;
        let slots = time.div_duration_f64(gap) as u32;
        let mut slot: u32 = 0;
        while slot < slots {
            if start.elapsed() > time + LATE_MAX {
                bail!(
                    "the generator sent {slot} of {slots} pairs of packets: this machine is too busy to measure on"
                );
            }
            while slot < slots && gap * slot <= start.elapsed() {
                let at = slot as usize % calls.len();
                if at == 0 {
                    *sequence = sequence.wrapping_add(1);
                }
                header(&mut packet, *sequence, at as u32 * 2 + 1);
                flow.sent += u64::from(send(&self.caller, &packet, calls[at].from_caller)?);
                header(&mut packet, *sequence, at as u32 * 2 + 2);
                flow.sent += u64::from(send(&self.callee, &packet, calls[at].from_callee)?);
                slot += 1;
            }
            flow.received += self.drain()?;
        }
        let last = Instant::now();
        while last.elapsed() < Duration::from_millis(100) {
            flow.received += self.drain()?;
        }
        Ok(flow)
    }

    fn drain(&self) -> Result<u64> {
        let mut buffer = [0; 2048];
        let mut received = 0;
        for socket in [&self.caller, &self.callee] {
            loop {
                match socket.recv_from(&mut buffer) {
                    // RTCP shares nothing with RTP here but may come to the same socket's neighbour port only.
                    Ok((length, _)) => received += u64::from(length == PACKET_BYTES),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(received)
    }
}

fn header(packet: &mut [u8; PACKET_BYTES], sequence: u16, source: u32) {
    packet[0] = 0x80;
    packet[1] = 0;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&source.to_be_bytes());
}

fn send(socket: &UdpSocket, packet: &[u8], to: SocketAddr) -> Result<bool> {
    match socket.send_to(packet, to) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}
