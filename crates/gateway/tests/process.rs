//! The real binary on loopback: how it starts, reloads, refuses and ends.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use trunkline_model::{CallRecord, Party, Stage};

/// Longest wait for anything that should happen at once; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Program {
    child: Child,
    ready: Value,
    log: mpsc::Receiver<String>,
}

/// `trunkline serve`.
struct Gateway;

impl Gateway {
    fn start(config: &Path) -> Program {
        Program::start(&["serve", "--ready-json", "--config", config.to_str().unwrap()])
    }
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child =
            binary().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("{error}: {line:?}\n{}", log.iter().collect::<Vec<_>>().join("\n"));
        });
        Self { child, ready, log }
    }

    fn address(&self, listener: &str) -> SocketAddr {
        let value = &self.ready[listener];
        let value = if value.is_array() { &value[0] } else { value };
        value.as_str().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for a log line that holds the text.
    fn logged(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{text:?} was not logged"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Sends an INVITE from a source of its own and returns the first final response.
    fn invite(&self, socket: &UdpSocket, number: &str) -> String {
        let local = socket.local_addr().unwrap();
        let request = format!(
            "INVITE sip:{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{number};rport\r\n\
             From: <sip:+14255550199@{local}>;tag=1\r\nTo: <sip:{number}@127.0.0.1>\r\nCall-ID: {number}@test\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:{local}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(request.as_bytes(), self.address("sip_udp")).unwrap();
        let mut buffer = [0; 4096];
        loop {
            let (length, _) = socket.recv_from(&mut buffer).expect("no response came");
            let response = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if response.starts_with("SIP/2.0 ") && !response.starts_with("SIP/2.0 1") {
                return response.lines().next().unwrap().to_owned();
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Either may fail only because it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
}

fn lines(stderr: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Writes a configuration on free ports; the routes come behind it.
fn config(directory: &Path, routes: &str) -> PathBuf {
    let path = directory.join("trunkline.toml");
    let text = format!(
        "[sip]\nudp = [\"127.0.0.1:0\"]\ntcp = [\"127.0.0.1:0\"]\n[rtp]\nipv4 = \"127.0.0.1\"\nfree_ports = 16\n\
         workers = 1\n[metrics]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = []\n[storage]\ndata_dir = \"{0}\"\n\
         url = \"sqlite:{0}/calls.db\"\n[shutdown]\ndrain_secs = 5\n{routes}",
        directory.display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Returns what the journal has kept, the latest first.
fn records(directory: &Path) -> Vec<CallRecord> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}/calls.db", directory.display());
        let store = trunkline_storage::Store::open(&url).await.unwrap();
        let mut db = store.read().await.unwrap();
        let filter = trunkline_storage::calls::Filter::default();
        trunkline_storage::calls::list(&mut db, &filter, None, 10).await.unwrap().0
    })
}

/// Starts a sandbox carrier and a gateway that sends all calls from this address there.
fn carrier_and_gateway(directory: &Path) -> (Program, Program) {
    let sandbox = Program::start(&["sandbox", "--listen", "127.0.0.2:0", "--ready-json"]);
    let port = sandbox.address("sip_udp").port();
    let gateway = Gateway::start(&config(directory, &to_carrier(port)));
    (sandbox, gateway)
}

/// Routes that send all calls from this address to a carrier on that port.
fn to_carrier(port: u16) -> String {
    format!(
        "[[trunk]]\nname = \"carrier\"\nsources = [\"127.0.0.2\"]\n[[trunk.gateway]]\nhost = \"127.0.0.2\"\n\
         port = {port}\n[[trunk]]\nname = \"us\"\nsources = [\"127.0.0.1\"]\n[[route]]\nprefix = \"+1\"\n\
         from = [\"us\"]\ntrunks = [\"carrier\"]\n"
    )
}

fn call(gateway: &Program, number: &str) -> Command {
    let mut command = binary();
    command.args(["call", number, "--via", &gateway.address("sip_udp").to_string()]);
    command
}

const NO_GATEWAY: &str = "[[trunk]]\nname = \"us\"\nsources = [\"127.0.0.1\"]\n";

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn a_started_gateway_says_where_it_listens_and_ends_with_success_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&config(directory.path(), NO_GATEWAY));
    assert_eq!(gateway.address("sip_udp"), gateway.address("sip_tcp"), "UDP and TCP share a port");
    assert_ne!(gateway.address("sip_udp").port(), 0);
    let metrics = gateway.address("metrics");
    assert!(get(metrics, "/health").contains("{\"status\":\"ok\"}"));
    assert!(get(metrics, "/metrics").contains("trunkline_calls_active 0\n"));
    assert!(get(metrics, "/other").starts_with("HTTP/1.1 404 "));

    gateway.signal("-TERM");

    assert_eq!(gateway.ended().code(), Some(0));
    gateway.logged("ended");
}

#[test]
fn all_problems_of_a_file_are_printed_and_nothing_is_bound() {
    let directory = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let path = directory.path().join("bad.toml");
    let text = format!(
        "nod = 1\n[sip]\nudp = [\"{}\"]\n[[trunk]]\nname = \"a b\"\n[[did]]\nnumber = \"12\"\ntrunks = [\"x\"]\n",
        taken.local_addr().unwrap()
    );
    std::fs::write(&path, text).unwrap();
    for command in [vec!["serve", "--config"], vec!["config", "check"]] {
        let output = binary().args(command).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let printed = String::from_utf8(output.stderr).unwrap();
        let name = path.display();
        assert!(printed.contains(&format!("{name}:1:1: nod: unknown key")), "{printed}");
        assert!(printed.contains(&format!("{name}:5:8: trunk[0].name: a trunk name is")), "{printed}");
        assert!(printed.contains(&format!("{name}:7:10: did[0].number:")), "{printed}");
        assert!(!printed.contains("cannot listen"), "{printed}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = config(directory.path(), NO_GATEWAY);
    let text = std::fs::read_to_string(&path).unwrap().replacen("127.0.0.1:0", &address, 1);
    std::fs::write(&path, text).unwrap();
    let output = binary().arg("serve").arg("--config").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains(&format!("cannot listen on udp {address}")), "{printed}");
}

#[test]
fn a_reload_takes_over_routes_and_a_bad_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), NO_GATEWAY);
    let gateway = Gateway::start(&path);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(gateway.invite(&socket, "+14255550101"), "SIP/2.0 404 Not Found");

    // Everything that is not ours is a stranger now.
    config(directory.path(), "[[trunk]]\nname = \"us\"\nsources = [\"192.0.2.1\"]\n");
    gateway.signal("-HUP");
    gateway.logged("routes replaced");
    assert_eq!(gateway.invite(&socket, "+14255550102"), "SIP/2.0 403 Forbidden");

    config(directory.path(), "[[trunk]]\nname = \"us\"\nsources = [\"127.0.0.1\"]\nnonsense = 1\n");
    gateway.signal("-HUP");
    gateway.logged("trunk[0].nonsense: unknown key");
    gateway.logged("not reloaded");
    assert_eq!(gateway.invite(&socket, "+14255550103"), "SIP/2.0 403 Forbidden");
}

