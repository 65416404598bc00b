//! Sending requests: Via and Contact for the transport, look-ups, and going on elsewhere (RFC 3261 §18.1, RFC 3263).

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Instant;

use trunkline_model::Transport;

use super::core::{Core, hex};
use super::deadlines::{Armed, Who};
use super::table::Id;
use super::{Headers, Output, Owner, is_free};
use crate::error::Error;
use crate::header::Name;
use crate::message::Message;
use crate::method::Method;
use crate::resolve::{Destination, QueryId};
use crate::timer::{Timer, Timers};
use crate::transaction::{MAGIC_COOKIE, branch_number, cancel_for};
use crate::transport::{Advertised, Target, Transmit, via_name};
use crate::uri::{Host, Uri};

/// A request that has everything but what depends on where it is sent: Via and Contact.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) request: Message,
    /// The user part of Contact, for requests that have one.
    pub(crate) contact: Option<Contact>,
    pub(crate) advertised: Option<Advertised>,
}

/// Our Contact, but for its host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contact {
    pub(crate) user: Option<Box<str>>,
}

/// Further servers of a host that was looked up.
#[derive(Debug)]
pub(crate) struct Retry {
    outgoing: Outgoing,
    targets: VecDeque<Target>,
}

/// A request that waits for a look-up.
#[derive(Debug)]
pub(crate) struct Query {
    outgoing: Outgoing,
    owner: Owner,
    /// The ACK of a 2xx has no transaction; it is kept by that of its INVITE.
    ack_of: Option<(Id, Box<str>)>,
    timers: Timers<1>,
    pub(super) armed: Option<Armed>,
}

/// How far a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Waiting for a look-up.
    Resolving(Id),
    /// Sent, in this transaction.
    Sent(Id),
}

/// Longest that a look-up may take. RFC 3263 look-ups are three rounds of DNS, which resolvers time out at 5 s each.
const RESOLVE_SECS_MAX: u64 = 16;

/// Most servers of one host that are tried (RFC 3263 §4.3 has no limit; nobody waits for more).
const TARGETS_MAX: usize = 8;

/// Size from which a request must not go over UDP when the path MTU is not known (RFC 3261 §18.1.1).
const DATAGRAM_BYTES_MAX: usize = 1300;

