use super::*;
use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trunkline_sip::transport::Target;

/// Longest wait for what should happen at once; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

const LIMITS: StreamLimits = StreamLimits {
    connections_max: 10,
    per_source_max: 10,
    idle: Duration::from_secs(60),
    message: Duration::from_secs(60),
    connect: Duration::from_secs(5),
    write: Duration::from_secs(60),
};

const OPTIONS: &[u8] = b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n";

struct World {
    net: Net,
    local: SocketAddr,
    metrics: Arc<Metrics>,
}

impl World {
    fn new(limits: StreamLimits) -> Self {
        Self::with(limits, Known::All)
    }

    fn with(limits: StreamLimits, known: Known) -> Self {
        let tcp = vec![bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap()];
        let local = tcp[0].1;
        let metrics = Arc::new(Metrics::default());
        let net = Net::new(
            Bound { udp: Vec::new(), tcp },
            ws::Sockets::none(),
            limits,
            known,
            Arc::clone(&metrics),
        )
        .unwrap();
        Self { net, local, metrics }
    }

    async fn input(&mut self) -> Input {
        let input = async {
            loop {
                if let Some(input) = self.net.receive() {
                    return input;
                }
                self.net.ready().await;
            }
        };
        timeout(PATIENCE, input).await.expect("nothing came")
    }

    async fn peer(&self) -> TcpStream {
        TcpStream::connect(self.local).await.unwrap()
    }
}

/// Reads until the other side closes; a reset is as good.
async fn rest(peer: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = timeout(PATIENCE, peer.read_to_end(&mut read)).await.expect("the connection stays open");
    read
}

