//! What every request shares.

use crate::console::LiveCalls;
use crate::keys::KeySet;
use crate::limits::{Limits, Rates};
use crate::phone_numbers::UnderWay;
use crate::relay::RelaySettings;
use crate::sip_routing::Reach;
use crate::sms::SmsSettings;
use crate::tenants::Tenants;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};
use trunkline_numbers::RuleBook;
pub use trunkline_numbers::nanp::Environment;
use trunkline_storage::{Store, Subscription, Topic};

/// What every request shares. Clones share it.
#[derive(Clone)]
pub struct State(Arc<Shared>);

/// The contents of [`State`].
pub struct Shared {
    /// The database.
    pub store: Store,
    /// The rules of provisioning in force; whoever reloads them swaps them here.
    pub rules: Arc<ArcSwap<RuleBook>>,
    /// What the operator set.
    pub settings: Settings,
    pub(crate) purchases: UnderWay,
    pub(crate) limits: Limits,
    pub(crate) keys: ArcSwapOption<KeySet>,
    pub(crate) tenants: Tenants,
    live_calls: OnceLock<Box<dyn LiveCalls>>,
    clock: Clock,
}

/// What the operator set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether the fictional numbers 555-0100 to 555-0199 may be sold (NUM-10, NUM-11).
    pub environment: Environment,
    /// The URL under which this service is reached, without a slash at its end: the issuer of user tokens in
    /// the OpenID document.
    pub issuer: String,
    /// How much each tenant may ask for in a time.
    pub rates: Rates,
    /// The resource (by name) that gets every request whose host belongs to no other.
    pub default_resource: Option<String>,
    /// Most requests in progress at once, all tenants together; those whose body is on its way do not count.
    pub requests_max: usize,
    /// Longest body.
    pub body_bytes_max: usize,
    /// Where the trunks of resources may be.
    pub reach: Reach,
    /// About texts.
    pub sms: SmsSettings,
    /// The STUN and TURN servers that clients are told of.
    pub relay: RelaySettings,
}

/// Where the time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// From the operating system.
    System,
    /// From whoever sets it, in milliseconds since the Unix epoch.
    Set(Arc<AtomicI64>),
}

/// What two cores answer in a tenth of a second; whoever comes when so many wait is better told to come again.
const REQUESTS_MAX: usize = 512;

/// The largest body that a client sends, 250 trunks with 250 routes, is below 700 KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;

impl Settings {
    /// The settings of an operator who changed nothing else.
    pub fn new(environment: Environment, issuer: impl Into<String>) -> Self {
        Self {
            environment,
            issuer: issuer.into(),
            rates: Rates::default(),
            default_resource: None,
            requests_max: REQUESTS_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            reach: Reach::default(),
            sms: SmsSettings::default(),
            relay: RelaySettings::default(),
        }
    }
}

impl State {
    /// Puts together what every request shares.
    pub fn new(store: Store, rules: Arc<ArcSwap<RuleBook>>, settings: Settings, clock: Clock) -> Self {
        let limits = Limits::new(settings.rates, settings.requests_max);
        let (purchases, keys) = (UnderWay::default(), ArcSwapOption::empty());
        let (tenants, live_calls) = (Tenants::new(&store), OnceLock::new());
        Self(Arc::new(Shared { store, rules, settings, purchases, limits, keys, tenants, live_calls, clock }))
    }

    /// Says who knows the calls that are up now. Without that, none are shown; only the first one counts.
    pub fn show_calls(&self, live: impl LiveCalls + 'static) {
        // Set already: the process has one media plane.
        let _ = self.live_calls.set(Box::new(live));
    }

    pub(crate) fn live_calls(&self) -> Option<&dyn LiveCalls> {
        self.live_calls.get().map(AsRef::as_ref)
    }

    /// Returns the time, in milliseconds since the Unix epoch.
    pub fn now_unix_ms(&self) -> i64 {
        match &self.clock {
            Clock::System => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
            }
            Clock::Set(unix_ms) => unix_ms.load(Ordering::Relaxed),
        }
    }

    /// Returns where word comes that numbers, their owners, trunks or routes changed: the routing table has to
    /// be built again.
    pub fn changed(&self) -> Subscription {
        self.store.subscribe(Topic::Routing)
    }
}

impl Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