impl Core {
    /// Sends a request in a new client transaction, after a look-up if need be.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        owner: Owner,
        outgoing: Outgoing,
        destination: Destination,
    ) -> Result<Attempt, Error> {
        match self.known_target(destination) {
            Ok(target) => self.send_to(now, owner, outgoing, target).map(Attempt::Sent),
            Err((host, port, transport)) => {
                let id = self.ask(now, owner, outgoing, None, host, port, transport)?;
                Ok(Attempt::Resolving(id))
            }
        }
    }

    /// Sends the ACK of a 2xx, which has no transaction of its own, and leaves it with that of the INVITE.
    pub(crate) fn send_ack(
        &mut self,
        now: Instant,
        invite: Id,
        tag: &str,
        outgoing: Outgoing,
        destination: Destination,
    ) {
        match self.known_target(destination) {
            Ok(target) => self.send_ack_to(invite, tag, &outgoing, target),
            Err((host, port, transport)) => {
                // A full table of look-ups loses the ACK; the 2xx comes again and so does this.
                let ack_of = Some((invite, tag.into()));
                let _ = self.ask(now, Owner::Nobody, outgoing, ack_of, host, port, transport);
            }
        }
    }

    fn send_ack_to(&mut self, invite: Id, tag: &str, outgoing: &Outgoing, target: Target) {
        let branch = self.random();
        let Ok((message, target)) = self.complete(outgoing, target, branch) else { return };
        let transmit = Transmit { target, bytes: message.bytes().clone() };
        if let Some(client) = self.transactions.client_mut(invite)
            && let crate::transaction::ClientMachine::Invite(machine) = &mut client.machine
        {
            machine.remember_ack(tag, transmit.clone());
        }
        self.transmit(transmit);
    }

    fn send_to(
        &mut self,
        now: Instant,
        owner: Owner,
        outgoing: Outgoing,
        target: Target,
    ) -> Result<Id, Error> {
        if self.transactions.clients() >= self.config.limits.transactions {
            return Err(Error::Full("transactions"));
        }
        let branch = self.random();
        let (message, target) = self.complete(&outgoing, target, branch)?;
        Ok(self.start(now, owner, message, branch, target))
    }

    /// Sends the CANCEL of an INVITE of ours, which then goes to no other server (RFC 3261 §9.1).
    pub(crate) fn send_cancel(&mut self, now: Instant, owner: Owner, invite: Id, headers: &Headers) {
        let Some(client) = self.transactions.client_mut(invite) else { return };
        client.retry = None;
        let target = client.target;
        let invite = client.machine.request();
        let branch = invite.top_via().ok().and_then(|via| via.branch().and_then(branch_number));
        let Some((branch, builder)) = branch.zip(cancel_for(invite)) else { return };
        if let Ok(cancel) = self.client_headers(headers.write(builder, is_free)).finish() {
            self.start(now, owner, cancel, branch, target);
        }
    }

    /// Starts a client transaction for a request that has its Via.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        owner: Owner,
        message: Message,
        branch: u64,
        target: Target,
    ) -> Id {
        let values = self.values();
        self.transactions.start_client(
            now,
            &values,
            &mut self.deadlines,
            &mut self.outputs,
            message,
            branch,
            target,
            owner,
        )
    }

    /// Adds Via and Contact for the transport, which is TCP instead of UDP for what is too large.
    fn complete(&self, outgoing: &Outgoing, target: Target, branch: u64) -> Result<(Message, Target), Error> {
        let message = self.addressed(outgoing, target, branch)?;
        let may_switch = self.config.large_over_tcp
            && target.transport == Transport::Udp
            && message.bytes().len() > DATAGRAM_BYTES_MAX
            && self.config.listeners.iter().any(|listener| listener.transport == Transport::Tcp);
        if may_switch {
            let target = Target::new(Transport::Tcp, target.remote);
            return Ok((self.addressed(outgoing, target, branch)?, target));
        }
        Ok((message, target))
    }

    fn addressed(&self, outgoing: &Outgoing, target: Target, branch: u64) -> Result<Message, Error> {
        let request = &outgoing.request;
        let advertised = self
            .advertised(target, outgoing.advertised.as_ref())
            .ok_or(Error::NoListener(target.transport))?;
        let mut via = String::with_capacity(96);
        let _ = write!(via, "SIP/2.0/{} ", via_name(target.transport));
        advertised.write(&mut via);
        let _ = write!(via, ";branch={MAGIC_COOKIE}{}", hex(branch));
        let _ = write!(via, "{:08x}", self.loop_mark(request.uri_text()));
        if target.transport == Transport::Udp {
            via.push_str(";rport");
        }
        let mut builder = request.builder().header(Name::Via, via).copy_where(request, |_, _| true);
        if let Some(contact) = &outgoing.contact {
            builder = builder.header(Name::Contact, contact_value(contact, advertised, target.transport));
        }
        if let Some(content_type) = request.raw(Name::ContentType) {
            builder = builder.body(content_type, request.body().clone());
        }
        Ok(builder.finish()?)
    }

    /// Returns our Contact for a peer that is reached over a target.
    pub(crate) fn contact_for(
        &self,
        contact: &Contact,
        target: Target,
        own: Option<&Advertised>,
    ) -> Option<String> {
        Some(contact_value(contact, self.advertised(target, own)?, target.transport))
    }

    /// Returns what stands in Via and Contact: the peer's own, or that of the listener that sends.
    fn advertised<'a>(&'a self, target: Target, own: Option<&'a Advertised>) -> Option<&'a Advertised> {
        if own.is_some() {
            return own;
        }
        let of_transport =
            || self.config.listeners.iter().filter(|listener| listener.transport == target.transport);
        let same_socket = |local| of_transport().find(move |listener| listener.local == local);
        let same_family =
            || of_transport().find(|listener| listener.local.is_ipv4() == target.remote.is_ipv4());
        target
            .local
            .and_then(same_socket)
            .or_else(same_family)
            .or_else(|| of_transport().next())
            .map(|listener| &listener.advertised)
    }

    /// Returns the part of a branch by which we know a request of ours that comes back: RFC 5393 §4.2.2 with what
    /// decides where we send it, the Request-URI.
    pub(super) fn loop_mark(&self, uri: &str) -> u32 {
        // FNV-1a, keyed: a mark that somebody forges only makes his own request a loop.
        let hash = uri.bytes().fold(self.loop_key ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        (hash >> 32) as u32 ^ hash as u32
    }

    fn known_target(
        &self,
        destination: Destination,
    ) -> Result<Target, (String, Option<u16>, Option<Transport>)> {
        match destination {
            Destination::Target(target) => Ok(target),
            Destination::Host { host, port, transport } => match Host::parse_prefix(&host) {
                Some((Host::Ip(ip), "")) => {
                    let transport = transport.unwrap_or(Transport::Udp);
                    let port = port.unwrap_or(transport.default_port());
                    Ok(Target::new(transport, (ip, port).into()))
                }
                Some((Host::Ip(_) | Host::Name(_), _)) | None => Err((host, port, transport)),
            },
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one question")]
    fn ask(
        &mut self,
        now: Instant,
        owner: Owner,
        outgoing: Outgoing,
        ack_of: Option<(Id, Box<str>)>,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<Id, Error> {
        if self.queries.len() >= self.config.limits.queries {
            return Err(Error::Full("look-ups"));
        }
        let mut timers = Timers::new();
        timers.set(Timer::Resolve, now + std::time::Duration::from_secs(RESOLVE_SECS_MAX));
        let id = self.queries.insert(Query { outgoing, owner, ack_of, timers, armed: None });
        if let Some(query) = self.queries.get_mut(id) {
            self.deadlines.arm(Who::Query(id), &mut query.armed, query.timers.soonest());
        }
        self.outputs.push_back(Output::Resolve { query: QueryId(id.to_u64()), host, port, transport });
        Ok(id)
    }

    /// Forgets a look-up whose request is not wanted any more, or that took too long. Returns whose it was.
    pub(crate) fn forget_query(&mut self, id: Id) -> Option<Owner> {
        self.queries.remove(id).map(|query| query.owner)
    }

    /// Sends what waited for a look-up. Returns whose it was and, if it could be sent, its transaction.
    pub(crate) fn resolved(
        &mut self,
        now: Instant,
        id: Id,
        targets: Vec<Target>,
    ) -> Option<(Owner, Option<Id>)> {
        let query = self.queries.remove(id)?;
        let mut targets: VecDeque<Target> = targets.into_iter().take(TARGETS_MAX).collect();
        let Some(first) = targets.pop_front() else { return Some((query.owner, None)) };
        if let Some((invite, tag)) = query.ack_of {
            self.send_ack_to(invite, &tag, &query.outgoing, first);
            return None;
        }
        let client = self.send_to(now, query.owner, query.outgoing.clone(), first).ok();
        if let Some(id) = client
            && let Some(client) = self.transactions.client_mut(id)
            && !targets.is_empty()
        {
            client.retry = Some(Box::new(Retry { outgoing: query.outgoing, targets }));
        }
        Some((query.owner, client))
    }

    /// Sends a request that failed at one server of a host to the next one. Returns its new transaction.
    pub(crate) fn send_elsewhere(&mut self, now: Instant, failed: Id) -> Option<(Owner, Id)> {
        let client = self.transactions.client_mut(failed)?;
        let owner = client.owner;
        let mut retry = client.retry.take()?;
        let target = retry.targets.pop_front()?;
        let id = self.send_to(now, owner, retry.outgoing.clone(), target).ok()?;
        if let Some(client) = self.transactions.client_mut(failed) {
            client.owner = Owner::Nobody;
        }
        if let Some(client) = self.transactions.client_mut(id)
            && !retry.targets.is_empty()
        {
            client.retry = Some(retry);
        }
        Some((owner, id))
    }
}

fn contact_value(contact: &Contact, advertised: &Advertised, transport: Transport) -> String {
    let mut text = String::with_capacity(64);
    text.push_str(if transport == Transport::Tls { "<sips:" } else { "<sip:" });
    if let Some(user) = &contact.user {
        text.push_str(user);
        text.push('@');
    }
    advertised.write(&mut text);
    match transport {
        Transport::Udp | Transport::Tls => {}
        Transport::Tcp => text.push_str(";transport=tcp"),
        Transport::Wss => text.push_str(";transport=ws"),
    }
    text.push('>');
    text
}

/// Returns where a URI says that requests go (RFC 3261 §8.1.2, RFC 3263 §4.1); nothing when it does not say.
pub(crate) fn destination_of(uri: &Uri<'_>) -> Option<Destination> {
    let transport = match uri.params().value("transport") {
        Some(name) if name.eq_ignore_ascii_case("tcp") => Some(Transport::Tcp),
        Some(name) if name.eq_ignore_ascii_case("udp") => Some(Transport::Udp),
        Some(name) if name.eq_ignore_ascii_case("tls") => Some(Transport::Tls),
        Some(name) if name.eq_ignore_ascii_case("ws") => Some(Transport::Wss),
        Some(_) | None => None,
    };
    let transport = match uri.scheme() {
        crate::uri::Scheme::Sips if transport != Some(Transport::Wss) => Some(Transport::Tls),
        crate::uri::Scheme::Sip | crate::uri::Scheme::Sips => transport,
        crate::uri::Scheme::Tel | crate::uri::Scheme::Other => return None,
    };
    let host = match uri.params().value("maddr") {
        Some(maddr) => maddr.to_owned(),
        None => uri.host()?.to_string(),
    };
    Some(Destination::Host { host, port: uri.port(), transport })
}

/// Whether a method takes part in dialogs' target refresh, and so carries Contact (RFC 3261 §12.2, RFC 3311 §5.1).
pub(crate) fn carries_contact(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Refer | Method::Subscribe | Method::Notify)
}
