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
        let tcp = vec![bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap()];
        let local = tcp[0].1;
        let metrics = Arc::new(Metrics::default());
        let net = Net::new(Bound { udp: Vec::new(), tcp }, limits, Arc::clone(&metrics)).unwrap();
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
    assert!(matches!(world.input().await, Input::TransportFailed { .. }));
    assert_eq!(rest(&mut peer).await, b"");
    assert_eq!(world.net.connections(), 0);
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
    let large = Bytes::from(vec![b'x'; 60_000]);
    for _ in 0..1000 {
        world.net.send(Transmit { target: Target::from(flow), bytes: large.clone() });
    }
    assert!(world.metrics.stream_queue_drops.value() > 0);
    assert!(matches!(world.input().await, Input::TransportFailed { .. }));
    assert_eq!(world.net.connections(), 0);
}
