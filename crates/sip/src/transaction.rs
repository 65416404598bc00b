//! Transactions: their tables, and which one a message belongs to (RFC 3261 §17, RFC 6026).

mod client_invite;
mod client_other;
mod server_invite;
mod server_other;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use trunkline_model::Transport;

pub(crate) use client_invite::ClientInvite;
pub(crate) use client_other::ClientOther;
pub(crate) use server_invite::ServerInvite;
pub(crate) use server_other::ServerOther;

use crate::header::{Name, Via, items};
use crate::message::{Message, MessageBuilder};
use crate::method::Method;
use crate::timer::{Timer, TimerValues};
use crate::transport::{ConnectionId, Flow, Target, fallback_target, response_target};
use crate::user_agent::deadlines::{Armed, Deadlines, Who};
use crate::user_agent::send::Retry;
use crate::user_agent::table::{Id, Table};
use crate::user_agent::{Output, Owner};

/// Whether a message concerns the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Absorb,
}

/// What came of a timer of a client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lapse {
    Nothing,
    TimedOut,
}

/// All transactions of a user agent.
#[derive(Debug)]
pub(crate) struct Transactions {
    clients: Table<Client>,
    servers: Table<Server>,
    by_branch: HashMap<ClientKey, Id>,
    by_key: HashMap<Box<[u8]>, Id>,
    /// Requests outside of dialogs, by what two copies of one request that took different paths have in common.
    by_origin: HashMap<Box<[u8]>, Id>,
    /// Client transactions that wait for a final response, by where they were sent.
    by_remote: BTreeSet<(Transport, SocketAddr, Id)>,
    /// Server transactions, by the connection that the response goes on.
    by_connection: BTreeSet<(ConnectionId, Id)>,
    /// Room to put a key together in without allocating.
    scratch: Vec<u8>,
}

/// What our client transactions are found by: the random part of the branch, and what kind of request it is, for
/// CANCEL has the branch of its INVITE (RFC 3261 §17.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey {
    branch: u64,
    is_cancel: bool,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) machine: ClientMachine,
    pub(crate) owner: Owner,
    /// How to go on elsewhere if this fails (RFC 3263 §4.3).
    pub(crate) retry: Option<Box<Retry>>,
    pub(crate) target: Target,
    key: ClientKey,
    armed: Option<Armed>,
}

#[derive(Debug)]
pub(crate) enum ClientMachine {
    Invite(ClientInvite),
    Other(ClientOther),
}

#[derive(Debug)]
pub(crate) struct Server {
    machine: ServerMachine,
    /// The session whose INVITE it is, for CANCEL.
    pub(crate) session: Option<Id>,
    request: Message,
    flow: Flow,
    key: Box<[u8]>,
    origin: Option<Box<[u8]>>,
    armed: Option<Armed>,
}

#[derive(Debug)]
enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerOther),
}

/// What a request is to the server transactions there are.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// One that came before, or an ACK that a transaction took.
    Absorbed,
    /// An ACK for a 2xx.
    OkAck,
    /// A copy of one that came before, on another path (RFC 3261 §8.2.2.2).
    Merged,
    /// One that has no transaction yet.
    New,
}

impl Transactions {
    pub(crate) fn new() -> Self {
        Self {
            clients: Table::new(),
            servers: Table::new(),
            by_branch: HashMap::new(),
            by_key: HashMap::new(),
            by_origin: HashMap::new(),
            by_remote: BTreeSet::new(),
            by_connection: BTreeSet::new(),
            scratch: Vec::new(),
        }
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Whether any refusal of an INVITE waits for its ACK.
    pub(crate) fn await_ack(&self) -> bool {
        let mut servers = self.by_key.values().filter_map(|id| self.servers.get(*id));
        servers.any(|server| match &server.machine {
            ServerMachine::Invite(machine) => machine.awaits_ack(),
            ServerMachine::Other(_) => false,
        })
    }

    pub(crate) fn client(&self, id: Id) -> Option<&Client> {
        self.clients.get(id)
    }

    pub(crate) fn client_mut(&mut self, id: Id) -> Option<&mut Client> {
        self.clients.get_mut(id)
    }

    pub(crate) fn server(&self, id: Id) -> Option<&Server> {
        self.servers.get(id)
    }

    pub(crate) fn server_mut(&mut self, id: Id) -> Option<&mut Server> {
        self.servers.get_mut(id)
    }
}

/// Client transactions.
impl Transactions {
    /// Starts a client transaction for a request that has its Via, with that branch.
    #[expect(clippy::too_many_arguments, reason = "the parts of one transaction")]
    pub(crate) fn start_client(
        &mut self,
        now: Instant,
        values: &TimerValues,
        deadlines: &mut Deadlines,
        outputs: &mut VecDeque<Output>,
        request: Message,
        branch: u64,
        target: Target,
        owner: Owner,
    ) -> Id {
        let method = request.method();
        let key = ClientKey { branch, is_cancel: method == Some(&Method::Cancel) };
        let machine = if method == Some(&Method::Invite) {
            ClientMachine::Invite(ClientInvite::new(now, values, request, target, outputs))
        } else {
            ClientMachine::Other(ClientOther::new(now, values, request, target, outputs))
        };
        let id = self.clients.insert(Client { machine, owner, retry: None, target, key, armed: None });
        self.by_branch.insert(key, id);
        self.by_remote.insert((target.transport, target.remote, id));
        self.settle_client(deadlines, id);
        id
    }

