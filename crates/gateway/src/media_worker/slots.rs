//! The bridges of one worker, found by a small number that the system hands back with each event.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;
use trunkline_call::{Bridge, MediaSocket, OpenBridge, Side};
use trunkline_media::Channel;
use trunkline_model::{BridgeId, CallId};

/// The DSCP of voice, Expedited Forwarding (RFC 4594 §4.1), in its place within the octet.
const EXPEDITED_FORWARDING: u8 = 46 << 2;

/// A place, and which bridge in a row has it: an event for the one before is not for this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotId {
    index: u32,
    generation: u32,
}

/// One bridge with its sockets.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: BridgeId,
    /// Whose bridge it is.
    pub(super) call: CallId,
    pub(super) bridge: Box<Bridge>,
    /// By side, then by channel; none on the side of a browser.
    pub(super) sockets: Sockets,
    /// The entry of the timer heap that is this slot's own.
    pub(super) timer: Option<Instant>,
}

/// The sockets of both sides.
pub(super) type Sockets = [Option<[UdpSocket; 2]>; 2];

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<(u32, Option<Slot>)>,
    free: Vec<u32>,
    by_id: HashMap<BridgeId, SlotId>,
}

impl Slot {
    /// Binds RTP to the ports that are named, and RTCP to those above them.
    pub(super) fn bind(open: OpenBridge) -> io::Result<Self> {
        let pair = |place| match place {
            MediaSocket::Browsers => Ok(None),
            MediaSocket::Rtp { bind, rtp_port } => {
                let rtcp_port = rtp_port.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
                let (rtp, rtcp) = (SocketAddr::new(bind, rtp_port), SocketAddr::new(bind, rtcp_port));
                Ok::<_, io::Error>(Some([socket(rtp)?, socket(rtcp)?]))
            }
        };
        let OpenBridge { bridge: id, call, caller, callee, state } = open;
        Ok(Self { id, call, bridge: state, sockets: [pair(caller)?, pair(callee)?], timer: None })
    }

    pub(super) fn socket(&self, side: Side, channel: Channel) -> Option<&UdpSocket> {
        pick(&self.sockets, side, channel)
    }
}

/// Returns one of a bridge's sockets; none on the side of a browser.
pub(super) fn pick(sockets: &Sockets, side: Side, channel: Channel) -> Option<&UdpSocket> {
    let [caller, callee] = sockets;
    let [rtp, rtcp] = match side {
        Side::Caller => caller.as_ref()?,
        Side::Callee => callee.as_ref()?,
    };
    Some(match channel {
        Channel::Rtp => rtp,
        Channel::Rtcp => rtcp,
    })
}

fn socket(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(local)?;
    socket.set_nonblocking(true)?;
    expedite(&socket, local);
    Ok(socket)
}

/// Marks what a socket sends as voice. That is a service to the network; without it calls work all the same.
pub(super) fn expedite(socket: &UdpSocket, local: SocketAddr) {
    let _ = match local {
        SocketAddr::V4(_) => rustix::net::sockopt::set_ip_tos(socket, EXPEDITED_FORWARDING),
        SocketAddr::V6(_) => rustix::net::sockopt::set_ipv6_tclass(socket, EXPEDITED_FORWARDING.into()),
    };
}

impl Slots {
    pub(super) fn insert(&mut self, slot: Slot) -> SlotId {
        let id = slot.id;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            // Four sockets a bridge: descriptors run out long before this does.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mut generation = 0;
        if let Some((counted, place)) = self.slots.get_mut(index as usize) {
            *counted = counted.wrapping_add(1) & GENERATION_MASK;
            generation = *counted;
            *place = Some(slot);
        }
        let slot = SlotId { index, generation };
        self.by_id.insert(id, slot);
        slot
    }

    pub(super) fn remove(&mut self, id: SlotId) -> Option<Slot> {
        let (generation, place) = self.slots.get_mut(id.index as usize)?;
        if *generation != id.generation {
            return None;
        }
        let slot = place.take()?;
        self.by_id.remove(&slot.id);
        self.free.push(id.index);
        Some(slot)
    }

    pub(super) fn get(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id.index as usize).filter(|(generation, _)| *generation == id.generation)?.1.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        let (generation, slot) = self.slots.get_mut(id.index as usize)?;
        if *generation == id.generation { slot.as_mut() } else { None }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter_map(|(_, slot)| slot.as_ref())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().filter_map(|(_, slot)| slot.as_mut())
    }

    pub(super) fn find(&self, id: BridgeId) -> Option<SlotId> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// Generations fill the upper half of a mark less the two bits of side and channel.
const GENERATION_MASK: u32 = u32::MAX >> 2;

/// Packs a socket's place into the number that the system hands back.
pub(super) fn mark(id: SlotId, side: Side, channel: Channel) -> u64 {
    let place = u64::from(id.index) << 2 | (side as u64) << 1 | channel as u64;
    u64::from(id.generation) << 34 | place
}

/// Unpacks it.
pub(super) fn unmark(mark: u64) -> (SlotId, Side, Channel) {
    let side = if mark & 2 == 0 { Side::Caller } else { Side::Callee };
    let channel = if mark & 1 == 0 { Channel::Rtp } else { Channel::Rtcp };
    let (index, generation) = ((mark >> 2) as u32, (mark >> 34) as u32);
    (SlotId { index, generation }, side, channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back() {
        for (index, generation) in [(0, 0), (7, 3), (u32::MAX, GENERATION_MASK)] {
            for side in Side::BOTH {
                for channel in [Channel::Rtp, Channel::Rtcp] {
                    let id = SlotId { index, generation };
                    assert_eq!(unmark(mark(id, side, channel)), (id, side, channel));
                }
            }
        }
    }
}