#[test]
fn a_refused_call_leaves_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&config(directory.path(), NO_GATEWAY));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(gateway.invite(&socket, "+14255550101"), "SIP/2.0 404 Not Found");
    gateway.signal("-TERM");
    assert_eq!(gateway.ended().code(), Some(0));

    let records = records(directory.path());
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].to.as_str(), records[0].cause.sip), ("+14255550101", 404));
}

#[test]
fn whole_numbers_stay_out_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&config(directory.path(), NO_GATEWAY));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    gateway.invite(&socket, "+14255550101");
    gateway.signal("-TERM");
    gateway.ended();
    let log: Vec<String> = gateway.log.iter().collect();
    let refused = log.iter().find(|line| line.contains("call refused")).unwrap();
    assert!(refused.contains("us: yes"), "it names each trunk: {refused}");
    assert!(!log.iter().any(|line| line.contains("4255550101") || line.contains("4255550199")), "{log:#?}");
}

#[test]
fn what_would_happen_to_a_saved_invite_is_told_with_an_exit_status() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), NO_GATEWAY);
    let invite = directory.path().join("invite.sip");
    let text = "INVITE sip:+14255550100@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\n\
                From: <sip:x@127.0.0.1>;tag=1\nTo: <sip:+14255550100@127.0.0.1>\nCall-ID: 1\nCSeq: 1 INVITE\n\
                Contact: <sip:127.0.0.1>\n\n";
    std::fs::write(&invite, text).unwrap();
    let output = binary().args(["trunk", "match"]).arg(&invite).arg("--config").arg(&path).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("us: yes") && printed.contains("refused with 404"), "{printed}");
}

