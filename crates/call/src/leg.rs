//! A leg: the signalling and the description of media between us and one peer.

use bytes::Bytes;
use std::sync::Arc;
use trunkline_media::{Direction, DtlsTransport, MediaSession, Negotiated, Wish};
use trunkline_model::{Codec, Trunk, UserAddress};
use trunkline_sip::user_agent::SessionId;

/// One side of a call.
#[derive(Debug)]
pub(crate) struct Leg {
    /// Its INVITE session; none once that is over.
    pub(crate) session: Option<SessionId>,
    /// The user that it is with; none on a trunk.
    pub(crate) user: Option<UserAddress>,
    /// The trunk it is on; with a user, the one that stands for all users.
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) media: MediaSession,
    /// What the peer wants to do: its hold or not, whatever the other side's hold makes of it.
    pub(crate) wish: Direction,
    /// What we wanted in our last offer.
    pub(crate) offered: Direction,
    /// What the bridge was told last.
    pub(crate) bridged: Option<Negotiated>,
    /// What the bridge was told last of the path to a browser.
    pub(crate) path: Option<DtlsTransport>,
}

impl Leg {
    /// Returns the codec that is sent to the peer.
    pub(crate) fn codec(&self) -> Option<Codec> {
        self.media.negotiated().and_then(|negotiated| negotiated.send.audio()).map(|(_, codec)| codec)
    }

    /// Returns what to want of this leg, so that its peer gets what the peer of the other leg wants.
    pub(crate) fn wish_for(other: &Self) -> Wish {
        // What the other peer sends we send on; what it takes we take for it.
        Wish { direction: other.wish, prefer: other.codec() }
    }

    /// Whether the peer has been told where our media is.
    pub(crate) fn is_described(&self) -> bool {
        self.media.is_offering() || self.media.negotiated().is_some()
    }

    /// Makes an offer to this leg.
    pub(crate) fn offer(&mut self, wish: Wish) -> Bytes {
        self.offered = wish.direction;
        self.media.offer(wish)
    }

    /// Notes what an answer to our offer says about the peer's own wish.
    ///
    /// Where our offer did not let the peer send or receive, its answer says nothing about whether it would.
    pub(crate) fn note_answer(&mut self) {
        let offered = self.offered;
        let Some(negotiated) = self.media.negotiated() else { return };
        let answered = negotiated.direction.reversed();
        let sends = if offered.receives() { answered.sends() } else { self.wish.sends() };
        let receives = if offered.sends() { answered.receives() } else { self.wish.receives() };
        self.wish = Direction::from_parts(sends, receives);
    }

    /// Whether the peer has to be told anew what the other side wants.
    pub(crate) fn is_behind(&self, other: &Self) -> bool {
        let Some(negotiated) = self.media.negotiated() else { return false };
        negotiated.direction != other.wish.intersection(self.wish.reversed())
    }

    /// Returns what the bridge has to be told of the path to a browser, if that is news.
    pub(crate) fn path_for_bridge(&mut self) -> Option<Box<DtlsTransport>> {
        let now = self.media.dtls();
        if now == self.path.as_ref() {
            return None;
        }
        self.path = now.cloned();
        self.path.clone().map(Box::new)
    }

    /// Returns what the bridge has to be told, if that is news.
    pub(crate) fn news_for_bridge(&mut self) -> Option<Negotiated> {
        let now = self.media.negotiated().copied();
        if now == self.bridged {
            return None;
        }
        self.bridged = now;
        now
    }
}
