//! baresip, a user agent that is not ours, without a sound card: it plays one file and records into another.

use super::process::{Process, read};
use super::stage::Carrier;
use super::wait_for;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian keeps its modules.
const MODULES: &str = "/usr/lib/baresip/modules";

/// A running baresip.
pub struct Baresip {
    process: Process,
    folder: PathBuf,
}

impl Baresip {
    /// Starts it at the carrier's address; it answers every call, says `speech` (16-bit mono WAV of 8 kHz) and records
    /// what it hears.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn answers(carrier: &Carrier, speech: &Path, folder: &Path) -> Self {
        let folder = folder.join("baresip");
        std::fs::create_dir(&folder).expect("a folder");
        let address = carrier.address();
        let configuration = format!(
            "sip_listen {address}\nmodule_path {MODULES}\n\
            audio_player aufile,{heard}\naudio_source aufile,{speech}\naudio_alert aufile,{alert}\n\
            module g711.so\nmodule aufile.so\nmodule_app account.so\nmodule_app menu.so\n\
            audio_buffer 20-160\naudio_srate 8000\naudio_channels 1\nrtp_ports 10000-19998\nnet_interface lo\n",
            heard = folder.join("heard.wav").display(),
            speech = speech.display(),
            alert = folder.join("alert.wav").display(),
        );
        std::fs::write(folder.join("config"), configuration).expect("its configuration");
        let account =
            format!("<sip:callee@{address};transport=udp>;regint=0;answermode=auto;audio_codecs=PCMU,PCMA\n");
        std::fs::write(folder.join("accounts"), account).expect("its account");
        std::fs::write(folder.join("contacts"), "").expect("its contacts");
        let mut command = Command::new("baresip");
        command.arg("-f").arg(&folder).args(["-4", "-v", "-s"]).current_dir(&folder);
        let mut process = Process::start("baresip", &mut command, &folder, Stdio::null());
        wait_for("baresip to be ready", || {
            assert!(process.ended().is_none(), "baresip ended: {}", process.output());
            process.output().contains("baresip is ready").then_some(())
        });
        Self { process, folder }
    }

    /// Returns the samples it has recorded so far.
    #[must_use]
    pub fn heard(&self) -> Vec<i16> {
        let bytes = std::fs::read(self.folder.join("heard.wav")).unwrap_or_default();
        // aufile writes the 44 bytes of a plain header.
        let samples = bytes.get(44..).unwrap_or_default().chunks_exact(2);
        samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- baresip\n{}\n{}", self.process.output(), read(&self.folder.join("config")));
        }
    }
}
