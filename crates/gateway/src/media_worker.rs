//! Media workers: each an OS thread that owns bridges and their sockets.
//!
//! A packet is received, handed to its bridge and sent on by one thread, without a lock, a queue or an
//! allocation. Readiness is level triggered and one packet is read for each event, so that no call is spent
//! on finding a socket empty.
//!
//! All browsers of a worker share one socket, and a hub finds whose a packet is. A browser's side of a bridge has no
//! sockets: what the bridge sends there goes through the hub.

mod browsers;
mod gather;
mod slots;

pub(crate) use browsers::BrowserSocket;

use crate::metrics::{Metrics, WorkerMetrics};
use browsers::Browsers;
use gather::Gather;
use rustix::event::epoll;
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fd::OwnedFd;
use slots::{Slot, SlotId, Slots};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc as async_mpsc, oneshot};
use trunkline_call::{BridgeCommand, BridgeEvent, BridgeStats, OpenBridge, Side};
use trunkline_media::{BROWSER, Channel, ComplexityGovernor};
use trunkline_model::{BridgeId, CallId};
use trunkline_webrtc::{Event, PathQuality};

/// Events handed in at once by the system. More only delays commands and timers.
const READY_MAX: usize = 128;

/// Largest packet taken. G.711 at 30 ms is 252 bytes with its header; RTCP compounds stay below an Ethernet frame.
const PACKET_BYTES_MAX: usize = 2048;

/// The mark of the wake-up descriptor; no socket has it.
const WAKE: u64 = u64::MAX;

/// The mark of the socket of all browsers; no other socket has it.
const BROWSERS: u64 = u64::MAX - 1;

/// Packets of browsers read at a time. They share a socket, so that one for each event would cost a call each.
const BROWSER_PACKETS_MAX: usize = 32;

/// How often it is looked at how busy a worker is.
const BUSY_INTERVAL: Duration = Duration::from_secs(1);

/// How soon events are offered again that signalling had no room for.
const OFFER_AGAIN: Duration = Duration::from_millis(5);

/// An event of a bridge on its way to signalling.
pub(crate) type Report = (BridgeId, BridgeEvent);

/// The threads, as signalling sees them.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Handle>,
}

#[derive(Debug)]
struct Handle {
    commands: mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
    metrics: Arc<WorkerMetrics>,
    thread: Option<JoinHandle<()>>,
}

/// Commands need no limit of their own: each belongs to an admitted call, and those are limited.
#[derive(Debug)]
enum Command {
    Open(Slot),
    Update {
        id: BridgeId,
        command: BridgeCommand,
    },
    Close {
        id: BridgeId,
    },
    /// Tell what the legs of all bridges have seen so far.
    Look(oneshot::Sender<Vec<(CallId, BridgeStats)>>),
    /// End the thread.
    Stop,
}

/// Who looks at the bridges of all workers from outside.
#[derive(Debug, Clone)]
pub(crate) struct Observer(Vec<(mpsc::Sender<Command>, Arc<OwnedFd>)>);

impl Observer {
    /// Returns what the legs of every bridge have seen so far, for people: it takes each worker a moment from its packets.
    pub(crate) async fn look(&self) -> Vec<(CallId, BridgeStats)> {
        let mut all = Vec::new();
        for (commands, wake) in &self.0 {
            let (answer, seen) = oneshot::channel();
            // A worker that has ended has no bridges.
            if commands.send(Command::Look(answer)).is_ok() {
                let _ = rustix::io::write(wake, &1u64.to_ne_bytes());
                all.extend(seen.await.unwrap_or_default());
            }
        }
        all
    }
}

impl Workers {
    /// Starts the threads, each with one of the sockets for browsers, if there are any.
    pub(crate) fn start(
        count: usize,
        browsers: Vec<BrowserSocket>,
        metrics: &Metrics,
        reports: &async_mpsc::Sender<Report>,
    ) -> io::Result<Self> {
        let mut browsers = browsers.into_iter();
        let workers = (0..count.max(1)).map(|index| {
            let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
            let (commands, received) = mpsc::channel();
            let metrics = metrics.worker();
            let worker =
                Worker::new(received, &wake, browsers.next(), reports.clone(), Arc::clone(&metrics))?;
            let thread = std::thread::Builder::new().name(format!("media-{index}"));
            let thread = Some(thread.spawn(move || worker.run())?);
            Ok(Handle { commands, wake, metrics, thread })
        });
        Ok(Self { workers: workers.collect::<io::Result<_>>()? })
    }

