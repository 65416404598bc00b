//! What a user agent takes in and what it gives out.

use std::fmt;

use bytes::Bytes;
use trunkline_model::Transport;

use crate::message::Message;
use crate::resolve::{QueryId, ResolveError};
use crate::transport::{ConnectionId, Flow, Target, Transmit};
use std::net::SocketAddr;

/// An INVITE session: one attempt as caller with all its forks, or one as callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

/// A request that is not part of an INVITE session, ours or a peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// One early dialog of an INVITE that was forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForkId(pub(crate) u32);

/// What a user agent takes in.
#[derive(Debug, Clone)]
pub enum Input {
    /// A datagram, or one message that was cut from a stream.
    Received {
        /// The path that it came on.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
    /// A connection could not be opened or is gone, or a datagram met an ICMP error.
    TransportFailed {
        /// The transport.
        transport: Transport,
        /// Where it led.
        remote: SocketAddr,
        /// The connection that is gone; none if it never came up, and for datagrams.
        connection: Option<ConnectionId>,
        /// What an ICMP error quotes of the datagram that met it: from the start of our message, as much as there is.
        ///
        /// With it only the transaction of that datagram fails. Without it all that wait for a first response from
        /// there do, for a datagram can be refused for what is wrong with itself, and an ICMP error can be forged.
        quoted: Option<Bytes>,
    },
    /// The answer to [`Output::Resolve`].
    Resolved {
        /// The question.
        query: QueryId,
        /// Where to send, best first.
        targets: Result<Vec<Target>, ResolveError>,
    },
}

/// What a user agent gives out.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Look this up (RFC 3263) and answer with [`Input::Resolved`].
    Resolve {
        /// The question.
        query: QueryId,
        /// The name.
        host: String,
        /// The port, which rules SRV out.
        port: Option<u16>,
        /// The transport, which rules NAPTR out.
        transport: Option<Transport>,
    },
    /// Something the owner acts on.
    Event(Event),
}

/// A session description, by its role (RFC 3264). `Debug` shows its size only.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// It asks for an answer.
    Offer(Bytes),
    /// It is the answer.
    Answer(Bytes),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offer(sdp) => write!(f, "Offer({} bytes)", sdp.len()),
            Self::Answer(sdp) => write!(f, "Answer({} bytes)", sdp.len()),
        }
    }
}

/// What a peer wants of an established or early session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// By INVITE in the dialog.
    ReInvite,
    /// By UPDATE (RFC 3311).
    Update,
    /// By an offer in PRACK (RFC 3262 §5).
    Prack,
}

