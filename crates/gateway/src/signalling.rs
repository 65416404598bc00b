//! The signalling task: one thread drives one B2BUA and its SIP sockets.

use crate::app::unix_ms;
use crate::authenticator::Questions;
use crate::config::StreamLimits;
use crate::dns::{Question, Resolver};
use crate::journal::JournalSender;
use crate::media_worker::{Report, Workers};
use crate::metrics::{MessageKind, Metrics};
use crate::net::{Bound, Known, Net, ws};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tracing::{error, info};
use trunkline_api::sip_routing::Reach;
use trunkline_call::{B2bua, BridgeEvent, Finding, Input, Output, QuestionId, RoutingTable};
use trunkline_model::{BridgeId, UserAddress};
use trunkline_sip::user_agent::Input as SipInput;

/// Messages handled before timers and commands get their turn.
const MESSAGES_A_TURN: usize = 64;

/// Longest sleep, so that the heartbeat shows a task that turns.
const TURN_MAX: Duration = Duration::from_secs(1);

/// How often gauges are brought up to date.
const GAUGES_EVERY: Duration = Duration::from_millis(200);

/// The same for what there is of each trunk.
const TRUNKS_EVERY: Duration = Duration::from_secs(1);

/// Reports of media workers that wait. Bridges have a handful of events each, and workers hold back what finds
/// no room.
pub(crate) const REPORTS_MAX: usize = 16 * 1024;

/// Commands that wait; there are a few in the life of a process.
const COMMANDS_MAX: usize = 16;

/// After this many panics within [`PANICS_WITHIN`] the process ends, for a supervisor to start afresh: something
/// is broken that going on does not mend.
const PANICS_MAX: usize = 10;

/// See [`PANICS_MAX`].
const PANICS_WITHIN: Duration = Duration::from_secs(60);

/// What signalling can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Route new calls by this table.
    SetRoutes(Arc<RoutingTable>),
    /// Tokens of a user that were issued before that second of the Unix epoch are revoked.
    Revoke {
        /// The user.
        user: UserAddress,
        /// The second.
        issued_before: i64,
    },
    /// Take no new calls, and end when the last call has.
    Drain,
    /// End all calls with BYE, and then end, when the answers have come or at the latest after that time.
    EndAll {
        /// How long to wait for the answers.
        within: Duration,
    },
}

/// The running task.
#[derive(Debug)]
pub(crate) struct Handle {
    /// Its commands.
    pub(crate) commands: mpsc::Sender<Command>,
    /// Its thread; the result says whether it ended as it was told.
    pub(crate) thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

/// What the task is made of.
pub(crate) struct Parts {
    pub(crate) b2bua: B2bua,
    pub(crate) bound: Bound,
    /// Browsers, as they connect.
    pub(crate) web_sockets: ws::Sockets,
    /// Questions about who is asking, and their answers.
    pub(crate) authenticator: (Questions, mpsc::Receiver<Input>),
    pub(crate) streams: StreamLimits,
    /// Where the names of resources may lead.
    pub(crate) reach: Reach,
    pub(crate) workers: Workers,
    pub(crate) reports: mpsc::Receiver<Report>,
    pub(crate) journal: JournalSender,
    pub(crate) metrics: Arc<Metrics>,
}

/// Starts the task on a thread of its own. `ended` is told when the thread ends, whatever the reason.
pub(crate) fn start(parts: Parts, ended: mpsc::Sender<()>) -> std::io::Result<Handle> {
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("signalling".to_owned()).spawn(move || {
        let result = runtime.block_on(async {
            let task = Signalling::new(parts, received)?;
            task.run().await
        });
        // Look-ups that are still under way are nobody's any more.
        runtime.shutdown_background();
        // The receiver may be gone when the process is ending anyway.
        let _ = ended.try_send(());
        result
    })?;
    Ok(Handle { commands, thread })
}

struct Signalling {
    b2bua: B2bua,
    net: Net,
    workers: Workers,
    reports: mpsc::Receiver<Report>,
    commands: mpsc::Receiver<Command>,
    resolver: Resolver,
    answers: mpsc::UnboundedReceiver<SipInput>,
    questions: Questions,
    findings: mpsc::Receiver<Input>,
    journal: JournalSender,
    metrics: Arc<Metrics>,
    stage: Stage,
    /// Bridges that could not be opened, to be reported as failed.
    failed: Vec<BridgeId>,
    /// Questions that could not be asked.
    unanswered: Vec<QuestionId>,
    /// When the INVITE being handled was read.
    invite_read: Option<Instant>,
    gauges_due: Instant,
    trunks_due: Instant,
    panics: Vec<Instant>,
}

/// How far the end of the process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining,
    Ending { until: Instant },
}