    /// Returns who may look at the bridges.
    pub(crate) fn observer(&self) -> Observer {
        Observer(
            self.workers.iter().map(|worker| (worker.commands.clone(), Arc::clone(&worker.wake))).collect(),
        )
    }

    /// Binds the ports of a bridge and gives it to its worker. Returns false when they can't be bound, or the worker is
    /// gone.
    ///
    /// The ports are bound here and not by the worker: a peer that is told of them sends to them at once, however long
    /// the worker has not had its turn on a busy machine.
    pub(crate) fn open(&self, open: OpenBridge) -> bool {
        let (id, sockets) = (open.bridge, [open.caller, open.callee]);
        match Slot::bind(open) {
            Ok(slot) => self.send(id, Command::Open(slot)),
            Err(error) => {
                tracing::error!(bridge = id.0, ?sockets, %error, "media ports could not be bound");
                if let Some(worker) = self.worker_of(id) {
                    worker.metrics.bind_failures.add(1);
                }
                false
            }
        }
    }

    /// Changes a bridge.
    pub(crate) fn update(&self, id: BridgeId, command: BridgeCommand) {
        self.send(id, Command::Update { id, command });
    }

    /// Ends a bridge; its statistics come back.
    pub(crate) fn close(&self, id: BridgeId) {
        self.send(id, Command::Close { id });
    }

    fn send(&self, id: BridgeId, command: Command) -> bool {
        let Some(worker) = self.worker_of(id) else { return false };
        let sent = worker.commands.send(command).is_ok();
        worker.wake();
        sent
    }

    fn worker_of(&self, id: BridgeId) -> Option<&Handle> {
        self.workers.get(id.worker(self.workers.len()))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for mut worker in self.workers.drain(..) {
            // Fails when the thread has ended by itself.
            let _ = worker.commands.send(Command::Stop);
            worker.wake();
            if let Some(thread) = worker.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

impl Handle {
    fn wake(&self) {
        // Fails only when the counter is full, and then the thread is awake.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// What one turn had.
struct Turn {
    packets: usize,
    /// Whether there is more to take than it took.
    behind: bool,
}

/// One thread's state.
struct Worker {
    commands: mpsc::Receiver<Command>,
    wake: Arc<OwnedFd>,
    epoll: OwnedFd,
    slots: Slots,
    browsers: Option<Browsers>,
    load: Load,
    /// When slots want to be woken. An entry that is no longer the slot's own is skipped.
    timers: BinaryHeap<Reverse<(Instant, SlotId)>>,
    /// The slot that is being worked on: the one to blame for a panic.
    current: Option<SlotId>,
    reports: async_mpsc::Sender<Report>,
    /// Reports that signalling had no room for; a bridge has a handful in its life.
    unsent: VecDeque<Report>,
    metrics: Arc<WorkerMetrics>,
    packet: Box<[u8; PACKET_BYTES_MAX]>,
    gather: Gather,
    stopped: bool,
}

impl Worker {
    fn new(
        commands: mpsc::Receiver<Command>,
        wake: &Arc<OwnedFd>,
        browsers: Option<BrowserSocket>,
        reports: async_mpsc::Sender<Report>,
        metrics: Arc<WorkerMetrics>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let browsers = browsers.map(|socket| Browsers::new(socket, Arc::clone(&metrics)));
        if let Some(Browsers { socket, .. }) = &browsers {
            epoll::add(&epoll, socket, epoll::EventData::new_u64(BROWSERS), epoll::EventFlags::IN)?;
        }
        Ok(Self {
            browsers,
            load: Load::new(Instant::now()),
            commands,
            wake: Arc::clone(wake),
            epoll,
            slots: Slots::default(),
            timers: BinaryHeap::new(),
            current: None,
            reports,
            unsent: VecDeque::new(),
            metrics,
            packet: Box::new([0; PACKET_BYTES_MAX]),
            gather: Gather::new(Instant::now()),
            stopped: false,
        })
    }

    fn run(mut self) {
        let mut ready = Vec::with_capacity(READY_MAX);
        while !self.stopped {
            ready.clear();
            let wait = self.wait();
            let wait = wait.as_ref();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), wait) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "epoll failed: the media worker ends");
                    return;
                }
            }
            // A panic is a bug in one bridge; the other calls of this thread go on.
            let Ok(Turn { packets, behind }) = catch_unwind(AssertUnwindSafe(|| self.turn(&ready))) else {
                self.blame();
                continue;
            };
            if self.gather.turned(Instant::now(), packets) && !behind {
                std::thread::sleep(gather::MOMENT);
            }
        }
    }