#[test]
fn a_call_to_the_sandbox_is_answered_heard_and_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let (_sandbox, mut gateway) = carrier_and_gateway(directory.path());
    let tone: Vec<i16> = (0..8000).map(|n| (8000.0 * f64::sin(f64::from(n) * 0.8)) as i16).collect();
    let (play, record) = (directory.path().join("play.wav"), directory.path().join("record.wav"));
    std::fs::write(&play, trunkline_media::wav::write(&tone).unwrap()).unwrap();

    let mut call = call(&gateway, "+14255550111");
    let output =
        call.arg("--play").arg(&play).arg("--record").arg(&record).args(["--dtmf", "5#"]).output().unwrap();

    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(printed.contains("heard digit 5\nheard digit #\n"), "digits are echoed: {printed}");
    let heard = trunkline_media::wav::read(std::fs::File::open(&record).unwrap()).unwrap();
    let power = |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let (sent, heard) = (power(&tone), power(&heard));
    assert!((0.7..1.5).contains(&(heard / sent)), "the echo is as loud as the tone: {}", heard / sent);

    gateway.signal("-TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    let [record] = &records(directory.path())[..] else { panic!("not one record") };
    assert_eq!((record.cause.sip, record.cause.ended_by), (200, Party::Caller));
    assert_eq!(record.trunk_out.as_ref().unwrap().as_str(), "carrier");
    for media in [&record.caller_media, &record.callee_media] {
        let media = media.as_ref().unwrap();
        assert!(media.packets_received > 50 && media.packets_refused == 0, "{media:?}");
    }
}

#[test]
fn a_call_that_nobody_takes_is_told_by_the_exit_status() {
    let directory = tempfile::tempdir().unwrap();
    let (_sandbox, gateway) = carrier_and_gateway(directory.path());
    let output = call(&gateway, "+14255550103").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("ended with 486"), "{printed}");
}

#[test]
fn calls_that_outlast_the_drain_are_ended_and_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let (_sandbox, mut gateway) = carrier_and_gateway(directory.path());
    let call =
        call(&gateway, "+14255550111").args(["--duration", "600"]).stdout(Stdio::piped()).spawn().unwrap();
    gateway.logged("call answered");

    gateway.signal("-TERM");
    gateway.logged("draining");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(gateway.invite(&socket, "+14255550100"), "SIP/2.0 503 Service Unavailable");
    gateway.signal("-TERM");

    let output = call.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "it had been answered: {printed}");
    assert_eq!(gateway.ended().code(), Some(0));
    let records = records(directory.path());
    let ours: Vec<_> = records.iter().filter(|record| record.cause.stage == Stage::Answered).collect();
    assert_eq!(ours.len(), 1, "{records:#?}");
    assert_eq!(ours[0].cause.ended_by, Party::Trunkline);
}

/// A SIP peer that says what it is told to, and nothing by itself.
struct Peer {
    socket: UdpSocket,
    gateway: SocketAddr,
}

