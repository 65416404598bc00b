//! Who may offer and who must answer (RFC 3261 §13, RFC 3262 §5, RFC 3311 §5, RFC 6337).

use bytes::Bytes;

use crate::body;
use crate::message::Message;
use crate::user_agent::{Body, SDP};

/// Where offer and answer of one dialog stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Negotiation {
    pub(crate) pending: Pending,
    /// Whether an offer was ever answered for good.
    answered: bool,
    /// Whether an unreliable provisional response showed the answer already.
    previewed: bool,
}

/// An offer that has no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    Nothing,
    Ours,
    Theirs,
}

/// Whether a response is sure to arrive: one that is not cannot carry an offer, and its answer is a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Unreliable,
    Reliable,
    Final,
}

impl Negotiation {
    /// Starts with the offer of the INVITE, if it has one.
    pub(crate) fn new(pending: Pending) -> Self {
        Self { pending, answered: false, previewed: false }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Whether a new offer may be made now.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending == Pending::Nothing && self.answered
    }

    /// The pending offer has its answer.
    pub(crate) fn settle(&mut self) {
        self.pending = Pending::Nothing;
        self.answered = true;
    }

    /// The pending offer was refused; what was agreed before stays.
    pub(crate) fn withdraw(&mut self) {
        self.pending = Pending::Nothing;
    }

    /// Takes the description in a response to our INVITE.
    pub(crate) fn receive(
        &mut self,
        sdp: Option<Bytes>,
        delivery: Delivery,
    ) -> Result<Option<Body>, &'static str> {
        match (self.pending, sdp, delivery) {
            (Pending::Ours, Some(sdp), Delivery::Unreliable) => {
                self.previewed = true;
                Ok(Some(Body::Answer(sdp)))
            }
            (Pending::Ours, Some(sdp), Delivery::Reliable | Delivery::Final) => {
                self.settle();
                Ok(Some(Body::Answer(sdp)))
            }
            (Pending::Ours, None, Delivery::Final) if self.previewed => {
                self.settle();
                Ok(None)
            }
            (Pending::Ours, None, Delivery::Final) => Err("2xx has no answer"),
            (Pending::Nothing, Some(sdp), Delivery::Reliable | Delivery::Final) if !self.answered => {
                self.pending = Pending::Theirs;
                Ok(Some(Body::Offer(sdp)))
            }
            (Pending::Nothing, None, Delivery::Final) if !self.answered => Err("2xx has no offer"),
            // An answer that came for good is not changed by a response to the same INVITE (RFC 6337 §3.1.1).
            (Pending::Ours | Pending::Nothing | Pending::Theirs, _, _) => Ok(None),
        }
    }

    /// Takes what we put into a response to the peer's INVITE, and returns what may stand there.
    pub(crate) fn send(
        &mut self,
        sdp: Option<Bytes>,
        delivery: Delivery,
    ) -> Result<Option<Bytes>, &'static str> {
        match (self.pending, sdp, delivery) {
            (Pending::Theirs, Some(sdp), Delivery::Unreliable) => {
                self.previewed = true;
                Ok(Some(sdp))
            }
            (Pending::Theirs, Some(sdp), Delivery::Reliable | Delivery::Final) => {
                self.settle();
                Ok(Some(sdp))
            }
            (Pending::Theirs, None, Delivery::Final) => Err("2xx needs an answer"),
            (Pending::Nothing, Some(_), Delivery::Unreliable) if !self.answered => {
                Err("an offer needs a reliable response")
            }
            (Pending::Nothing, Some(sdp), Delivery::Reliable | Delivery::Final) if !self.answered => {
                self.pending = Pending::Ours;
                Ok(Some(sdp))
            }
            (Pending::Nothing, None, Delivery::Final) if !self.answered => Err("2xx needs an offer"),
            (Pending::Theirs | Pending::Nothing | Pending::Ours, _, _) => Ok(None),
        }
    }
}

/// Returns the session description of a message, be it the body or a part of it.
pub(crate) fn sdp(message: &Message) -> Option<Bytes> {
    if message.body().is_empty() {
        return None;
    }
    if message.content_type().is_some_and(|content_type| content_type.eq_ignore_ascii_case(SDP)) {
        return Some(message.body().clone());
    }
    body::part(message, SDP)
}