    /// Handles commands, then what is ready, then timers.
    ///
    /// Commands come first, also those whose wake-up is not among the events yet: a peer that has been told of a change
    /// sends accordingly, and signalling gives the command before it tells the peer.
    fn turn(&mut self, ready: &[epoll::Event]) -> Turn {
        let now = Instant::now();
        let mut turn = Turn { packets: 0, behind: ready.len() == READY_MAX };
        if ready.iter().any(|event| event.data.u64() == WAKE) {
            // Before the commands are taken: one that comes in between wakes again.
            let _ = rustix::io::read(&*self.wake, &mut [0u8; 8]);
        }
        self.take_commands(now);
        for event in ready {
            match event.data.u64() {
                WAKE => {}
                BROWSERS => {
                    let taken = self.browsers_readable(now);
                    turn.packets += taken;
                    turn.behind |= taken == BROWSER_PACKETS_MAX;
                }
                mark => {
                    self.readable(now, mark);
                    turn.packets += 1;
                }
            }
        }
        self.fire(now);
        self.report();
        self.shed(now);
        turn
    }

    /// Spends less on coding when the worker is about to run out of time.
    fn shed(&mut self, now: Instant) {
        let Some(complexity) = self.load.handled(now, Instant::now()) else { return };
        self.metrics.opus_complexity_max.set(complexity.into());
        for slot in self.slots.iter_mut() {
            slot.bridge.set_complexity_max(complexity);
        }
    }

    /// Returns how long to wait at most.
    fn wait(&mut self) -> Option<Timespec> {
        let now = Instant::now();
        let timer = self.timers.peek().map(|Reverse((at, _))| at.saturating_duration_since(now));
        let again = (!self.unsent.is_empty()).then_some(OFFER_AGAIN);
        let browsers = self.browsers.as_ref().and_then(|browsers| browsers.hub.poll_timeout());
        let browsers = browsers.map(|at| at.saturating_duration_since(now));
        let wait = [timer, again, browsers].into_iter().flatten().min();
        // Not a nanosecond short: waking early would spin until the time has come.
        wait.and_then(|wait| Timespec::try_from(wait).ok())
    }

    fn readable(&mut self, now: Instant, mark: u64) {
        let (id, side, channel) = slots::unmark(mark);
        let Some(slot) = self.slots.get_mut(id) else { return };
        self.current = Some(id);
        let Some(socket) = slot.socket(side, channel) else { return };
        let (length, source) = match socket.recv_from(&mut self.packet[..]) {
            Ok(received) => received,
            // Readiness may be spurious: a packet with a bad checksum is found out only here.
            Err(_) => return,
        };
        self.metrics.packets_received.add(1);
        self.metrics.bytes_received.add(length as u64);
        // A packet that fills the buffer was cut.
        if length < PACKET_BYTES_MAX
            && let Some(packet) = self.packet.get(..length)
        {
            slot.bridge.handle_datagram(now, side, channel, source, packet);
        }
        self.drain(now, id);
    }

    /// Takes packets of browsers to their bridges, and returns how many.
    fn browsers_readable(&mut self, now: Instant) -> usize {
        for taken in 0..BROWSER_PACKETS_MAX {
            let Some(browsers) = &mut self.browsers else { return taken };
            let Ok((length, source)) = browsers.socket.recv_from(&mut self.packet[..]) else { return taken };
            self.metrics.packets_received.add(1);
            self.metrics.bytes_received.add(length as u64);
            if length < PACKET_BYTES_MAX
                && let Some(packet) = self.packet.get(..length)
            {
                browsers.handle_datagram(now, source, packet);
                self.drain_browsers(now);
            }
        }
        BROWSER_PACKETS_MAX
    }

