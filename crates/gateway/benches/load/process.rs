//! A server under load: started on one core, ended when dropped, its CPU time read from the kernel.

use super::SERVER_CORE;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A server that is not ready after this long will not be.
pub const START_TIME_MAX: Duration = Duration::from_secs(20);

/// A child process; killed and reaped when dropped.
pub struct Server {
    child: Child,
    /// Where it takes SIP or commands over UDP.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `trunkline serve` with a carrier on each of two loopback addresses.
    pub fn gateway(directory: &Path, caller: SocketAddr, callee: SocketAddr) -> Result<Self> {
        let config = directory.join("bench.toml");
        std::fs::write(&config, gateway_config(directory, caller, callee))?;
        let mut command = on_server_core(env!("CARGO_BIN_EXE_trunkline"));
        command.arg("serve").arg("--config").arg(&config).arg("--ready-json");
        let child = command.stdout(Stdio::piped()).spawn().context("could not start the gateway")?;
        let mut server = Self::running(child, caller);
        let lines = server.first_lines(1).context("the gateway did not become ready")?;
        let ready: Value =
            serde_json::from_str(&lines.concat()).context("the gateway did not become ready")?;
        server.address =
            ready["sip_udp"][0].as_str().context("the gateway names no UDP listener")?.parse()?;
        Ok(server)
    }

    /// Starts a program that listens on a loopback port which the caller chose.
    pub fn other(mut command: Command, address: SocketAddr) -> Result<Self> {
        let child = command.stdin(Stdio::piped()).spawn().context("could not start the peer")?;
        Ok(Self { child, address })
    }

    /// Takes over a child that was started already.
    pub fn running(child: Child, address: SocketAddr) -> Self {
        Self { child, address }
    }

    /// Returns the first lines of its standard output, which is piped; waits for them only so long.
    pub fn first_lines(&mut self, count: usize) -> Result<Vec<String>> {
        let output = self.child.stdout.take().context("its output is not piped")?;
        let (sender, lines) = mpsc::sync_channel(count);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().take(count) {
                // The receiver is gone when it has waited long enough.
                let _ = sender.send(line);
            }
        });
        let deadline = Instant::now() + START_TIME_MAX;
        let next = || -> Result<String> {
            let left = deadline.saturating_duration_since(Instant::now());
            Ok(lines.recv_timeout(left).context("it printed less than it should have")??)
        };
        (0..count).map(|_| next()).collect()
    }

    /// Returns the CPU time that all its threads, and its children's, have had.
    pub fn cpu(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for process in family(self.child.id())? {
            for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
                let schedstat = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
                let nanos = schedstat.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0);
                total += Duration::from_nanos(nanos);
            }
        }
        Ok(total)
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either may fail only because it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command that runs on the server's core only.
pub fn on_server_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(SERVER_CORE.to_string()).arg(program);
    command
}

/// Returns a UDP port of a loopback address that is free now.
pub fn free_port(host: &str) -> Result<SocketAddr> {
    Ok(UdpSocket::bind((host, 0))?.local_addr()?)
}

/// Returns the path of a program if it is installed.
pub fn installed(program: &str) -> Option<String> {
    ["/usr/sbin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .map(|directory| format!("{directory}/{program}"))
        .find(|path| Path::new(path).exists())
}

/// A process and its descendants.
fn family(process: u32) -> Result<Vec<u32>> {
    let mut family = vec![process];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        next += 1;
        for thread in std::fs::read_dir(format!("/proc/{parent}/task"))? {
            let children = std::fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
        if family.len() > 100 {
            bail!("the server has more than a hundred processes");
        }
    }
    Ok(family)
}

fn gateway_config(directory: &Path, caller: SocketAddr, callee: SocketAddr) -> String {
    format!(
        r#"
[log]
filter = "error"
[sip]
udp = ["127.0.0.1:0"]
tcp = []
calls_max = 100000
[rtp]
ipv4 = "127.0.0.1"
first_port = 20000
last_port = 31999
workers = 1
[metrics]
off = true
[http]
listen = []
[storage]
data_dir = "{data}"
url = "sqlite:{data}/bench.db"
[[trunk]]
name = "caller"
sources = ["{caller_ip}/32"]
[[trunk.gateway]]
host = "{caller_ip}"
port = {caller_port}
[[trunk]]
name = "callee"
sources = ["{callee_ip}/32"]
[[trunk.gateway]]
host = "{callee_ip}"
port = {callee_port}
[[did]]
number = "+14255550100"
trunks = ["callee"]
"#,
        data = directory.display(),
        caller_ip = caller.ip(),
        caller_port = caller.port(),
        callee_ip = callee.ip(),
        callee_port = callee.port(),
    )
}