impl Signalling {
    fn new(parts: Parts, commands: mpsc::Receiver<Command>) -> anyhow::Result<Self> {
        let Parts {
            b2bua,
            bound,
            web_sockets,
            authenticator: (questions, findings),
            streams,
            reach,
            workers,
            reports,
            journal,
            metrics,
        } = parts;
        let mut listeners =
            bound.udp.iter().map(|(_, local)| local).chain(bound.tcp.iter().map(|(_, local)| local));
        let (ipv4, ipv6) =
            (listeners.clone().any(|local| local.is_ipv4()), listeners.any(|local| local.is_ipv6()));
        let (resolver, answers) = Resolver::new(ipv4, ipv6, reach);
        let known = Known::Trunks(Arc::clone(b2bua.routes()));
        let net = Net::new(bound, web_sockets, streams, known, Arc::clone(&metrics))?;
        let now = Instant::now();
        Ok(Self {
            b2bua,
            net,
            workers,
            reports,
            commands,
            resolver,
            answers,
            questions,
            findings,
            journal,
            metrics,
            stage: Stage::Serving,
            failed: Vec::new(),
            unanswered: Vec::new(),
            invite_read: None,
            gauges_due: now,
            trunks_due: now,
            panics: Vec::new(),
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        // What the B2BUA wants from the start: probes of the gateways.
        self.act(|_, _| ())?;
        self.turn()?;
        loop {
            let wake = self.wake_at(Instant::now());
            let mut command = None;
            let mut input = None;
            tokio::select! {
                biased;
                // The process drops its end only when it is ending itself.
                received = self.commands.recv() => match received {
                    Some(received) => command = Some(received),
                    None => return Ok(()),
                },
                Some((bridge, event)) = self.reports.recv() => input = Some(Input::Bridge { bridge, event }),
                Some(answer) = self.answers.recv() => input = Some(Input::Sip(answer)),
                Some(finding) = self.findings.recv() => input = Some(finding),
                () = self.net.ready() => {}
                () = sleep_until(wake.into()) => {}
            }
            if let Some(command) = command {
                self.obey(command)?;
            }
            if let Some(input) = input {
                self.act(|b2bua, now| b2bua.handle_input(now, input))?;
            }
            self.turn()?;
            if self.is_over(Instant::now()) {
                return Ok(());
            }
        }
    }

    /// Takes a bounded share of whatever is there, then timers.
    fn turn(&mut self) -> anyhow::Result<()> {
        let woken = Instant::now();
        for _ in 0..MESSAGES_A_TURN {
            let Ok((bridge, event)) = self.reports.try_recv() else { break };
            self.act(|b2bua, now| b2bua.handle_input(now, Input::Bridge { bridge, event }))?;
        }
        for _ in 0..MESSAGES_A_TURN {
            let Some(input) = self.net.receive() else { break };
            if matches!(&input, SipInput::Received { bytes, .. } if MessageKind::of(bytes) == MessageKind::Invite)
            {
                self.invite_read = Some(woken);
            }
            self.act(|b2bua, now| b2bua.handle_input(now, Input::Sip(input)))?;
            self.invite_read = None;
        }
        while let Some(bridge) = self.failed.pop() {
            let event = BridgeEvent::Failed;
            self.act(|b2bua, now| b2bua.handle_input(now, Input::Bridge { bridge, event }))?;
        }
        while let Some(id) = self.unanswered.pop() {
            let input = Input::Authenticated { id, finding: Finding::Unavailable };
            self.act(|b2bua, now| b2bua.handle_input(now, input))?;
        }
        let now = Instant::now();
        if self.b2bua.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.act(B2bua::handle_timeout)?;
        }
        if now >= self.gauges_due {
            self.gauges_due = now + GAUGES_EVERY;
            self.gauges(now);
        }
        Ok(())
    }

    /// Has the B2BUA do something and carries out what comes of it.
    ///
    /// A panic costs the call it happened in; what the other calls have is theirs alone. Should that call not even be
    /// ended, the process ends.
    fn act(&mut self, action: impl FnOnce(&mut B2bua, Instant)) -> anyhow::Result<()> {
        let now = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| action(&mut self.b2bua, now))).is_err() {
            self.metrics.panics.add(1);
            let ended = catch_unwind(AssertUnwindSafe(|| self.b2bua.abandon_current(now)));
            let ended =
                ended.map_err(|_| anyhow::anyhow!("signalling panicked, and again over the broken call"))?;
            error!(call_ended = ended, "signalling panicked; the other calls go on");
            self.panics.retain(|at| now.saturating_duration_since(*at) < PANICS_WITHIN);
            self.panics.push(now);
            anyhow::ensure!(
                self.panics.len() <= PANICS_MAX,
                "signalling panicked {PANICS_MAX} times in a minute"
            );
        }
        while let Some(output) = self.b2bua.poll_output() {
            self.carry_out(output);
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Transmit(transmit) => {
                if let Some(read) = self.invite_read
                    && MessageKind::of(&transmit.bytes) == MessageKind::Trying
                {
                    self.metrics.invite_to_trying.note(read.elapsed());
                }
                self.net.send(transmit);
            }
            Output::Resolve { query, host, port, transport } => {
                self.resolver.ask(Question { query, host, port, transport });
            }
            Output::Authenticate { id, question } => {
                // It has as much room as there may be questions; without it they count as unanswered.
                if let Err(error) = self.questions.try_send((id, question)) {
                    tracing::warn!(%error, "nobody can say who is asking");
                    self.unanswered.push(id);
                }
            }
            Output::OpenBridge(open) => {
                let bridge = open.bridge;
                if !self.workers.open(open) {
                    self.failed.push(bridge);
                }
            }
            Output::UpdateBridge { bridge, command } => self.workers.update(bridge, command),
            Output::CloseBridge { bridge } => self.workers.close(bridge),
            Output::Event(event) => self.journal.send(event),
        }
    }

    fn obey(&mut self, command: Command) -> anyhow::Result<()> {
        match command {
            Command::SetRoutes(table) => {
                info!(trunks = table.trunks().len(), "routes replaced");
                self.net.set_known(Known::Trunks(Arc::clone(&table)));
                self.act(|b2bua, now| b2bua.set_routes(now, table))?;
            }
            Command::Revoke { user, issued_before } => {
                self.act(|b2bua, _| b2bua.revoke_tokens(&user, issued_before))?;
            }
            Command::Drain => {
                info!(calls = self.b2bua.counts().calls, "draining: no new calls");
                self.metrics.draining.store(true, Ordering::Relaxed);
                if self.stage == Stage::Serving {
                    self.stage = Stage::Draining;
                }
                self.act(|b2bua, _| b2bua.drain_calls())?;
            }
            Command::EndAll { within } => {
                info!(calls = self.b2bua.counts().calls, "ending all calls");
                self.metrics.draining.store(true, Ordering::Relaxed);
                let until = Instant::now() + within;
                // Being told again never makes it last longer.
                let until =
                    if let Stage::Ending { until: before } = self.stage { before.min(until) } else { until };
                self.stage = Stage::Ending { until };
                self.act(B2bua::end_all)?;
            }
        }
        Ok(())
    }

    fn is_over(&self, now: Instant) -> bool {
        match self.stage {
            Stage::Serving => false,
            Stage::Draining => self.b2bua.is_idle(),
            Stage::Ending { until } => now >= until || self.b2bua.is_idle(),
        }
    }

    fn wake_at(&self, now: Instant) -> Instant {
        if !self.failed.is_empty() || !self.unanswered.is_empty() {
            return now;
        }
        let mut wake = now + TURN_MAX;
        if let Some((due, _)) = self.b2bua.poll_timeout() {
            wake = wake.min(due);
        }
        if let Stage::Ending { until } = self.stage {
            wake = wake.min(until);
        }
        wake
    }

    fn gauges(&mut self, now: Instant) {
        let (counts, sip) = (self.b2bua.counts(), self.b2bua.sip_counts());
        self.metrics.beat(now);
        self.metrics.calls_active.set(counts.calls as u64);
        self.metrics.rtp_ports_in_use.set(counts.ports as u64);
        self.metrics.transactions.set((sip.client_transactions + sip.server_transactions) as u64);
        self.metrics.sip_malformed.catch_up(sip.malformed);
        self.metrics.sip_stray.catch_up(sip.stray);
        self.metrics.sip_overloaded.catch_up(sip.overloaded);
        let totals = self.b2bua.totals();
        self.metrics.strangers_turned_away.catch_up(self.b2bua.totals().turned_away);
        self.metrics.calls_from_strangers_ignored.catch_up(totals.ignored);
        self.metrics.calls_unreported.catch_up(totals.refused_unreported);
        self.metrics.stream_connections.set(self.net.connections() as u64);
        if now >= self.trunks_due {
            self.trunks_due = now + TRUNKS_EVERY;
            self.b2bua.set_clock(now, unix_ms());
            self.metrics.trunks(self.b2bua.trunk_load());
        }
    }
}