    /// Returns the client transaction that a response belongs to (RFC 3261 §17.1.3).
    pub(crate) fn match_response(&self, response: &Message, via: &Via<'_>) -> Option<Id> {
        let method = response.cseq().ok()?.method;
        let branch = branch_number(via.branch()?)?;
        let key = ClientKey { branch, is_cancel: method == Method::Cancel };
        let id = *self.by_branch.get(&key)?;
        let request = self.clients.get(id)?.machine.request();
        (request.method() == Some(&method)).then_some(id)
    }

    /// Gives a response to its transaction; says whether it is for the owner.
    ///
    /// The transaction may be over then; [`settle_client`](Self::settle_client) is for when the owner knows.
    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        values: &TimerValues,
        outputs: &mut VecDeque<Output>,
        id: Id,
        response: &Message,
    ) -> Verdict {
        let Some(client) = self.clients.get_mut(id) else { return Verdict::Absorb };
        match &mut client.machine {
            ClientMachine::Invite(machine) => machine.handle_response(now, values, response, outputs),
            ClientMachine::Other(machine) => machine.handle_response(now, values, response),
        }
    }

    pub(crate) fn handle_client_timeout(
        &mut self,
        now: Instant,
        values: &TimerValues,
        outputs: &mut VecDeque<Output>,
        id: Id,
    ) -> Lapse {
        let Some(client) = self.clients.get_mut(id) else { return Lapse::Nothing };
        client.armed = None;
        match &mut client.machine {
            ClientMachine::Invite(machine) => machine.handle_timeout(now, outputs),
            ClientMachine::Other(machine) => machine.handle_timeout(now, values, outputs),
        }
    }

    /// Makes tables and timers agree with the state of a client transaction; forgets it if it is over.
    pub(crate) fn settle_client(&mut self, deadlines: &mut Deadlines, id: Id) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if !client.machine.is_pending() {
            self.by_remote.remove(&(client.target.transport, client.target.remote, id));
        }
        if client.machine.is_terminated() {
            self.by_branch.remove(&client.key);
            self.clients.remove(id);
            return;
        }
        let soonest = client.machine.poll_timeout();
        deadlines.arm(Who::Client(id), &mut client.armed, soonest);
    }

    /// Ends the client transactions that wait on a transport that failed, and returns them for their owners.
    ///
    /// Over datagrams they are those that have heard nothing yet, and only the one whose message is quoted if there
    /// is a quote: what has been answered has arrived, whatever became of a later copy of it.
    pub(crate) fn fail_clients(
        &mut self,
        (transport, remote, connection): (Transport, SocketAddr, Option<ConnectionId>),
        quoted: Option<&[u8]>,
    ) -> Vec<Id> {
        let first = (transport, remote, Id::from_u64(0));
        let last = (transport, remote, Id::from_u64(u64::MAX));
        let meant = match quoted.map(read_quote) {
            Some(Quote::Request(key)) => match self.by_branch.get(&key) {
                Some(id) => Some(*id),
                None => return Vec::new(),
            },
            Some(Quote::Other) => return Vec::new(),
            Some(Quote::TooShort) | None => None,
        };
        let mut failed = Vec::new();
        for (_, _, id) in self.by_remote.range(first..=last) {
            let fails = |client: &Client| {
                client.target.is_on(connection)
                    && meant.is_none_or(|meant| meant == *id)
                    && (transport.is_reliable() || client.machine.is_unheard())
            };
            if self.clients.get(*id).is_some_and(fails) {
                failed.push(*id);
            }
        }
        for id in &failed {
            if let Some(client) = self.clients.get_mut(*id) {
                client.machine.terminate();
            }
        }
        failed
    }
}