    /// Hands what browsers said to their bridges, and what became of them to signalling.
    fn drain_browsers(&mut self, now: Instant) {
        loop {
            let Some(browsers) = &mut self.browsers else { return };
            let Some(((id, side), packet)) = browsers.hub.poll_rtp() else { break };
            self.current = Some(id);
            if let Some(slot) = self.slots.get_mut(id) {
                slot.bridge.handle_datagram(now, side, Channel::Rtp, BROWSER, packet);
            }
            self.drain(now, id);
        }
        let Some(browsers) = &mut self.browsers else { return };
        browsers.flush();
        while let Some(((slot, side), event)) = browsers.hub.poll_event() {
            let Some(slot) = self.slots.get_mut(slot) else { continue };
            if let Event::Reported(PathQuality { fraction_lost, rtt }) = event {
                slot.bridge.set_path(side, fraction_lost, rtt);
            }
            self.unsent.extend(browsers.tell(slot.id, side, event));
        }
    }

    fn take_commands(&mut self, now: Instant) {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Open(slot)) => self.open(now, slot),
                Ok(Command::Update { id, command }) => {
                    let Some(slot) = self.slots.find(id) else { continue };
                    self.current = Some(slot);
                    self.update_browser(now, slot, &command);
                    if let Some(held) = self.slots.get_mut(slot) {
                        held.bridge.apply(now, command);
                    }
                    self.drain(now, slot);
                }
                Ok(Command::Close { id }) => {
                    if let Some(slot) = self.slots.find(id) {
                        self.close(now, slot);
                    }
                }
                Ok(Command::Look(answer)) => {
                    let seen = self.slots.iter().map(|slot| (slot.call, slot.bridge.stats())).collect();
                    // Whoever asked may have gone away.
                    let _ = answer.send(seen);
                }
                Err(mpsc::TryRecvError::Empty) => return,
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => {
                    self.stopped = true;
                    return;
                }
            }
        }
    }

    /// Does what a command says of a browser.
    fn update_browser(&mut self, now: Instant, slot: SlotId, command: &BridgeCommand) {
        let (Some(browsers), Some(held)) = (&mut self.browsers, self.slots.get(slot)) else { return };
        match command {
            BridgeCommand::Browser { side, transport } => {
                let refused = browsers.agree(now, (slot, *side), transport);
                self.unsent.extend(refused.and_then(|event| browsers.tell(held.id, *side, event)));
            }
            BridgeCommand::NewLeg { side, .. } => browsers.close(now, (slot, *side)),
            BridgeCommand::Negotiated { .. }
            | BridgeCommand::Gate(_)
            | BridgeCommand::Digits { .. }
            | BridgeCommand::SilenceMax(_) => return,
        }
        self.drain_browsers(now);
    }

    fn open(&mut self, now: Instant, mut slot: Slot) {
        let id = slot.id;
        slot.bridge.set_complexity_max(self.load.complexity_max());
        let slot = self.slots.insert(slot);
        if let Err(error) = self.register(slot) {
            tracing::error!(bridge = id.0, %error, "media sockets could not be watched");
            self.slots.remove(slot);
            self.metrics.bind_failures.add(1);
            self.unsent.push_back((id, BridgeEvent::Failed));
        }
        self.metrics.bridges.set(self.slots.len() as u64);
        self.drain(now, slot);
    }

    fn register(&self, id: SlotId) -> io::Result<()> {
        let Some(slot) = self.slots.get(id) else { return Ok(()) };
        for side in Side::BOTH {
            for channel in [Channel::Rtp, Channel::Rtcp] {
                let mark = epoll::EventData::new_u64(slots::mark(id, side, channel));
                if let Some(socket) = slot.socket(side, channel) {
                    epoll::add(&self.epoll, socket, mark, epoll::EventFlags::IN)?;
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, now: Instant, slot: SlotId) {
        self.current = Some(slot);
        let Some(held) = self.slots.get_mut(slot) else { return };
        held.bridge.close(now);
        self.drain(now, slot);
        if let Some(browsers) = &mut self.browsers {
            for side in Side::BOTH {
                browsers.close(now, (slot, side));
            }
        }
        let Some(Slot { id, bridge, sockets, .. }) = self.slots.remove(slot) else { return };
        let stats = bridge.stats();
        // Before the report: it says that the ports may be used again.
        drop(sockets);
        for leg in [&stats.caller, &stats.callee].into_iter().flatten() {
            self.metrics.packets_lost.add(leg.packets_lost);
            self.metrics.packets_refused.add(leg.packets_refused);
        }
        self.metrics.bridges.set(self.slots.len() as u64);
        self.unsent.push_back((id, BridgeEvent::Closed(stats)));
    }

    fn fire(&mut self, now: Instant) {
        if let Some(browsers) = &mut self.browsers
            && browsers.hub.poll_timeout().is_some_and(|due| due <= now)
        {
            browsers.hub.handle_timeout(now);
            self.drain_browsers(now);
        }
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.timer == Some(at)) else { continue };
            slot.timer = None;
            self.current = Some(id);
            if slot.bridge.poll_timeout().is_some_and(|(due, _)| due <= now) {
                slot.bridge.handle_timeout(now);
            }
            self.drain(now, id);
        }
    }

    /// Sends what a bridge has to send, takes its events and notes when it wants to be woken.
    fn drain(&mut self, now: Instant, id: SlotId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        while let Some((side, transmit)) = slot.bridge.poll_transmit() {
            let Some(socket) = slots::pick(&slot.sockets, side, transmit.channel) else {
                if let Some(browsers) = &mut self.browsers {
                    browsers.hub.send_rtp(now, (id, side), transmit.bytes);
                    browsers.flush();
                }
                continue;
            };
            match socket.send_to(transmit.bytes, transmit.remote) {
                Ok(length) => {
                    self.metrics.packets_sent.add(1);
                    self.metrics.bytes_sent.add(length as u64);
                }
                Err(_) => self.metrics.send_failures.add(1),
            }
        }
        while let Some(event) = slot.bridge.poll_event() {
            self.unsent.push_back((slot.id, event));
        }
        // Timers mostly move later with every packet: the entry is left, and looked at when it fires.
        let Some((due, _)) = slot.bridge.poll_timeout() else { return };
        if slot.timer.is_none_or(|timer| due < timer) {
            slot.timer = Some(due);
            self.timers.push(Reverse((due, id)));
        }
    }

    fn report(&mut self) {
        while let Some(report) = self.unsent.pop_front() {
            match self.reports.try_send(report) {
                Ok(()) => {}
                Err(async_mpsc::error::TrySendError::Full(report)) => {
                    self.unsent.push_front(report);
                    return;
                }
                // Signalling has ended; so will this thread.
                Err(async_mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }

    /// Drops the bridge that panicked.
    fn blame(&mut self) {
        // Commands may be left that the panic came before.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        self.metrics.panics.add(1);
        // If the panic came in a browser's leg, that is the one to blame.
        let abandoned = self.browsers.as_mut().and_then(|browsers| browsers.hub.abandon());
        let blamed = abandoned.map(|(slot, _)| slot).or(self.current.take());
        let Some((at, slot)) = blamed.and_then(|id| Some((id, self.slots.remove(id)?))) else { return };
        if let Some(browsers) = &mut self.browsers {
            for side in Side::BOTH {
                browsers.close(Instant::now(), (at, side));
            }
        }
        tracing::error!(bridge = slot.id.0, "a bridge panicked and was dropped");
        let id = slot.id;
        drop(slot);
        self.metrics.bridges.set(self.slots.len() as u64);
        self.unsent.push_back((id, BridgeEvent::Failed));
    }
}

/// How busy a worker is.
struct Load {
    governor: ComplexityGovernor,
    /// When the interval began.
    since: Instant,
    /// Time spent in it on anything but waiting.
    busy: Duration,
}

impl Load {
    fn new(now: Instant) -> Self {
        Self { governor: ComplexityGovernor::default(), since: now, busy: Duration::ZERO }
    }

    /// Notes a turn. Returns the greatest complexity of Opus from now on, if that has changed.
    fn handled(&mut self, began: Instant, ended: Instant) -> Option<u8> {
        self.busy += ended - began;
        let interval = ended - self.since;
        if interval < BUSY_INTERVAL {
            return None;
        }
        let busy = self.busy.as_secs_f32() / interval.as_secs_f32();
        (self.since, self.busy) = (ended, Duration::ZERO);
        self.governor.handle_interval(busy)
    }

    fn complexity_max(&self) -> u8 {
        self.governor.complexity_max()
    }
}

#[cfg(test)]
mod tests;
