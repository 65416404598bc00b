//! Log output: structured lines to standard error, written by a thread of their own.
//!
//! A terminal or pipe that is not read must not hold up calls: lines wait in a bounded queue, and what does not
//! fit is dropped and counted. Fields are written by `tracing-subscriber`, which escapes control characters, so
//! that bytes of a peer can neither forge lines nor drive a terminal (CVE-2025-58160).

use crate::config::{Log, LogFormat};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Log lines that wait for standard error; at 200 bytes a line this is under a megabyte.
const LINES_MAX: usize = 4096;

/// How long the end of the process waits for a standard error that is not read.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The running log; dropping it waits until everything logged so far stands on standard error.
#[derive(Debug)]
pub struct Logging {
    lines: Lines,
}

/// The way to the writing thread.
#[derive(Debug, Clone)]
struct Lines {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl Logging {
    /// Starts logging for the whole process.
    ///
    /// # Errors
    /// The filter is not one, the thread cannot be started, or logging was started before.
    pub fn start(config: &Log) -> anyhow::Result<Self> {
        let filter = EnvFilter::try_new(&config.filter)?;
        let (queue, entries) = mpsc::sync_channel(LINES_MAX);
        let lines = Lines { queue, dropped: Arc::default() };
        let dropped = Arc::clone(&lines.dropped);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&entries, &dropped))?;
        let builder =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.clone()).with_ansi(false);
        let started = match config.format {
            LogFormat::Text => builder.try_init(),
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
        };
        started.map_err(|error| anyhow::anyhow!("logging was started before: {error}"))?;
        Ok(Self { lines })
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (done, written) = mpsc::sync_channel(1);
        if self.lines.queue.try_send(Entry::Flush(done)).is_ok() {
            // A standard error that nobody reads is left behind.
            let _ = written.recv_timeout(FLUSH_MAX);
        }
    }
}

/// Returns a text with every telephone number in it cut down to its last two digits: whole ones stand at debug only.
pub(crate) fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, run) = rest.split_at(start);
        let end = run.find(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '(' | ')' | ' ')));
        let (run, after) = run.split_at(end.unwrap_or(run.len()));
        let digits: String = run.chars().filter(char::is_ascii_digit).collect();
        shown.push_str(before);
        match digits.len().checked_sub(2).and_then(|hidden| digits.get(hidden..)) {
            Some(last) if digits.len() >= NUMBER_DIGITS_MIN => {
                shown.push('…');
                shown.push_str(last);
                let number = run.trim_end_matches(|c: char| !c.is_ascii_digit());
                shown.push_str(run.strip_prefix(number).unwrap_or_default());
            }
            Some(_) | None => shown.push_str(run),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// A number that can be called from elsewhere has at least so many digits (ITU-T E.164).
const NUMBER_DIGITS_MIN: usize = 7;

fn write(entries: &Receiver<Entry>, dropped: &AtomicU64) {
    let mut stderr = io::stderr();
    for entry in entries {
        // There is nowhere to report a failing log to, so results are not looked at.
        match entry {
            Entry::Line(line) => {
                let _ = stderr.write_all(&line);
            }
            Entry::Flush(done) => {
                let _ = done.send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ =
                writeln!(stderr, "{{\"level\":\"WARN\",\"message\":\"log lines dropped\",\"lines\":{lost}}}");
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { lines: self.clone(), text: Vec::with_capacity(256) }
    }
}

/// One line while it is written; it is queued when it is whole.
struct Line {
    lines: Lines,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.text);
        if !line.is_empty() && self.lines.queue.try_send(Entry::Line(line)).is_err() {
            self.lines.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_down_and_nothing_else_is() {
        for (text, shown) in [
            ("did[0].number: +14255550100 is routed twice", "did[0].number: +…00 is routed twice"),
            ("\"4255550100\": no plus", "\"…00\": no plus"),
            ("(425) 555-0100 and 911", "(…00 and 911"),
            ("12:24: 192.0.2.10:5060 is taken", "12:24: 192.0.2.10:5060 is taken"),
            ("", ""),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}