/// Server transactions.
impl Transactions {
    /// Finds out what a request is, and gives it to its transaction if there is one (RFC 3261 §17.2.3).
    pub(crate) fn handle_request(
        &mut self,
        now: Instant,
        values: &TimerValues,
        deadlines: &mut Deadlines,
        outputs: &mut VecDeque<Output>,
        request: &Message,
    ) -> Arrival {
        let Some(method) = request.method() else { return Arrival::Absorbed };
        write_key(&mut self.scratch, request, method);
        if let Some(&id) = self.by_key.get(self.scratch.as_slice()) {
            return self.handle_again(now, values, deadlines, outputs, id, method);
        }
        if *method == Method::Ack {
            return Arrival::OkAck;
        }
        if *method != Method::Cancel
            && write_origin(&mut self.scratch, request)
            && self.by_origin.contains_key(self.scratch.as_slice())
        {
            return Arrival::Merged;
        }
        Arrival::New
    }

    fn handle_again(
        &mut self,
        now: Instant,
        values: &TimerValues,
        deadlines: &mut Deadlines,
        outputs: &mut VecDeque<Output>,
        id: Id,
        method: &Method,
    ) -> Arrival {
        let Some(server) = self.servers.get_mut(id) else { return Arrival::Absorbed };
        let verdict = match &mut server.machine {
            ServerMachine::Invite(machine) if *method == Method::Ack => machine.handle_ack(now, values),
            ServerMachine::Invite(machine) => {
                machine.handle_request(outputs);
                Verdict::Absorb
            }
            ServerMachine::Other(machine) => {
                machine.handle_request(outputs);
                Verdict::Absorb
            }
        };
        self.settle_server(deadlines, id);
        match verdict {
            Verdict::Pass => Arrival::OkAck,
            Verdict::Absorb => Arrival::Absorbed,
        }
    }

    /// Starts a server transaction.
    pub(crate) fn start_server(&mut self, request: Message, flow: Flow) -> Id {
        let target = response_target(&request, flow);
        let method = request.method().cloned().unwrap_or(Method::Options);
        let machine = if method == Method::Invite {
            ServerMachine::Invite(ServerInvite::new(target))
        } else {
            ServerMachine::Other(ServerOther::new(target))
        };
        write_key(&mut self.scratch, &request, &method);
        let key: Box<[u8]> = self.scratch.as_slice().into();
        // A merged request leaves the origin to the first copy.
        let is_first = method != Method::Cancel
            && write_origin(&mut self.scratch, &request)
            && !self.by_origin.contains_key(self.scratch.as_slice());
        let origin: Option<Box<[u8]>> = is_first.then(|| self.scratch.as_slice().into());
        let id = self.servers.insert(Server {
            machine,
            session: None,
            request,
            flow,
            key: key.clone(),
            origin: origin.clone(),
            armed: None,
        });
        self.by_key.insert(key, id);
        if let Some(origin) = origin {
            self.by_origin.insert(origin, id);
        }
        if let Some(connection) = target.connection {
            self.by_connection.insert((connection, id));
        }
        id
    }

    /// Lets copies of a request on other paths count as requests of their own.
    pub(crate) fn forget_origin(&mut self, id: Id) {
        if let Some(origin) = self.servers.get_mut(id).and_then(|server| server.origin.take()) {
            self.by_origin.remove(&origin);
        }
    }

    /// Returns the INVITE that a CANCEL is for (RFC 3261 §9.2).
    pub(crate) fn match_cancel(&mut self, cancel: &Message) -> Option<Id> {
        write_key(&mut self.scratch, cancel, &Method::Invite);
        self.by_key.get(self.scratch.as_slice()).copied()
    }

    /// Whether a request belongs to a transaction that is here.
    pub(crate) fn knows(&mut self, request: &Message) -> bool {
        let Some(method) = request.method() else { return false };
        if *method == Method::Cancel && self.match_cancel(request).is_some() {
            return true;
        }
        write_key(&mut self.scratch, request, method);
        self.by_key.contains_key(self.scratch.as_slice())
    }

    pub(crate) fn respond(
        &mut self,
        now: Instant,
        values: &TimerValues,
        deadlines: &mut Deadlines,
        outputs: &mut VecDeque<Output>,
        id: Id,
        response: &Message,
    ) {
        let Some(server) = self.servers.get_mut(id) else { return };
        match &mut server.machine {
            ServerMachine::Invite(machine) => machine.respond(now, values, response, outputs),
            ServerMachine::Other(machine) => machine.respond(now, values, response, outputs),
        }
        self.settle_server(deadlines, id);
    }

