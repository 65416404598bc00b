//! Dialogs: ids, route set, sequence numbers, remote target (RFC 3261 §12).

use std::net::IpAddr;

use trunkline_model::Transport;

use crate::error::Error;
use crate::header::{Name, NameAddr};
use crate::message::{Message, MessageBuilder};
use crate::method::Method;
use crate::resolve::Destination;
use crate::transaction::{MAGIC_COOKIE, from_tag, to_tag};
use crate::transport::{Flow, Target};
use crate::uri::Uri;
use crate::user_agent::send::destination_of;

/// One dialog: what its requests look like and where they go.
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    call_id: Box<str>,
    /// From of our requests, tag included.
    local: Box<[u8]>,
    /// To of our requests, tag included.
    remote: Box<[u8]>,
    remote_tag: Box<str>,
    local_seq: u32,
    /// The number of the peer's last request; none until one came.
    remote_seq: Option<u32>,
    /// Route values of our requests, the first hop first.
    routes: Vec<Box<str>>,
    /// The Request-URI of our requests, unless a strict router is first.
    target: Box<str>,
    /// Where the peer's messages come from.
    flow: Flow,
    /// Whether requests go on the connection of that flow.
    is_on_connection: bool,
    /// Whether requests over datagrams go to where the peer's messages come from, if the address that it names is one
    /// that only its own network reaches.
    follows_source: bool,
}

/// How a request of the peer stands to the one before it (RFC 3261 §12.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequence {
    InOrder,
    /// A number below the last one: 500.
    Old,
    /// The number of the last one, in another transaction: the same request on another path.
    Repeated,
}

/// Most routes of a Record-Route chain: as many hops as Max-Forwards lets a request take is not realistic, and each
/// costs memory for the length of a call. A longer chain makes no dialog, for one that is cut leads nowhere.
const ROUTES_MAX: usize = 32;

/// More than the requests that any early dialog sees.
const EARLY_REQUESTS_MAX: u32 = 1000;

impl Dialog {
    /// Makes the dialog of an INVITE of ours from a response to it (RFC 3261 §12.1.2).
    pub(crate) fn of_response(invite: &Message, response: &Message, flow: Flow) -> Option<Self> {
        let mut routes = routes(response)?;
        routes.reverse();
        Some(Self {
            call_id: invite.call_id().into(),
            local: invite.raw(Name::From)?.into(),
            remote: response.raw(Name::To)?.into(),
            remote_tag: to_tag(response).into(),
            local_seq: invite.cseq().ok()?.number,
            remote_seq: None,
            routes,
            // A response without Contact breaks RFC 3261 §12.1.1; the URI that was called is what is left.
            target: contact(response).unwrap_or_else(|| invite.uri_text()).into(),
            flow,
            is_on_connection: flow.transport.is_reliable(),
            follows_source: false,
        })
    }

    /// Makes the dialog of a peer's INVITE (RFC 3261 §12.1.1).
    pub(crate) fn of_request(invite: &Message, local_tag: &str, flow: Flow) -> Option<Self> {
        let mut local = invite.raw(Name::To)?.to_vec();
        local.extend_from_slice(b";tag=");
        local.extend_from_slice(local_tag.as_bytes());
        Some(Self {
            call_id: invite.call_id().into(),
            local: local.into(),
            remote: invite.raw(Name::From)?.into(),
            remote_tag: from_tag(invite).into(),
            local_seq: 0,
            remote_seq: Some(invite.cseq().ok()?.number),
            routes: routes(invite)?,
            target: contact(invite).or_else(|| origin_of_old_client(invite))?.into(),
            flow,
            is_on_connection: flow.transport.is_reliable(),
            follows_source: false,
        })
    }

    pub(crate) fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// Says whether a peer that names a private address is reached where its messages come from.
    pub(crate) fn follow_source(&mut self, yes: bool) {
        self.follows_source = yes;
    }

    pub(crate) fn flow(&self) -> Flow {
        self.flow
    }

    /// Whether a request of the peer is in this dialog, given that its To tag is ours (RFC 3261 §12.2.2).
    pub(crate) fn holds(&self, request: &Message) -> bool {
        *self.call_id == *request.call_id() && *self.remote_tag == *from_tag(request)
    }

    /// Takes the sequence number of a request of the peer.
    pub(crate) fn take_sequence(&mut self, number: u32) -> Sequence {
        match self.remote_seq {
            Some(last) if number < last => Sequence::Old,
            Some(last) if number == last => Sequence::Repeated,
            Some(_) | None => {
                self.remote_seq = Some(number);
                Sequence::InOrder
            }
        }
    }

    /// Takes the peer's new address from a request or response that refreshes the target (RFC 3261 §12.2).
    pub(crate) fn refresh_target(&mut self, message: &Message, flow: Flow) {
        if let Some(contact) = contact(message) {
            self.target = contact.into();
        }
        self.note_flow(flow);
    }

    /// Takes the path that the peer's messages now come on.
    pub(crate) fn note_flow(&mut self, flow: Flow) {
        self.flow = flow;
        self.is_on_connection = flow.transport.is_reliable();
    }

    /// The connection is gone: from now on requests go where the route says. Says whether that is news.
    pub(crate) fn give_up_connection(&mut self) -> bool {
        std::mem::take(&mut self.is_on_connection)
    }

    /// Takes the route set of the 2xx, which replaces that of the early dialog (RFC 3261 §13.2.2.4). Returns false if
    /// it is too long.
    pub(crate) fn confirm(&mut self, response: &Message, flow: Flow) -> bool {
        self.refresh_target(response, flow);
        let Some(mut routes) = routes(response) else { return false };
        routes.reverse();
        self.routes = routes;
        true
    }

