//! A subscriber to events: an app of a customer's, in Python, with the official Event Grid library.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use trunkline_tests::peers::{Process, wait_for};

/// The secret that the path `/signed` knows.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A running subscriber; see `tests/sms/events/subscriber.py` for what its paths do.
pub(crate) struct Subscriber {
    port: u16,
    file: PathBuf,
    _process: Process,
}

/// Makes a certificate for a subscriber in a folder, and returns the configuration of a gateway that trusts it.
pub(crate) fn trusting(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("subscriber.pem"), made.cert.pem()).expect("a file");
    std::fs::write(folder.join("subscriber.key"), made.signing_key.serialize_pem()).expect("a file");
    format!(
        "[webhooks]\nprivate_addresses = [\"127.0.0.0/8\"]\nca = \"{}\"\nanswer_secs = 5\n\
         retry_first_secs = 1\nretry_secs_max = 2\n",
        folder.join("subscriber.pem").display()
    )
}

impl Subscriber {
    /// Starts one with the certificate of [`trusting`].
    pub(crate) fn start(folder: &Path, name: &str) -> Self {
        let file = folder.join(format!("{name}.jsonl"));
        let mut command = Command::new(python());
        command.arg("-B").arg(script("subscriber.py"));
        command.args([folder.join("subscriber.pem"), folder.join("subscriber.key"), file.clone()]);
        let mut process = Process::start(name, &mut command, folder, Stdio::null());
        let port = wait_for("the subscriber to listen", || {
            assert!(process.ended().is_none(), "the subscriber ended: {}", process.errors());
            process.output().trim().parse().ok()
        });
        Self { port, file, _process: process }
    }

    /// Returns the URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// Returns the file of all requests.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Returns every request to a path so far, in order.
    pub(crate) fn requests(&self, path: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        // The last line may still be on its way.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let requests = lines.map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        requests.filter(|request| request["path"] == path).collect()
    }

    /// Returns the events that a path took, in order.
    pub(crate) fn events(&self, path: &str) -> Vec<Value> {
        let requests = self.requests(path).into_iter().filter(|request| request["status"] == 200);
        requests.map(|mut request| request["event"].take()).collect()
    }

    /// Has the paths that were down or bad take what they are sent.
    pub(crate) fn mend(&self) {
        std::fs::write(format!("{}.mended", self.file.display()), "").expect("a file");
    }
}

/// Returns the path of a script of `tests/sms/events`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sms/events").join(name)
}

/// Returns the Python that has the clients and the Event Grid library.
pub(crate) fn python() -> PathBuf {
    packages().join("sms-python/bin/python")
}

/// Returns the folder into which `cargo xtask test` installs packages.
pub(crate) fn packages() -> PathBuf {
    let folder = std::env::var_os("TRUNKLINE_PACKAGES");
    folder
        .map(PathBuf::from)
        .expect("TRUNKLINE_PACKAGES: cargo xtask test installs the packages and says where")
}