/// Something that the owner of a user agent acts on.
///
/// Every session ends with exactly one [`Failed`](Self::Failed) or [`Ended`](Self::Ended), after which its id is dead.
/// `Debug` shows no numbers and no bodies.
#[derive(Clone)]
pub enum Event {
    /// A new INVITE; 100 was sent. Answer with `progress`, `accept` or `reject`; set a trunk's profile with `adopt`.
    Incoming {
        /// The session that it starts.
        session: SessionId,
        /// The INVITE.
        request: Message,
        /// The path that it came on.
        flow: Flow,
        /// The offer; none leaves it to us.
        offer: Option<Bytes>,
    },
    /// A new INVITE that was refused before it became a session: it was malformed, asked for what nobody here has, or
    /// came when there was no room. Requests of other methods that are refused are counted only.
    Refused {
        /// The INVITE; of a malformed one, what could be read of it.
        request: Message,
        /// The path that it came on.
        flow: Flow,
        /// The status that it was answered with.
        status: u16,
        /// Why, for an operator.
        reason: String,
    },
    /// The first response to our INVITE, if it was a provisional one, 100 included: the peer is there.
    Trying {
        /// The session.
        session: SessionId,
    },
    /// A 101 to 199 to our INVITE. PRACK is sent by the user agent, unless the body is an offer:
    /// then `answer_progress` does.
    Progress {
        /// The session.
        session: SessionId,
        /// Which early dialog.
        fork: ForkId,
        /// The response.
        response: Message,
        /// The session description in it.
        body: Option<Body>,
        /// Whether it was sent reliably (RFC 3262).
        reliable: bool,
    },
    /// The first 2xx to our INVITE. ACK is sent by the user agent, unless the body is an offer: then `ack` does.
    /// Other forks are acknowledged and hung up by the user agent.
    Answered {
        /// The session.
        session: SessionId,
        /// Which fork answered.
        fork: ForkId,
        /// The response.
        response: Message,
        /// The session description in it; none if the answer was final before (in a reliable 18x), or in an
        /// unreliable 18x of this fork that the peer did not repeat.
        body: Option<Body>,
    },
    /// Our INVITE came to nothing. The session is over.
    Failed {
        /// The session.
        session: SessionId,
        /// Why.
        failure: Failure,
    },
    /// The ACK for our 2xx arrived. Also for those of re-INVITEs.
    Acked {
        /// The session.
        session: SessionId,
        /// The answer, if our 2xx held an offer.
        answer: Option<Bytes>,
    },
    /// The peer wants to change the session: answer with `accept_change` or `reject_change`.
    /// UPDATE without an offer is answered by the user agent and not told.
    Change {
        /// The session.
        session: SessionId,
        /// The request.
        request: Message,
        /// Which kind.
        kind: ChangeKind,
        /// The offer; a re-INVITE without one asks us for it.
        offer: Option<Bytes>,
    },
    /// Our `reinvite` or `update` was accepted. An offer (to a re-INVITE without one) is answered by `ack`.
    Changed {
        /// The session.
        session: SessionId,
        /// The response.
        response: Message,
        /// The session description in it.
        body: Option<Body>,
    },
    /// Our `reinvite` or `update` was refused; the session is as before. 491 is tried again by the user agent and
    /// told only when it does not go away.
    ChangeFailed {
        /// The session.
        session: SessionId,
        /// Why.
        failure: Failure,
    },
    /// The peer cancelled its re-INVITE before it was answered (RFC 3261 §9.2), or the owner took too long to answer
    /// and the change got 504: the session is as before, and the [`Change`](Self::Change) must not be answered any
    /// more.
    ChangeCancelled {
        /// The session.
        session: SessionId,
    },
    /// A PRACK brought the answer to the offer in our reliable provisional response.
    Prack {
        /// The session.
        session: SessionId,
        /// The PRACK.
        request: Message,
        /// The answer.
        answer: Bytes,
    },
    /// The session is over.
    Ended {
        /// The session.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// A request of a method that the configuration lists: answer with `respond`.
    Request {
        /// Names it in `respond`.
        request: RequestId,
        /// The request.
        message: Message,
        /// The path that it came on.
        flow: Flow,
        /// The session in whose dialog it came.
        session: Option<SessionId>,
    },
    /// What became of our `request`: a final response of any status, or none.
    Response {
        /// The request.
        request: RequestId,
        /// What became of it.
        result: Result<Message, Failure>,
    },
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sized = |sdp: &Option<Bytes>| sdp.as_ref().map(|sdp| format!("{} bytes", sdp.len()));
        match self {
            Self::Incoming { session, request, flow, offer } => {
                write!(f, "Incoming({session:?}, {request:?}, {flow:?}, offer {:?})", sized(offer))
            }
            Self::Refused { request, flow, status, reason } => {
                write!(f, "Refused({request:?}, {flow:?}, {status}, {reason:?})")
            }
            Self::Trying { session } => write!(f, "Trying({session:?})"),
            Self::Progress { session, fork, response, body, reliable } => {
                write!(f, "Progress({session:?}, {fork:?}, {response:?}, {body:?}, reliable {reliable})")
            }
            Self::Answered { session, fork, response, body } => {
                write!(f, "Answered({session:?}, {fork:?}, {response:?}, {body:?})")
            }
            Self::Failed { session, failure } => write!(f, "Failed({session:?}, {failure:?})"),
            Self::Acked { session, answer } => write!(f, "Acked({session:?}, answer {:?})", sized(answer)),
            Self::Change { session, request, kind, offer } => {
                write!(f, "Change({session:?}, {request:?}, {kind:?}, offer {:?})", sized(offer))
            }
            Self::Changed { session, response, body } => {
                write!(f, "Changed({session:?}, {response:?}, {body:?})")
            }
            Self::ChangeFailed { session, failure } => write!(f, "ChangeFailed({session:?}, {failure:?})"),
            Self::ChangeCancelled { session } => write!(f, "ChangeCancelled({session:?})"),
            Self::Prack { session, request, answer } => {
                write!(f, "Prack({session:?}, {request:?}, answer {} bytes)", answer.len())
            }
            Self::Ended { session, reason } => write!(f, "Ended({session:?}, {reason:?})"),
            Self::Request { request, message, flow, session } => {
                write!(f, "Request({request:?}, {message:?}, {flow:?}, {session:?})")
            }
            Self::Response { request, result } => write!(f, "Response({request:?}, {result:?})"),
        }
    }
}

/// Why a request came to nothing.
#[derive(Debug, Clone)]
pub enum Failure {
    /// A final response other than 2xx.
    Response(Message),
    /// No final response in time: as good as 408.
    Timeout,
    /// It could not be sent: as good as 503.
    Transport,
    /// The host could not be found: as good as 503.
    Resolve(ResolveError),
    /// The peer changed the session while our change waited for its turn, so that its offer is out of date; or the
    /// owner took the change back before it was sent.
    Superseded,
    /// The peer answered with something that makes no session.
    PeerMisbehaved(&'static str),
}

impl Failure {
    /// Returns the status that the failure amounts to (RFC 3261 §8.1.3.1).
    pub fn status(&self) -> u16 {
        match self {
            Self::Response(response) => response.status().unwrap_or(500),
            Self::Timeout => 408,
            Self::Transport | Self::Resolve(_) => 503,
            Self::Superseded => 491,
            Self::PeerMisbehaved(_) => 502,
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone)]
pub enum EndReason {
    /// The owner hung up or rejected.
    Local,
    /// The peer sent BYE.
    Bye(Message),
    /// The peer sent CANCEL before we answered.
    Cancel(Message),
    /// Our 2xx got no ACK (RFC 3261 §13.3.1.4); BYE was sent.
    AckMissing,
    /// Our reliable provisional response got no PRACK (RFC 3262 §3); the INVITE was rejected.
    PrackMissing,
    /// The session was not refreshed (RFC 4028 §10); BYE was sent.
    SessionExpired,
    /// The peer does not know the dialog, or does not answer in it (481, 408, timeout); BYE was sent.
    DialogGone,
    /// What the peer asked for or required cannot be had; the INVITE was rejected with this status.
    Rejected(u16),
    /// The peer broke the protocol; BYE was sent.
    PeerMisbehaved(&'static str),
}