#[tokio::test]
async fn a_response_goes_back_on_the_connection_and_a_ping_gets_its_pong() {
    let mut world = World::new(LIMITS);
    let mut peer = world.peer().await;
    peer.write_all(b"\r\n\r\n").await.unwrap();
    peer.write_all(OPTIONS).await.unwrap();
    let Input::Received { flow, bytes } = world.input().await else { panic!("no message") };
    assert_eq!((&bytes[..], flow.remote, flow.local), (OPTIONS, peer.local_addr().unwrap(), world.local));
    world
        .net
        .send(Transmit { target: Target::from(flow), bytes: Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n") });
    let mut read = [0; 20];
    timeout(PATIENCE, peer.read_exact(&mut read)).await.unwrap().unwrap();
    assert_eq!(&read, b"\r\nSIP/2.0 200 OK\r\n\r\n");
}

#[tokio::test]
async fn a_message_that_trickles_in_costs_its_connection() {
    let mut world = World::new(StreamLimits { message: Duration::from_millis(50), ..LIMITS });
    let mut peer = world.peer().await;
    peer.write_all(b"INVITE sip:x").await.unwrap();
    let Input::TransportFailed { remote, connection, .. } = world.input().await else { panic!("not closed") };
    assert_eq!((remote, connection.is_some()), (peer.local_addr().unwrap(), true));
    assert_eq!(rest(&mut peer).await, b"");
    assert_eq!(world.metrics.stream_refusals.value(), 1);
}

#[tokio::test]
async fn a_connection_that_carries_nothing_is_closed() {
    let mut world = World::new(StreamLimits { idle: Duration::from_millis(50), ..LIMITS });
    let mut peer = world.peer().await;
    peer.write_all(OPTIONS).await.unwrap();
    assert!(matches!(world.input().await, Input::Received { .. }));
    assert!(matches!(world.input().await, Input::TransportFailed { .. }));
    assert_eq!(rest(&mut peer).await, b"");
    assert_eq!(world.net.connections(), 0);
}

#[tokio::test]
async fn a_peer_that_connects_must_soon_say_something() {
    let mut world = World::new(StreamLimits { message: Duration::from_millis(50), ..LIMITS });
    let mut peer = world.peer().await;
    // A ping is answered, and is no message.
    peer.write_all(b"\r\n\r\n").await.unwrap();
    assert!(matches!(world.input().await, Input::TransportFailed { .. }));
    assert_eq!(rest(&mut peer).await, b"\r\n");
    assert_eq!(world.metrics.stream_refusals.value(), 1);
}

/// Returns a table with one trunk, whose calls come from that address.
fn trunk_at(source: &str) -> Known {
    let text = format!("[[trunk]]\nname = \"a\"\nsources = [\"{source}\"]\n");
    let config = crate::config::Config::parse(std::path::Path::new("c.toml"), &text).unwrap().config;
    Known::Trunks(Arc::new(trunkline_call::RoutingTable::new(config.trunks, Vec::new(), Vec::new()).unwrap()))
}

#[tokio::test]
async fn strangers_leave_room_for_trunks_and_trunks_leave_room_for_what_we_open() {
    let mut world = World::with(StreamLimits { connections_max: 4, ..LIMITS }, trunk_at("127.0.0.2"));
    let mut stranger = world.peer().await;
    stranger.write_all(OPTIONS).await.unwrap();
    assert!(matches!(world.input().await, Input::Received { .. }));
    let mut another = world.peer().await;
    tokio::select! {
        closed = rest(&mut another) => assert_eq!(closed, b""),
        _ = world.input() => panic!("a second stranger is let in"),
    }
    let from_trunk = || async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        socket.connect(world.local).await.unwrap()
    };
    let mut carriers = [from_trunk().await, from_trunk().await];
    let mut one_more = from_trunk().await;
    for carrier in &mut carriers {
        carrier.write_all(OPTIONS).await.unwrap();
        assert!(matches!(world.input().await, Input::Received { .. }));
    }
    tokio::select! {
        closed = rest(&mut one_more) => assert_eq!(closed, b""),
        _ = world.input() => panic!("peers take what is kept for us"),
    }
    let listener = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = Target::new(Transport::Tcp, listener.1);
    world.net.send(Transmit { target, bytes: Bytes::from_static(OPTIONS) });
    assert_eq!(world.net.connections(), 4);
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_fails_at_once_and_a_response_is_left_to_its_request() {
    let mut world = World::new(StreamLimits { connections_max: 0, ..LIMITS });
    // There is no UDP socket at all, and no room for a connection.
    for transport in [Transport::Udp, Transport::Tcp] {
        let target = Target::new(transport, "192.0.2.1:5060".parse().unwrap());
        world.net.send(Transmit { target, bytes: Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n") });
        world.net.send(Transmit { target, bytes: Bytes::from_static(OPTIONS) });
        let Input::TransportFailed { transport: failed, remote, quoted, .. } = world.input().await else {
            panic!("not reported")
        };
        assert_eq!((failed, remote), (transport, target.remote));
        assert_eq!(quoted.as_deref(), Some(OPTIONS), "it concerns this request alone");
        assert!(world.net.receive().is_none());
    }
}

#[tokio::test]
async fn one_source_gets_only_its_share_of_connections() {
    let mut world = World::new(StreamLimits { per_source_max: 1, ..LIMITS });
    let mut first = world.peer().await;
    first.write_all(OPTIONS).await.unwrap();
    assert!(matches!(world.input().await, Input::Received { .. }));
    let mut second = world.peer().await;
    tokio::select! {
        closed = rest(&mut second) => assert_eq!(closed, b""),
        _ = world.input() => panic!("the second connection is not refused"),
    }
    assert_eq!(world.net.connections(), 1);
    drop(first);
    assert!(matches!(world.input().await, Input::TransportFailed { .. }));
    world.peer().await.write_all(OPTIONS).await.unwrap();
    assert!(matches!(world.input().await, Input::Received { .. }), "a place that was left is free again");
}

#[tokio::test]
async fn a_stream_without_content_length_is_handed_up_and_then_closed() {
    let mut world = World::new(LIMITS);
    let mut peer = world.peer().await;
    peer.write_all(b"OPTIONS sip:x SIP/2.0\r\nCall-ID: 1\r\n\r\n").await.unwrap();
    let Input::Received { flow, .. } = world.input().await else { panic!("no message") };
    world
        .net
        .send(Transmit { target: Target::from(flow), bytes: Bytes::from_static(b"SIP/2.0 400 x\r\n\r\n") });
    assert!(matches!(world.input().await, Input::TransportFailed { .. }));
    assert_eq!(rest(&mut peer).await, b"SIP/2.0 400 x\r\n\r\n");
    assert_eq!(world.metrics.stream_framing_errors.value(), 1);
}

#[tokio::test]
async fn a_peer_that_does_not_listen_is_reported_as_unreachable() {
    let mut world = World::new(LIMITS);
    let dead = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap().1;
    world
        .net
        .send(Transmit { target: Target::new(Transport::Tcp, dead), bytes: Bytes::from_static(OPTIONS) });
    let Input::TransportFailed { remote, connection, .. } = world.input().await else {
        panic!("not reported")
    };
    assert_eq!((remote, connection), (dead, None));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_disconnected_and_holds_no_more_than_its_queue() {
    let mut world = World::new(StreamLimits { write: Duration::from_millis(200), ..LIMITS });
    let mut peer = world.peer().await;
    peer.write_all(OPTIONS).await.unwrap();
    let Input::Received { flow, .. } = world.input().await else { panic!("no message") };
    let large = Bytes::from(format!("SIP/2.0 200 OK\r\nSubject: {}\r\n\r\n", "x".repeat(60_000)));
    for _ in 0..1000 {
        world.net.send(Transmit { target: Target::from(flow), bytes: large.clone() });
    }
    assert!(world.metrics.stream_queue_drops.value() > 0);
    assert!(matches!(world.input().await, Input::TransportFailed { .. }));
    assert_eq!(world.net.connections(), 0);
}
