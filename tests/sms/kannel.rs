//! Kannel in both directions: its gateway as a customer's system at our server, and its message centre as our carrier.

use super::scene::{ACCOUNT, Scene};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use trunkline_tests::peers::{Process, free_port, wait_for};

/// Kannel's message centre, from Debian's kannel-extras.
const DRIVE_SMPP: &str = "/usr/lib/kannel/test/drive_smpp";

/// Where it looks for Kannel's bearerbox.
const BEARERBOX: &str = "127.0.0.1:13001";

/// Kannel's own gateway (bearerbox) and its HTTP side (smsbox), bound to our server as a customer's system.
struct Kannel {
    heard: Arc<Mutex<Vec<String>>>,
    /// Where smsbox takes texts by HTTP.
    send: u16,
    /// Where it tells of receipts and texts.
    told: u16,
    ip: IpAddr,
    bearerbox: Process,
    smsbox: Process,
}

impl Kannel {
    fn start(scene: &Scene) -> Self {
        // It speaks IPv4 alone, and its boxes find each other by address.
        let ip = scene.carrier();
        let [admin, boxes, send] = [(); 3].map(|()| free_port(ip));
        let listener = TcpListener::bind((ip, 0)).expect("a port");
        let told = listener.local_addr().expect("a port").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(line) = request_line(stream) {
                    hearing.lock().expect("no panic while it is held").push(line);
                }
            }
        });
        let configuration = format!(
            "group = core\nadmin-port = {admin}\nadmin-password = bar\nsmsbox-port = {boxes}\n\
             box-allow-ip = \"*.*.*.*\"\ndlr-storage = internal\nlog-level = 0\n\n\
             group = smsc\nsmsc = smpp\nsmsc-id = trunkline\nhost = {gateway}\nport = 2775\n\
             transceiver-mode = true\nsmsc-username = {id}\nsmsc-password = {password}\nsystem-type = \"\"\n\
             source-addr-ton = 1\nsource-addr-npi = 1\ndest-addr-ton = 1\ndest-addr-npi = 1\n\
             interface-version = 34\nenquire-link-interval = 5\n\n\
             group = smsbox\nbearerbox-host = {ip}\nsendsms-port = {send}\nlog-level = 0\n\n\
             group = sendsms-user\nusername = kannel\npassword = kannel\nconcatenation = true\nmax-messages = 5\n\n\
             group = sms-service\nkeyword = default\ncatch-all = true\nmax-messages = 0\nconcatenation = true\n\
             get-url = \"http://{ip}:{told}/text?from=%p&to=%P&text=%a\"\n",
            gateway = scene.gateway(),
            id = ACCOUNT.0,
            password = ACCOUNT.1,
        );
        let file = scene.folder().join("kannel.conf");
        std::fs::write(&file, configuration).expect("a configuration file");
        let start = |name: &str| {
            let mut command = Command::new(format!("/usr/sbin/{name}"));
            command.arg("-v").arg("0").arg(&file).current_dir(scene.folder());
            Process::start(name, &mut command, scene.folder(), Stdio::null())
        };
        let bearerbox = start("bearerbox");
        wait_for("bearerbox to take its boxes", || TcpStream::connect((ip, boxes)).ok());
        let smsbox = start("smsbox");
        wait_for("smsbox to take texts", || TcpStream::connect((ip, send)).ok());
        let kannel = Self { heard, send, told, ip, bearerbox, smsbox };
        wait_for("Kannel to be bound", || {
            let page = kannel.ask("/status.txt?password=bar", admin);
            page.contains("online").then_some(())
        });
        kannel
    }

    /// Has Kannel send a text and tell of its receipt.
    fn send(&self, from: &str, to: &str, text: &str) {
        let tells = format!("http://{}:{}/receipt?to={to}&state=%d&text=%a&reply=%A", self.ip, self.told);
        let path = format!(
            "/cgi-bin/sendsms?username=kannel&password=kannel&from={}&to={}&text={}&dlr-mask=31&dlr-url={}",
            encoded(from),
            encoded(to),
            encoded(text),
            encoded(&tells)
        );
        let said = self.ask(&path, self.send);
        assert!(said.contains("Accepted"), "{said}\n{}", self.smsbox.errors());
    }

    fn ask(&self, path: &str, port: u16) -> String {
        let mut stream = TcpStream::connect((self.ip, port)).expect("Kannel listens");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: kannel\r\n\r\n").expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Waits until Kannel has told this.
    fn wait_for(&self, what: &str) -> String {
        wait_for(&format!("{what}: {}", self.bearerbox.errors()), || {
            let heard = self.heard.lock().expect("no panic while it is held");
            heard.iter().find(|line| line.contains(what)).cloned()
        })
    }
}

