use super::*;
use crate::app::free_ports;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use trunkline_call::{Bridge, BridgeConfig, Gate, MediaSocket};
use trunkline_media::opus::Settings;
use trunkline_media::{Direction, Negotiated, Payload, PayloadMap};
use trunkline_model::{Codec, NodeId};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Longest wait for what should happen at once; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    workers: Workers,
    reports: async_mpsc::Receiver<Report>,
    metrics: Metrics,
    first_port: u16,
}

impl World {
    fn new() -> Self {
        let metrics = Metrics::default();
        let (sender, reports) = async_mpsc::channel(16);
        let workers = Workers::start(1, Vec::new(), &metrics, &sender).unwrap();
        let first_port = *free_ports(LOCALHOST, 4).unwrap().start();
        Self { workers, reports, metrics, first_port }
    }

    fn open(&self, id: BridgeId) -> bool {
        let socket = |rtp_port| MediaSocket::Rtp { bind: LOCALHOST, rtp_port };
        let state = Box::new(Bridge::new(BridgeConfig { seed: 7, ..BridgeConfig::default() }));
        let (caller, callee) = (socket(self.first_port), socket(self.first_port + 2));
        let call = CallId { node: NodeId(1), serial: id.0 };
        self.workers.open(OpenBridge { bridge: id, call, caller, callee, state })
    }

    fn agree(&self, id: BridgeId, side: Side, phone: &UdpSocket) {
        let mut formats = PayloadMap::new(20);
        formats.push(0, Payload::Audio(Codec::Pcmu));
        let remote = phone.local_addr().unwrap();
        let negotiated = Negotiated {
            remote_rtp: remote,
            remote_rtcp: remote,
            rtcp_mux: false,
            send: formats,
            receive: formats,
            direction: Direction::SendRecv,
            opus: Settings::default(),
        };
        self.workers.update(id, BridgeCommand::Negotiated { side, negotiated });
    }

    fn report(&mut self) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let next = async { tokio::time::timeout(PATIENCE, self.reports.recv()).await };
        runtime.block_on(next).expect("no report came").expect("the worker has ended")
    }
}

fn phone() -> UdpSocket {
    let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn rtp(sequence: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 0, 0, sequence, 0, 0, 0, sequence.wrapping_mul(160), 1, 2, 3, 4];
    packet.extend([sequence; 160]);
    packet
}

#[test]
fn what_one_side_sends_the_other_hears_and_the_ports_are_free_afterwards() {
    let mut world = World::new();
    let (id, caller, callee) = (BridgeId(3), phone(), phone());
    assert!(world.open(id));
    world.agree(id, Side::Caller, &caller);
    world.agree(id, Side::Callee, &callee);
    world.workers.update(id, BridgeCommand::Gate(Gate::Open));

    caller.send_to(&rtp(1), (LOCALHOST, world.first_port)).unwrap();
    let mut buffer = [0; 2048];
    let (length, source) = callee.recv_from(&mut buffer).expect("the callee hears nothing");
    assert_eq!(source.port(), world.first_port + 2, "from the port that the callee knows");
    assert_eq!(length, 172);
    assert_ne!(buffer[12], 0);

    assert_eq!(world.report(), (id, BridgeEvent::FirstRtp(Side::Caller)));
    world.workers.close(id);
    let (closed, BridgeEvent::Closed(stats)) = world.report() else { panic!("not closed") };
    assert_eq!(closed, id);
    assert!(stats.caller.unwrap().packets_received >= 1);
    for port in world.first_port..world.first_port + 4 {
        UdpSocket::bind((LOCALHOST, port)).unwrap();
    }
    assert!(world.metrics.render().contains("trunkline_bridges{worker=\"0\"} 0\n"));
}

/// A worker that has its turns when the test says so.
fn world_and_worker() -> (World, Worker) {
    let metrics = Metrics::default();
    let (sender, reports) = async_mpsc::channel(16);
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap());
    let (commands, received) = mpsc::channel();
    let counted = metrics.worker();
    let worker = Worker::new(received, &wake, None, sender, Arc::clone(&counted)).unwrap();
    let workers = Workers { workers: vec![Handle { commands, wake, metrics: counted, thread: None }] };
    let first_port = *free_ports(LOCALHOST, 4).unwrap().start();
    (World { workers, reports, metrics, first_port }, worker)
}

#[test]
fn what_arrives_before_the_worker_has_its_turn_is_heard() {
    let (world, mut worker) = world_and_worker();
    let (id, caller, callee) = (BridgeId(0), phone(), phone());
    assert!(world.open(id));
    world.agree(id, Side::Caller, &caller);
    world.agree(id, Side::Callee, &callee);
    world.workers.update(id, BridgeCommand::Gate(Gate::Open));
    caller.send_to(&rtp(1), (LOCALHOST, world.first_port)).unwrap();

    worker.turn(&[]);
    let mut ready = Vec::with_capacity(READY_MAX);
    epoll::wait(&worker.epoll, rustix::buffer::spare_capacity(&mut ready), None).unwrap();
    worker.turn(&ready);
    assert_eq!(callee.recv(&mut [0; 2048]).unwrap(), 172);
}

#[test]
fn a_packet_sent_after_a_change_meets_the_change_though_both_wait() {
    let (world, mut worker) = world_and_worker();
    let (id, caller, callee) = (BridgeId(0), phone(), phone());
    assert!(world.open(id));
    world.agree(id, Side::Caller, &caller);
    world.agree(id, Side::Callee, &callee);
    worker.turn(&[]);

    world.workers.update(id, BridgeCommand::Gate(Gate::Open));
    caller.send_to(&rtp(1), (LOCALHOST, world.first_port)).unwrap();
    let mut ready = Vec::with_capacity(READY_MAX);
    epoll::wait(&worker.epoll, rustix::buffer::spare_capacity(&mut ready), None).unwrap();
    // The system may tell of the packet first, or of the command in the next turn only.
    ready.retain(|event| event.data.u64() != WAKE);
    assert_eq!(ready.len(), 1);
    worker.turn(&ready);

    assert_eq!(callee.recv(&mut [0; 2048]).unwrap(), 172);
}

#[test]
fn a_port_that_is_taken_is_reported_and_nothing_is_left_open() {
    let mut world = World::new();
    let taken = UdpSocket::bind((LOCALHOST, world.first_port + 3)).unwrap();
    assert!(!world.open(BridgeId(1)));
    assert!(world.metrics.render().contains("trunkline_rtp_bind_failures_total{worker=\"0\"} 1\n"));
    drop(taken);
    assert!(world.open(BridgeId(2)));
    world.workers.close(BridgeId(2));
    let (id, BridgeEvent::Closed(_)) = world.report() else { panic!("not closed") };
    assert_eq!(id, BridgeId(2));
}

#[test]
fn a_worker_ends_with_its_owner() {
    let World { workers, mut reports, .. } = World::new();
    drop(workers);
    assert!(reports.blocking_recv().is_none(), "its thread holds no sender any more");
}