    pub(crate) fn handle_server_timeout(
        &mut self,
        now: Instant,
        values: &TimerValues,
        deadlines: &mut Deadlines,
        outputs: &mut VecDeque<Output>,
        id: Id,
    ) {
        let Some(server) = self.servers.get_mut(id) else { return };
        server.armed = None;
        match &mut server.machine {
            ServerMachine::Invite(machine) => machine.handle_timeout(now, values, outputs),
            ServerMachine::Other(machine) => machine.handle_timeout(now),
        }
        self.settle_server(deadlines, id);
    }

    fn settle_server(&mut self, deadlines: &mut Deadlines, id: Id) {
        let Some(server) = self.servers.get_mut(id) else { return };
        if !server.machine.is_terminated() {
            let soonest = server.machine.poll_timeout();
            deadlines.arm(Who::Server(id), &mut server.armed, soonest);
            return;
        }
        if let Some(server) = self.servers.remove(id) {
            self.by_key.remove(&server.key);
            if let Some(origin) = &server.origin {
                self.by_origin.remove(origin);
            }
            if let Some(connection) = server.flow.connection {
                self.by_connection.remove(&(connection, id));
            }
        }
    }

    /// Points the responses that were to go on a connection to the sent-by address instead (RFC 3261 §18.2.2).
    pub(crate) fn redirect_servers(&mut self, connection: ConnectionId, outputs: &mut VecDeque<Output>) {
        let first = (connection, Id::from_u64(0));
        let last = (connection, Id::from_u64(u64::MAX));
        let ids: Vec<Id> = self.by_connection.range(first..=last).map(|(_, id)| *id).collect();
        for id in ids {
            self.by_connection.remove(&(connection, id));
            let Some(server) = self.servers.get_mut(id) else { continue };
            let Some(target) = fallback_target(&server.request, server.flow) else { continue };
            match &mut server.machine {
                ServerMachine::Invite(machine) => machine.redirect(target, outputs),
                ServerMachine::Other(machine) => machine.redirect(target),
            }
        }
    }
}

impl ClientMachine {
    pub(crate) fn request(&self) -> &Message {
        match self {
            Self::Invite(machine) => machine.request(),
            Self::Other(machine) => machine.request(),
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_pending(),
            Self::Other(machine) => machine.is_pending(),
        }
    }

    /// Whether no response has come yet.
    fn is_unheard(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_unheard(),
            Self::Other(machine) => machine.is_unheard(),
        }
    }

    fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::Other(machine) => machine.is_terminated(),
        }
    }

    pub(crate) fn terminate(&mut self) {
        match self {
            Self::Invite(machine) => machine.terminate(),
            Self::Other(machine) => machine.terminate(),
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Invite(machine) => machine.poll_timeout(),
            Self::Other(machine) => machine.poll_timeout(),
        }
    }
}

impl ServerMachine {
    fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::Other(machine) => machine.is_terminated(),
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::Invite(machine) => machine.poll_timeout(),
            Self::Other(machine) => machine.poll_timeout(),
        }
    }
}

impl Client {
    pub(crate) fn armed(&self) -> Option<Armed> {
        self.armed
    }
}

impl Server {
    pub(crate) fn armed(&self) -> Option<Armed> {
        self.armed
    }

    pub(crate) fn request(&self) -> &Message {
        &self.request
    }

    /// Where its responses go.
    pub(crate) fn target(&self) -> Target {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.target(),
            ServerMachine::Other(_) => response_target(&self.request, self.flow),
        }
    }

    /// Whether a final response is still to be sent.
    pub(crate) fn is_pending(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.is_pending(),
            ServerMachine::Other(machine) => machine.is_pending(),
        }
    }
}

/// Returns the tag of To; empty when there is none.
pub(crate) fn to_tag(message: &Message) -> &str {
    message.to().ok().and_then(|to| to.tag()).unwrap_or_default()
}

/// Returns the tag of From; empty when there is none.
pub(crate) fn from_tag(message: &Message) -> &str {
    message.from().ok().and_then(|from| from.tag()).unwrap_or_default()
}

/// Builds the ACK of a final response other than 2xx (RFC 3261 §17.1.1.3).
fn ack_for_failure(request: &Message, response: &Message) -> Option<Message> {
    sibling(request, Method::Ack)?.header(Name::To, response.raw(Name::To)?).finish().ok()
}