/// Answers one request of Kannel's, and returns what it asked for.
fn request_line(stream: TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
    }
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(answer.as_bytes()).ok()?;
    Some(first)
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, octet| {
        if octet.is_ascii_alphanumeric() {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
        out
    })
}

/// Kannel's dlr-mask: 1 delivered, 2 failed.
#[test]
fn kannel_sends_receives_and_is_told() {
    let scene = Scene::over_smpp();
    let kannel = Kannel::start(&scene);
    let number = scene.number.clone();
    kannel.send(&number, "+14255550100", "From Kannel, with love");
    let long = "Kannel cuts this text by itself, because it is longer than one message can be. ".repeat(3);
    kannel.send(&number, "+12065550100", long.trim());
    kannel.send(&number, "+14255550120", "Nobody gets this");

    assert!(kannel.wait_for("/receipt?to=+14255550100&state=1").contains("DELIVRD"));
    kannel.wait_for("/receipt?to=+12065550100&state=1");
    assert!(kannel.wait_for("/receipt?to=+14255550120&state=2").contains("UNDELIV"));

    let received = scene.received("smpp");
    let to = |number: &str| -> String {
        let mut parts: Vec<(u64, &str)> = received
            .iter()
            .filter(|part| part["to"] == number)
            .filter_map(|part| Some((part["part"]["seq"].as_u64().unwrap_or(0), part["text"].as_str()?)))
            .collect();
        parts.sort_unstable();
        parts.into_iter().map(|(_, text)| text).collect()
    };
    assert_eq!(to("14255550100"), "From Kannel, with love");
    assert_eq!(to("12065550100"), long.trim());

    scene.text_in("smpp", "+12065550111", &"Long enough to come in parts. ".repeat(6));
    let line = kannel.wait_for("/text?from=%2B12065550111");
    assert_eq!(line.matches("parts").count(), 6, "{line}");
}

#[test]
fn kannels_message_centre_is_spoken_to() {
    const TEXTS: usize = 10;
    let mut scene = Scene::prepare();
    let port = free_port(scene.carrier());
    // It wants to be Kannel's smsbox too, and to say nothing to a bearerbox at this address and no other.
    let bearerbox = TcpListener::bind(BEARERBOX).expect("port 13001 of 127.0.0.1");
    std::thread::spawn(move || {
        let mut boxes: Vec<TcpStream> = Vec::new();
        boxes.extend(bearerbox.incoming().flatten());
    });
    let mut command = Command::new(DRIVE_SMPP);
    command.args(["-v", "0", "-m", &TEXTS.to_string(), "-p", &port.to_string()]).current_dir(scene.folder());
    let centre = Process::start("drive_smpp", &mut command, scene.folder(), Stdio::null());
    let carrier = scene.smpp_carrier("foo", "bar");
    let carrier = carrier.replace("port = 2775", &format!("port = {port}\nbind = \"transmitter_receiver\""));
    scene.open(&carrier);
    let count = |what: &str| centre.errors().matches(what).count();
    wait_for("all its texts to be acknowledged", || {
        (count("Handling SMPP PDU of type deliver_sm_resp") == TEXTS).then_some(())
    });
    scene.send("+12065550111", "Hello, Kannel");
    wait_for("our text at Kannel's message centre", || {
        (count("submit_sm: short_message = <Hello, Kannel>") == 1).then_some(())
    });
}
