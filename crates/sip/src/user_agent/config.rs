//! What a user agent is told when it is made.

use trunkline_model::{Reliability, SessionTimerPolicy};

use crate::method::Method;
use crate::timer::TimerValues;
use crate::transport::{Advertised, Listener};

/// The settings of a user agent.
#[derive(Debug, Clone)]
pub struct Config {
    /// The sockets of the shell. The first of a transport is what new requests over it show.
    pub listeners: Vec<Listener>,
    /// The base values of all timers.
    pub timers: TimerValues,
    /// What stands in User-Agent and Server; empty to show neither.
    pub product: String,
    /// Methods that are handed to the owner besides those of INVITE sessions: OPTIONS, INFO, REFER, NOTIFY,
    /// MESSAGE… Every other method gets 405. OPTIONS that is not listed is answered with 200 by the user agent.
    pub methods: Vec<Method>,
    /// Further methods that are handed to the owner, and that Allow does not name: they are for some peers only.
    pub unadvertised: Vec<Method>,
    /// How sessions behave unless their owner says otherwise.
    pub profile: Profile,
    /// Whether a request over UDP that is larger than 1300 bytes goes over TCP (RFC 3261 §18.1.1).
    pub large_over_tcp: bool,
    /// The limits of the tables.
    pub limits: Limits,
}

/// How the sessions with one peer behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What stands in Via and Contact towards this peer instead of what the listener has.
    pub advertised: Option<Advertised>,
    /// Reliable provisional responses.
    pub reliability: Reliability,
    /// Session timers.
    pub session_timer: SessionTimerPolicy,
    /// Whether requests in a dialog go to where the peer's messages come from, if its Contact or route names an
    /// address that only its own network reaches, while its messages come from a public one: it is behind NAT and
    /// does not know. Over datagrams; over a stream they always take the peer's connection.
    pub follow_source: bool,
}

/// The limits of a user agent's tables. What would pass them is answered 503 with Retry-After, or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most transactions at once, both roles counted apart.
    ///
    /// A call takes about ten in its life, and over UDP one stays 32 s after it is done: 1,000 calls/s are
    /// 200,000 at a time for both legs in each role.
    pub transactions: usize,
    /// Most INVITE sessions at once. A B2BUA has two a call.
    pub sessions: usize,
    /// Most early dialogs of one INVITE. Serial and parallel forking by carriers stays below ten.
    pub forks: usize,
    /// Most outputs that wait to be polled. The owner drains after each input, which makes at most a few dozen;
    /// beyond that new requests get 503.
    pub outputs: usize,
    /// Most look-ups under way.
    pub queries: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            timers: TimerValues::default(),
            product: "Trunkline".to_owned(),
            methods: Vec::new(),
            unadvertised: Vec::new(),
            profile: Profile::default(),
            large_over_tcp: false,
            limits: Limits::default(),
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            advertised: None,
            reliability: Reliability::Supported,
            session_timer: SessionTimerPolicy::default(),
            follow_source: true,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { transactions: 400_000, sessions: 50_000, forks: 12, outputs: 100_000, queries: 1_000 }
    }
}
