//! The REST plane of a running gateway: the router behind HTTPS, and what time does to numbers.

use crate::config::{Config, Http, Sms};
use crate::https::Https;
use crate::metrics::Metrics;
use crate::net::ws::Door;
use crate::rules;
use anyhow::Context;
use arc_swap::ArcSwap;
use axum::Router;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tracing::{error, info};
use trunkline_api::{Clock, Settings, SmsSettings, State, router};
use trunkline_numbers::RuleBook;
use trunkline_storage::Store;

/// How often it is looked what has come due: holds that ran out, months that begin, rests that end.
const UPKEEP_EVERY: Duration = Duration::from_secs(30);

/// The REST plane of a running gateway.
pub(super) struct Rest {
    https: Option<Https>,
    rules: Arc<ArcSwap<RuleBook>>,
    upkeep: JoinHandle<()>,
    state: State,
}

/// What of the configuration is needed after the start.
pub(super) type Sockets = Vec<(TcpListener, SocketAddr)>;

impl Rest {
    /// Starts everything.
    ///
    /// # Errors
    /// The rule tables or the certificate cannot be used.
    pub(super) async fn start(
        config: &Config,
        bound: Sockets,
        (door, carriers): (Option<Arc<Door>>, Router),
        store: &Store,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let rules = Arc::new(ArcSwap::from_pointee(rules::load(&config.numbers)?));
        let local = bound.first().map(|(_, local)| *local);
        let relay = config.relay.settings().context("cannot read the secret of the TURN servers")?;
        let settings = Settings { relay, ..settings(config, local) };
        let state = State::new(store.clone(), Arc::clone(&rules), settings, Clock::System);
        let upkeep = tokio::spawn(upkeep(state.clone()));
        let https = if bound.is_empty() {
            None
        } else {
            let directory = &config.storage.data_dir;
            let router = router(state.clone()).merge(carriers);
            let started = Https::start(bound, &config.http, directory, store, (router, door), metrics);
            Some(started.await.context("cannot serve HTTPS")?)
        };
        Ok(Self { https, rules, upkeep, state })
    }

    /// Returns what requests share: who has tokens of users.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Takes over the rule tables of a configuration that was read again, and looks for another certificate.
    pub(super) fn reload(&self, config: &Config) {
        if let Some(https) = &self.https {
            https.reload();
        }
        match rules::load(&config.numbers) {
            Ok(book) => {
                let (table, version) = (book.active().0.to_owned(), book.active().1.version.clone());
                self.rules.store(Arc::new(book));
                info!(table, version, "rule tables replaced");
            }
            Err(error) => {
                let error = format!("{error:#}");
                error!(error, "the rule tables were not reloaded; the old ones stay in force");
            }
        }
    }

    /// Returns the certificate that clients have to trust, where it is by the development CA.
    pub(super) fn authority(&self) -> Option<PathBuf> {
        self.https.as_ref().and_then(|https| https.authority.clone())
    }

    /// Finishes requests in progress, for that time at most.
    pub(super) async fn stop(self, within: Duration) {
        self.upkeep.abort();
        if let Some(https) = self.https {
            https.stop(within).await;
        }
    }
}

fn settings(config: &Config, local: Option<SocketAddr>) -> Settings {
    let http: &Http = &config.http;
    let issuer = http.issuer(local);
    Settings {
        rates: http.rates,
        default_resource: http.default_resource.clone(),
        requests_max: http.limits.requests_max as usize,
        body_bytes_max: http.limits.body_bytes_max as usize,
        reach: config.reach(),
        sms: sms(&config.sms),
        ..Settings::new(config.numbers.environment, issuer)
    }
}

fn sms(sms: &Sms) -> SmsSettings {
    let short_codes = sms.senders.short_codes.iter();
    SmsSettings {
        opt_out_scope: sms.opt_out_scope,
        validity: sms.validity,
        report_grace: sms.report_grace,
        senders: short_codes.map(|(digits, code)| (digits.clone(), code.resource.clone())).collect(),
    }
}

async fn upkeep(state: State) {
    loop {
        match state.upkeep().await {
            Ok(done) if done.renewed > 0 || done.moved > 0 => {
                info!(renewed = done.renewed, moved = done.moved, "upkeep of numbers");
            }
            Ok(_) => {}
            // The store has logged what it was; the next round tries again.
            Err(error) => error!(code = error.code(), "upkeep of numbers failed"),
        }
        tokio::time::sleep(UPKEEP_EVERY).await;
    }
}
