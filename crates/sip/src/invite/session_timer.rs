//! Session timers in both refresher roles (RFC 4028).

use std::time::{Duration, Instant};

use trunkline_model::SessionTimerPolicy;

use crate::header::{Name, Params};
use crate::message::Message;
use crate::timer::{Timer, Timers};

/// What was agreed about refreshing a session, and what we ask for.
#[derive(Debug, Clone)]
pub(crate) struct SessionTimer {
    policy: SessionTimerPolicy,
    /// The largest Min-SE seen, which later requests must not go below (RFC 4028 §7.4).
    min: Duration,
    agreed: Option<Agreed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Agreed {
    interval: Duration,
    we_refresh: bool,
}

/// What Session-Expires says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionExpires {
    pub(crate) interval: Duration,
    /// Who of the transaction refreshes, if it is said.
    pub(crate) refresher: Option<Refresher>,
}

/// A role in the transaction that carries Session-Expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresher {
    Client,
    Server,
}

/// The smallest interval there may be (RFC 4028 §4).
const INTERVAL_MIN: Duration = Duration::from_secs(90);

/// Longest interval believed: a day. More is as good as none, and would overflow timers.
const INTERVAL_SECS_MAX: u64 = 86_400;

impl SessionTimer {
    pub(crate) fn new(policy: SessionTimerPolicy) -> Self {
        Self { policy, min: policy.min.max(INTERVAL_MIN), agreed: None }
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.policy.expires.is_zero()
    }

    /// Returns the fields of a request that asks for a timer, or keeps the one there is.
    pub(crate) fn request_headers(&self) -> Vec<(Name, String)> {
        if !self.is_on() {
            return Vec::new();
        }
        let (interval, refresher) = match self.agreed {
            // We are the client of this request, so the roles are named from here.
            Some(agreed) if agreed.we_refresh => (agreed.interval, ";refresher=uac"),
            Some(agreed) => (agreed.interval, ";refresher=uas"),
            None => (self.policy.expires, ""),
        };
        let interval = interval.max(self.min).as_secs();
        let mut headers = vec![(Name::SessionExpires, format!("{interval}{refresher}"))];
        if self.min > INTERVAL_MIN {
            headers.push((Name::MinSe, self.min.as_secs().to_string()));
        }
        headers
    }

    /// Returns the Min-SE to reject a request with by 422, if its interval is too small for us (RFC 4028 §9).
    pub(crate) fn refusal(&self, request: &Message) -> Option<String> {
        let asked = session_expires(request)?;
        let least = self.policy.min.max(INTERVAL_MIN);
        let too_small = asked.interval < least && request.lists(Name::Supported, "timer");
        (self.is_on() && too_small).then(|| least.as_secs().to_string())
    }

    /// Takes a 422 to a request of ours: from now on we ask for at least what it says (RFC 4028 §7.4).
    ///
    /// Returns false if it says nothing new, so that asking again would not help.
    pub(crate) fn raise(&mut self, response: &Message) -> bool {
        let Some(min) = min_se(response).filter(|min| *min > self.min) else { return false };
        self.min = min;
        true
    }

    /// Agrees on a timer in the 2xx that we give to an INVITE or UPDATE, and returns the fields for it
    /// (RFC 4028 §9, table 2).
    pub(crate) fn accept(&mut self, request: &Message) -> Vec<(Name, String)> {
        if !self.is_on() {
            return Vec::new();
        }
        let peer_can = request.lists(Name::Supported, "timer");
        let floor = min_se(request).unwrap_or(INTERVAL_MIN).max(INTERVAL_MIN);
        // One below the smallest there may be, of a peer that would not understand 422, is as good as none: else
        // it would have us refresh without pause.
        let asked = session_expires(request).filter(|asked| asked.interval >= INTERVAL_MIN);
        // Not above what is asked, not below the Min-SE of the request.
        let wished = self.agreed.map_or(self.policy.expires, |agreed| agreed.interval).max(self.min);
        let interval = match asked {
            Some(asked) => asked.interval.min(wished.max(floor)),
            None => wished.max(floor),
        };
        let refresher = match asked.and_then(|asked| asked.refresher) {
            Some(Refresher::Client) if peer_can => Refresher::Client,
            Some(Refresher::Server) => Refresher::Server,
            Some(Refresher::Client) | None if !peer_can => Refresher::Server,
            Some(Refresher::Client) | None => match self.agreed {
                Some(agreed) if agreed.we_refresh => Refresher::Server,
                Some(_) | None => Refresher::Client,
            },
        };
        self.agreed = Some(Agreed { interval, we_refresh: refresher == Refresher::Server });
        let (name, require) = match refresher {
            Refresher::Client => ("uac", true),
            Refresher::Server => ("uas", false),
        };
        let mut headers = vec![(Name::SessionExpires, format!("{};refresher={name}", interval.as_secs()))];
        if require {
            headers.push((Name::Require, "timer".to_owned()));
        }
        headers
    }

    /// Takes what the 2xx to our INVITE or UPDATE says (RFC 4028 §7.2).
    pub(crate) fn agree(&mut self, response: &Message) {
        let Some(said) = session_expires(response).filter(|_| self.is_on()) else {
            // A peer that does not know timers never says one, and is refreshed by us alone; one that does has
            // turned it off (RFC 4028 §7.2).
            let peer_can = response.lists(Name::Supported, "timer");
            self.agreed = self.agreed.filter(|agreed| agreed.we_refresh && !peer_can);
            return;
        };
        let we_refresh = said.refresher != Some(Refresher::Server);
        self.agreed = Some(Agreed { interval: said.interval.max(INTERVAL_MIN), we_refresh });
    }

    /// Starts the timers anew after a refresh.
    pub(crate) fn restart<const N: usize>(&self, now: Instant, timers: &mut Timers<N>) {
        timers.stop(Timer::Refresh);
        timers.stop(Timer::SessionExpiry);
        let Some(agreed) = self.agreed else { return };
        if agreed.we_refresh {
            timers.set(Timer::Refresh, now + agreed.interval / 2);
        }
        // RFC 4028 §10: the smaller of 32 s and a third of the interval before it is over.
        let margin = Duration::from_secs(32).min(agreed.interval / 3);
        timers.set(Timer::SessionExpiry, now + agreed.interval - margin);
    }
}

pub(crate) fn session_expires(message: &Message) -> Option<SessionExpires> {
    let value = message.header(Name::SessionExpires)?;
    let (interval, params) = value.split_once(';').unwrap_or((value, ""));
    let refresher = match Params::new(params).value("refresher") {
        Some(role) if role.eq_ignore_ascii_case("uac") => Some(Refresher::Client),
        Some(role) if role.eq_ignore_ascii_case("uas") => Some(Refresher::Server),
        Some(_) | None => None,
    };
    Some(SessionExpires { interval: seconds(interval)?, refresher })
}

pub(crate) fn min_se(message: &Message) -> Option<Duration> {
    let value = message.header(Name::MinSe)?;
    seconds(value.split(';').next().unwrap_or_default())
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: u64 = text.trim_ascii().parse().ok()?;
    Some(Duration::from_secs(seconds.min(INTERVAL_SECS_MAX)))
}
