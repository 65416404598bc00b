//! Asks a running sandbox for something, over HTTP on this machine.

use crate::cli::SandboxCommand;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a sandbox may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Runs one of the subcommands of `trunkline sandbox`.
pub(super) fn run(command: &SandboxCommand) -> anyhow::Result<()> {
    match command {
        SandboxCommand::Text { from, to, over, text, sandbox } => {
            let body = json!({"from": from, "to": to, "text": text, "over": over.as_str()});
            let answer = ask(*sandbox, "POST", "/texts", &body.to_string())?;
            let segments = field(&answer, "segments").as_u64().unwrap_or_default();
            let waits = if *field(&answer, "bound") == 0 { "; it waits, for nobody has bound" } else { "" };
            println!("texted in {segments} segment{}{waits}", if segments == 1 { "" } else { "s" });
        }
        SandboxCommand::Received { since, over, sandbox } => {
            let path = format!("/received?since={since}&over={}", over.as_str());
            println!("{}", field(&ask(*sandbox, "GET", &path, "")?, "received"));
        }
    }
    Ok(())
}

/// Returns a field of an answer, null where there is none.
fn field<'a>(answer: &'a Value, name: &str) -> &'a Value {
    answer.get(name).unwrap_or(&Value::Null)
}

fn ask(sandbox: SocketAddr, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect_timeout(&sandbox, ANSWER_MAX)
        .with_context(|| format!("no sandbox listens for commands on {sandbox}"))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {sandbox}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the sandbox does not answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    let value: Value = serde_json::from_str(body).context("the answer is not JSON")?;
    if head.split_whitespace().nth(1) != Some("200") {
        bail!("{}", field(&value, "error").as_str().unwrap_or("the sandbox refuses"));
    }
    Ok(value)
}
