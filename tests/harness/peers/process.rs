//! Child processes that end with the test.

use super::wait_up_to;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A child process whose output goes to files, and which is killed, by its own id, when this value is dropped.
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

impl Process {
    /// Starts it; its output goes to `<name>.out` and `<name>.err` in the folder.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: &mut Command, folder: &Path, stdin: Stdio) -> Self {
        let output = folder.join(format!("{name}.out"));
        let errors = folder.join(format!("{name}.err"));
        let child = command
            .stdin(stdin)
            .stdout(File::create(&output).expect("a file for its output"))
            .stderr(File::create(&errors).expect("a file for its errors"))
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{} does not start: {error} (cargo xtask test installs it)",
                    command.get_program().display()
                )
            });
        Self { name: name.to_owned(), child, output, errors }
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        read(&self.output)
    }

    /// Returns what it has printed to standard error so far.
    #[must_use]
    pub fn errors(&self) -> String {
        read(&self.errors)
    }

    /// Returns its standard input, once, if it was started with a pipe.
    pub fn input(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Returns how it ended, if it has.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not within the limit.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait_up_to(limit, &format!("the end of {name}"), || self.ended())
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When there is no such process any more.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a running process");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the text of a file, and nothing where there is none yet.
pub(super) fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
