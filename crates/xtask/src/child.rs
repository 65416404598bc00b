//! Programs that run beside this one until they are stopped.

use crate::shell::say;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to end after SIGTERM before it is killed.
///
/// `trunkline serve` drains its calls within 10 s; twice that is more than it should ever need.
const STOP_MAX: Duration = Duration::from_secs(20);

/// A program that is stopped, by its own process id, when this value is dropped.
pub(crate) struct Running {
    name: &'static str,
    child: Child,
    stopped: bool,
}

impl Running {
    /// Starts it in a process group of its own, so that Ctrl-C reaches this program only, and returns it with the
    /// first line of its output: programs of ours print one when they are ready.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<(Self, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("could not start the {name}"))?;
        let output = child.stdout.take().context("the child has no output")?;
        let mut running = Self { name, child, stopped: false };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        if line.is_empty() {
            let status = running.child.wait()?;
            running.stopped = true;
            anyhow::bail!(
                "the {name} ended before it was ready ({status}); it said why above. Where an address is in use, another \
                 `cargo xtask run` may be up"
            );
        }
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                println!("{name}: {line}");
            }
        });
        Ok((running, line))
    }

    /// Returns how it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.stopped |= status.is_some();
        Ok(status)
    }

    /// Asks it to end, waits, and kills it if it does not.
    pub(crate) fn stop(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        say(format!("stopping the {} (process {})", self.name, self.child.id()));
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself meanwhile, which is as good.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        say(format!("the {} does not end; killing it", self.name));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