impl Peer {
    fn new(socket: UdpSocket, gateway: SocketAddr) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, gateway }
    }

    /// Returns the next message that begins like that; others are passed over.
    fn receives(&self, start: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let (length, _) =
                self.socket.recv_from(&mut buffer).unwrap_or_else(|_| panic!("no {start} came"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.starts_with(start) {
                return message;
            }
        }
    }

    fn sends(&self, message: &str) {
        self.socket.send_to(message.as_bytes(), self.gateway).unwrap();
    }

    /// Answers a request.
    fn answers(&self, request: &str, status: &str) {
        let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        let headers = request.lines().filter(|line| copied.iter().any(|name| line.starts_with(name)));
        let tagged = headers.map(|line| match line {
            to if to.starts_with("To:") && !to.contains(";tag=") => format!("{to};tag=peer\r\n"),
            line => format!("{line}\r\n"),
        });
        self.sends(&format!("SIP/2.0 {status}\r\n{}Content-Length: 0\r\n\r\n", tagged.collect::<String>()));
    }

    /// Asks for a call.
    fn invites(&self, number: &str) {
        let local = self.socket.local_addr().unwrap();
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n",
            local.ip()
        );
        self.sends(&format!(
            "INVITE sip:{number}@{0} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKcall\r\n\
             From: <sip:+14255550199@{local}>;tag=1\r\nTo: <sip:{number}@{0}>\r\nCall-ID: call@test\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:{local}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {1}\r\n\r\n{body}",
            self.gateway,
            body.len()
        ));
    }

    /// Acknowledges the final response to the INVITE: in its transaction, or on its own for a 2xx (RFC 3261 §13.2.2.4).
    fn acknowledges(&self, response: &str) {
        let local = self.socket.local_addr().unwrap();
        let header = |name: &str| response.lines().find(|line| line.starts_with(name)).unwrap();
        let branch = if response.starts_with("SIP/2.0 2") { "z9hG4bKack" } else { "z9hG4bKcall" };
        self.sends(&format!(
            "ACK sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch}\r\n{}\r\n{}\r\nCall-ID: call@test\r\n\
             CSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            self.gateway,
            header("From:"),
            header("To:")
        ));
    }
}

fn any_port(ip: &str) -> UdpSocket {
    UdpSocket::bind((ip, 0)).unwrap()
}

#[test]
fn a_bye_that_is_lost_is_sent_again_before_the_process_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (_sandbox, mut gateway) = carrier_and_gateway(directory.path());
    let caller = Peer::new(any_port("127.0.0.1"), gateway.address("sip_udp"));
    caller.invites("+14255550111");
    caller.acknowledges(&caller.receives("SIP/2.0 200 "));
    gateway.logged("call answered");

    gateway.signal("-TERM");
    gateway.logged("draining");
    gateway.signal("-TERM");

    let lost = caller.receives("BYE ");
    assert_eq!(caller.receives("BYE "), lost, "the same request comes again");
    caller.answers(&lost, "200 OK");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn a_gateway_that_has_not_answered_yet_gets_its_cancel_before_the_process_ends() {
    let directory = tempfile::tempdir().unwrap();
    let carrier = any_port("127.0.0.2");
    let port = carrier.local_addr().unwrap().port();
    let mut gateway = Gateway::start(&config(directory.path(), &to_carrier(port)));
    let carrier = Peer::new(carrier, gateway.address("sip_udp"));
    let caller = Peer::new(any_port("127.0.0.1"), gateway.address("sip_udp"));
    caller.invites("+14255550100");
    let invite = carrier.receives("INVITE ");

    gateway.signal("-TERM");
    gateway.logged("draining");
    gateway.signal("-TERM");

    caller.acknowledges(&caller.receives("SIP/2.0 503 "));
    // RFC 3261 §9.1: no CANCEL before the first provisional response.
    carrier.answers(&invite, "100 Trying");
    carrier.answers(&carrier.receives("CANCEL "), "200 OK");
    carrier.answers(&invite, "487 Request Terminated");
    carrier.receives("ACK ");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn a_process_that_is_told_to_end_while_its_database_does_not_answer_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), NO_GATEWAY);
    // It takes connections, and says nothing on them.
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://trunkline@{}/trunkline", database.local_addr().unwrap());
    let mut program = binary();
    let program = program.args(["serve", "--config"]).arg(&path).env("TRUNKLINE_STORAGE_URL", url);
    let child = program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (_asked, _) = database.accept().unwrap();
    let sent = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(printed.contains("ended before it began"), "{printed}");
}

#[test]
fn a_reload_that_fails_shows_no_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), NO_GATEWAY);
    let gateway = Gateway::start(&path);
    config(
        directory.path(),
        &format!(
            "{NO_GATEWAY}[[did]]\nnumber = \"+14255550100\"\ntrunks = [\"nobody\"]\n[[did]]\nnumber = \"4255550101\"\ntrunks = [\"us\"]\n"
        ),
    );
    gateway.signal("-HUP");
    let problem = gateway.logged("did[1].number");
    assert!(problem.contains("…01") && !problem.contains("5550101"), "{problem}");
}
