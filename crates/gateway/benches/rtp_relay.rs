//! `rtp-relay`: CPU a packet of G.711 relayed through the gateway, against a bare receive-and-send loop over as many
//! sockets, and against rtpengine where it is installed.

#[allow(dead_code, unreachable_pub, missing_docs, clippy::disallowed_methods)]
mod load;

use anyhow::{Context as _, Result, bail};
use load::calls::{Load, MediaPorts};
use load::process::{START_TIME_MAX, Server, free_port, installed, on_server_core};
use load::report::Figure;
use load::rtp::Streams;
use rustix::event::epoll;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Calls at once: 20,000 packets a second in, as many out.
const CALLS: usize = 200;

const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(8);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--floor") {
        return floor(&arguments[at + 1..]);
    }
    let as_json = arguments.iter().any(|argument| argument == "--json");
    load::pin_generator()?;
    let ours = through_gateway()?;
    let bare = through_floor()?;
    let rtpengine = match installed("rtpengine") {
        // Ours was measured all the same; only the comparison is missing.
        Some(program) => through_rtpengine(&program)
            .inspect_err(|error| eprintln!("rtp-relay: no figure for rtpengine: {error:#}"))
            .ok(),
        None => {
            eprintln!(
                "rtp-relay: rtpengine is not installed (apt-get install rtpengine-daemon); no figure for it"
            );
            None
        }
    };
    let figure = |metric, ours, unit, peer, more_is_better| {
        Figure { bench: "rtp-relay", metric, ours, unit, peer, more_is_better }.print(as_json);
    };
    figure("cpu_per_packet", ours, "us", Some(("bare receive and send loop", bare)), false);
    let calls_per_core = |us_per_packet: f64| 1e6 / (100.0 * us_per_packet);
    let theirs = rtpengine.map(|us| ("rtpengine", calls_per_core(us)));
    figure("g711_calls_per_core", calls_per_core(ours), "calls", theirs, true);
    Ok(())
}

fn through_gateway() -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let streams = Streams::bind()?;
    let (caller_media, callee_media) = streams.addresses()?;
    let mut load = Load::bind(caller_media, callee_media)?;
    let (caller, callee) = load.addresses();
    let server = Server::gateway(directory.path(), caller, callee)?;
    load.set_server(server.address);
    let calls = load.establish(CALLS)?;
    let cost = measure("gateway", &server, &streams, &calls)?;
    load.hang_up()?;
    Ok(cost)
}

/// Runs this program again as the bare loop.
fn through_floor() -> Result<f64> {
    let streams = Streams::bind()?;
    let (caller_media, callee_media) = streams.addresses()?;
    let this = std::env::current_exe()?;
    let mut command = on_server_core(this.to_str().context("the path of this program is not text")?);
    command.args(["--floor", &CALLS.to_string(), &caller_media.to_string(), &callee_media.to_string()]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut server = Server::running(child, caller_media);
    let mut calls = Vec::new();
    for line in server.first_lines(CALLS).context("the bare loop does not start")? {
        let (from_caller, from_callee) = line.split_once(' ').context("the floor printed no ports")?;
        calls.push(MediaPorts { from_caller: from_caller.parse()?, from_callee: from_callee.parse()? });
    }
    measure("bare loop", &server, &streams, &calls)
}

fn measure(name: &str, server: &Server, streams: &Streams, calls: &[MediaPorts]) -> Result<f64> {
    let mut sequence = 0;
    streams.run(calls, WARM_UP, &mut sequence)?;
    let before = server.cpu()?;
    let flow = streams.run(calls, MEASURED, &mut sequence)?;
    let cpu = server.cpu()? - before;
    let us_per_packet = cpu.as_secs_f64() * 1e6 / flow.received.max(1) as f64;
    eprintln!(
        "rtp-relay: {name}: {} packets sent, {} relayed, {us_per_packet:.2} us CPU each",
        flow.sent, flow.received
    );
    // A server that drops packets would look cheap.
    if flow.received * 1000 < flow.sent * 999 {
        bail!("{name} lost more than one packet in a thousand");
    }
    Ok(us_per_packet)
}

/// The bare loop: as many sockets, receive on one, send from its partner.
fn floor(arguments: &[String]) -> Result<()> {
    let [calls, caller_media, callee_media] = arguments else { bail!("--floor CALLS CALLER CALLEE") };
    let (caller_media, callee_media): (SocketAddr, SocketAddr) =
        (caller_media.parse()?, callee_media.parse()?);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = Vec::new();
    for _ in 0..calls.parse()? {
        let pair = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
        println!("{} {}", pair[0].local_addr()?, pair[1].local_addr()?);
        for socket in pair {
            socket.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(sockets.len() as u64);
            epoll::add(&poll, socket.as_fd(), data, epoll::EventFlags::IN)?;
            sockets.push(socket);
        }
    }
    std::io::stdout().flush()?;
    let mut events = Vec::with_capacity(256);
    let mut buffer = [0; 2048];
    loop {
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let at = event.data.u64() as usize;
            let (partner, to) =
                if at.is_multiple_of(2) { (at + 1, callee_media) } else { (at - 1, caller_media) };
            if let Ok((length, _)) = sockets[at].recv_from(&mut buffer) {
                sockets[partner].send_to(&buffer[..length], to)?;
            }
        }
    }
}