    /// Passes over the numbers that PRACK and UPDATE may have used in the early dialog that this one continues, where
    /// that is forgotten. The peer takes a gap, but no number twice (RFC 3261 §12.2.2).
    pub(crate) fn pass_over_early_requests(&mut self) {
        self.local_seq = self.local_seq.saturating_add(EARLY_REQUESTS_MAX);
    }

    /// Starts the next request in the dialog.
    pub(crate) fn request(&mut self, method: Method) -> MessageBuilder {
        self.local_seq += 1;
        self.start(method, self.local_seq)
    }

    /// Starts the ACK of a 2xx to the INVITE with that number (RFC 3261 §13.2.2.4).
    pub(crate) fn ack(&self, number: u32) -> MessageBuilder {
        self.start(Method::Ack, number)
    }

    fn start(&self, method: Method, number: u32) -> MessageBuilder {
        let cseq = format!("{number} {method}");
        let strict = self.routes.first().and_then(|route| strict_router(route));
        let mut builder = MessageBuilder::request(method, strict.unwrap_or(&self.target));
        match strict {
            Some(_) => {
                // RFC 3261 §12.2.1.1: a strict router takes the Request-URI; the target goes last in Route.
                for route in self.routes.iter().skip(1) {
                    builder = builder.header(Name::Route, route.as_bytes());
                }
                builder = builder.header(Name::Route, format!("<{}>", self.target));
            }
            None => {
                for route in &self.routes {
                    builder = builder.header(Name::Route, route.as_bytes());
                }
            }
        }
        builder
            .header(Name::MaxForwards, "70")
            .header(Name::From, &self.local)
            .header(Name::To, &self.remote)
            .header(Name::CallId, self.call_id.as_bytes())
            .header(Name::CSeq, cseq)
    }

    /// Returns where requests in the dialog go (RFC 3261 §12.2.1.1).
    ///
    /// Over a stream they take the connection that the peer's messages come on: a peer behind NAT has no other.
    pub(crate) fn next_hop(&self) -> Destination {
        if self.is_on_connection {
            return Destination::Target(Target::from(self.flow));
        }
        let hop = match self.routes.first() {
            Some(route) => NameAddr::parse(route.as_bytes()).ok().and_then(|route| route.uri().ok()),
            None => Uri::parse(&self.target).ok(),
        };
        match hop.as_ref().and_then(destination_of) {
            Some(Destination::Host { host, port, transport }) => self.near(host, port, transport),
            Some(Destination::Target(target)) => Destination::Target(target),
            None => Destination::Target(Target::from(self.flow)),
        }
    }

    /// Sends from the socket that the dialog is on, where the transport and the kind of address stay.
    fn near(&self, host: String, port: Option<u16>, transport: Option<Transport>) -> Destination {
        let transport = transport.unwrap_or(self.flow.transport);
        let Some((crate::uri::Host::Ip(ip), "")) = crate::uri::Host::parse_prefix(&host) else {
            return Destination::Host { host, port, transport: Some(transport).filter(|_| port.is_some()) };
        };
        if self.follows_source
            && transport == self.flow.transport
            && !transport.is_reliable()
            && !is_public(ip)
            && is_public(self.flow.remote.ip().to_canonical())
        {
            return Destination::Target(Target::from(self.flow));
        }
        let remote = (ip, port.unwrap_or(transport.default_port())).into();
        let same = transport == self.flow.transport && self.flow.local.is_ipv4() == ip.is_ipv4();
        let local = same.then_some(self.flow.local);
        Destination::Target(Target { transport, remote, local, connection: None })
    }
}

/// Checks a route that the owner gave.
pub(crate) fn check_route(route: &str) -> Result<(), Error> {
    NameAddr::parse(route.as_bytes()).map(|_| ()).map_err(|_| Error::Malformed("route"))
}

/// Whether the Record-Route chain of a message makes a route set.
pub(crate) fn has_usable_routes(message: &Message) -> bool {
    message.list(Name::RecordRoute).take(ROUTES_MAX + 1).count() <= ROUTES_MAX
}

/// Returns the Record-Route values of a message, in order; nothing if there are too many.
fn routes(message: &Message) -> Option<Vec<Box<str>>> {
    has_usable_routes(message).then(|| message.list(Name::RecordRoute).map(Box::from).collect())
}

/// Whether an address can be reached from anywhere, as opposed to those of RFC 1918, 6598, 4193, 3927 and 4291 that
/// mean something in their own network only.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = matches!(ip.octets(), [100, 64..=127, ..]);
            let own =
                ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared;
            !own && !ip.is_broadcast() && !ip.is_multicast()
        }
        IpAddr::V6(ip) => {
            let own =
                ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local();
            !own && !ip.is_multicast()
        }
    }
}

/// Returns the URI of Contact.
fn contact(message: &Message) -> Option<&str> {
    message.addresses(Name::Contact).next()?.ok().map(|contact| contact.uri_text())
}

/// Returns the URI of From, which clients of RFC 2543 are reached at when they send no Contact. They are known by a
/// branch without the magic cookie, or none (RFC 3261 §8.1.1.7).
fn origin_of_old_client(invite: &Message) -> Option<&str> {
    let is_old = !invite.top_via().ok()?.branch().is_some_and(|branch| branch.starts_with(MAGIC_COOKIE));
    invite.from().ok().filter(|_| is_old && invite.raw(Name::Contact).is_none()).map(|from| from.uri_text())
}

/// Returns the URI of a route if it is a strict router's: one without `lr`.
fn strict_router(route: &str) -> Option<&str> {
    let route = NameAddr::parse(route.as_bytes()).ok()?;
    let uri = route.uri().ok()?;
    (!uri.is_loose_router()).then_some(route.uri_text())
}