/// Starts the CANCEL of an INVITE (RFC 3261 §9.1).
pub(crate) fn cancel_for(request: &Message) -> Option<MessageBuilder> {
    Some(sibling(request, Method::Cancel)?.copy(request, Name::To))
}

/// Starts a request that shares Via, Route and ids with an INVITE of ours; To is left to add.
fn sibling(request: &Message, method: Method) -> Option<MessageBuilder> {
    let number = request.cseq().ok()?.number;
    let via = request.headers(Name::Via).flat_map(items).next()?;
    let cseq = format!("{number} {method}");
    Some(
        MessageBuilder::request(method, request.uri_text())
            .header(Name::Via, via)
            .header(Name::MaxForwards, "70")
            .copy(request, Name::Route)
            .copy(request, Name::From)
            .copy(request, Name::CallId)
            .header(Name::CSeq, cseq),
    )
}

/// What every branch of RFC 3261 starts with (§8.1.1.7).
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

/// Reads the random part of a branch that we made.
pub(crate) fn branch_number(branch: &str) -> Option<u64> {
    let digits = branch.strip_prefix(MAGIC_COOKIE)?.get(..16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// What an ICMP error quotes of a datagram of ours.
enum Quote {
    /// A request, with the key of its transaction.
    Request(ClientKey),
    /// A response or an ACK: no client transaction waits for it.
    Other,
    /// Not enough to tell.
    TooShort,
}

/// Reads as much of a message of ours as an ICMP error quotes. Via is the first header that we write.
fn read_quote(bytes: &[u8]) -> Quote {
    const BRANCH: &[u8] = b";branch=z9hG4bK";
    if bytes.starts_with(b"SIP/2.0 ") || bytes.starts_with(b"ACK ") {
        return Quote::Other;
    }
    let headers = memchr::memmem::find(bytes, b"\r\n").and_then(|end| bytes.get(end..)).unwrap_or_default();
    let branch = memchr::memmem::find(headers, BRANCH)
        .and_then(|at| headers.get(at + BRANCH.len()..)?.get(..16))
        .and_then(|digits| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
    match branch {
        Some(branch) => Quote::Request(ClientKey { branch, is_cancel: bytes.starts_with(b"CANCEL ") }),
        None => Quote::TooShort,
    }
}

/// Writes what a server transaction is found by (RFC 3261 §17.2.3). An ACK has the key of its INVITE.
fn write_key(key: &mut Vec<u8>, request: &Message, method: &Method) {
    key.clear();
    let method = if *method == Method::Ack { &Method::Invite } else { method };
    if let Ok(via) = request.top_via() {
        match via.branch().filter(|branch| branch.starts_with(MAGIC_COOKIE)) {
            Some(branch) => {
                key.extend_from_slice(branch.as_bytes());
                key.push(0);
                key.extend_from_slice(via.host().to_string().to_ascii_lowercase().as_bytes());
                key.push(b':');
                key.extend_from_slice(&via.port().unwrap_or_default().to_be_bytes());
            }
            None => write_old_key(key, request, method),
        }
    }
    key.push(0);
    key.extend_from_slice(method.as_str().as_bytes());
}

/// Writes what RFC 2543 clients are matched by (RFC 3261 §17.2.3). The tag of To, which an ACK has and its INVITE
/// had not, is left out for INVITE.
fn write_old_key(key: &mut Vec<u8>, request: &Message, method: &Method) {
    let number = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
    key.push(1);
    for part in [
        request.uri_text().as_bytes(),
        from_tag(request).as_bytes(),
        request.call_id().as_bytes(),
        &number.to_be_bytes(),
        request.headers(Name::Via).flat_map(items).next().unwrap_or_default(),
    ] {
        key.extend_from_slice(part);
        key.push(0);
    }
    if *method != Method::Invite {
        key.extend_from_slice(to_tag(request).as_bytes());
    }
}

/// Writes what the copies of one forked request have in common (RFC 3261 §8.2.2.2). Requests in a dialog have none.
fn write_origin(key: &mut Vec<u8>, request: &Message) -> bool {
    if !to_tag(request).is_empty() {
        return false;
    }
    let Ok(cseq) = request.cseq() else { return false };
    key.clear();
    key.extend_from_slice(from_tag(request).as_bytes());
    key.push(0);
    key.extend_from_slice(request.call_id().as_bytes());
    key.push(0);
    key.extend_from_slice(&cseq.number.to_be_bytes());
    key.extend_from_slice(cseq.method.as_str().as_bytes());
    true
}