fn through_rtpengine(program: &str) -> Result<f64> {
    let control = free_port("127.0.0.1")?;
    let mut command = on_server_core(program);
    command.args(["--foreground", "--table=-1", "--interface=127.0.0.1", "--log-stderr", "--log-level=1"]);
    command.args(["--port-min=34000", "--port-max=39999"]).arg(format!("--listen-ng={control}"));
    let mut server = Server::other(command, control)?;
    let streams = Streams::bind()?;
    let (caller_media, callee_media) = streams.addresses()?;
    let mut client = Client::connect(control)?;
    client.wait_for_start(&mut server)?;
    let mut calls = Vec::new();
    for index in 0..CALLS {
        let from_callee = client.media_of("offer", index, caller_media)?;
        let from_caller = client.media_of("answer", index, callee_media)?;
        calls.push(MediaPorts { from_caller, from_callee });
    }
    measure("rtpengine", &server, &streams, &calls)
}

/// A client of rtpengine's control protocol.
struct Client {
    socket: UdpSocket,
    /// How many commands were sent: the next one's cookie.
    commands: u32,
}

impl Client {
    fn connect(control: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(control)?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(Self { socket, commands: 0 })
    }

    fn wait_for_start(&mut self, server: &mut Server) -> Result<()> {
        let deadline = Instant::now() + START_TIME_MAX;
        while self.ask("d7:command4:pinge").is_err() {
            if !server.is_running() {
                bail!("rtpengine ended at its start; what it said is above");
            }
            if Instant::now() > deadline {
                bail!("rtpengine does not answer");
            }
            // A command to a port that is not bound yet fails at once.
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Offers or answers the media of one end, and returns the address that the other end is to send to.
    fn media_of(&mut self, command: &str, index: usize, media: SocketAddr) -> Result<SocketAddr> {
        let text = |value: &str| format!("{}:{value}", value.len());
        let mut body = format!("d{}{}", text("call-id"), text(&format!("bench-{index}")));
        body.push_str(&format!("{}{}", text("command"), text(command)));
        body.push_str(&format!("{}{}", text("from-tag"), text("a")));
        body.push_str(&format!("{}{}", text("sdp"), text(&load::calls::sdp(media))));
        if command == "answer" {
            body.push_str(&format!("{}{}", text("to-tag"), text("b")));
        }
        body.push('e');
        let answer = self.ask(&body)?;
        load::calls::media_address(&answer).with_context(|| format!("rtpengine answered {answer}"))
    }

    /// Sends one command until it is answered. Answers to others, which came late, are left aside.
    fn ask(&mut self, body: &str) -> Result<String> {
        self.commands += 1;
        let cookie = format!("c{} ", self.commands);
        let mut buffer = [0; 4096];
        for _ in 0..COMMAND_TRIES {
            self.socket.send(format!("{cookie}{body}").as_bytes())?;
            while let Ok(length) = self.socket.recv(&mut buffer) {
                let answer = String::from_utf8_lossy(&buffer[..length]);
                if let Some(answer) = answer.strip_prefix(&cookie) {
                    return Ok(answer.to_owned());
                }
            }
        }
        bail!("rtpengine did not answer {body}")
    }
}

/// Two seconds, at a fifth of one each.
const COMMAND_TRIES: usize = 10;
