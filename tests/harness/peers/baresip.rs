//! baresip, a user agent that is not ours, without a sound card: what it decodes is what it says.

use super::process::{Process, read};
use super::stage::{Carrier, EAST_NUMBER};
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
    /// Starts it at the carrier's address; it answers every call at once. Its loudspeaker is bridged to its microphone, so
    /// that it decodes what it hears, encodes that again, and says it.
    ///
    /// Its media come from 127.0.0.1, whatever its address is: it binds its RTP sockets to none.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn echoes(carrier: &Carrier, folder: &Path) -> Self {
        // Everything at the rate of G.711.
        Self::start(carrier, folder, "PCMU,PCMA", "module g711.so\naudio_srate 8000\naudio_channels 1\n")
    }

    /// As [`echoes`](Self::echoes), but it speaks Opus alone, at 48 kHz and in stereo, as it does by itself.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn echoes_in_opus(carrier: &Carrier, folder: &Path) -> Self {
        Self::start(carrier, folder, "opus", "module opus.so\n")
    }

    fn start(carrier: &Carrier, folder: &Path, codecs: &str, audio: &str) -> Self {
        let folder = folder.join("baresip");
        std::fs::create_dir(&folder).expect("a folder");
        let address = carrier.address();
        let configuration = format!(
            "sip_listen {address}\nnet_interface {ip}\nmodule_path {MODULES}\n\
            audio_player aubridge,loop\naudio_source aubridge,loop\naudio_alert aubridge,alert\n\
            {audio}module aubridge.so\nmodule_app account.so\nmodule_app menu.so\n\
            audio_buffer 20-160\nrtp_ports 10000-19998\n",
            ip = address.ip(),
        );
        std::fs::write(folder.join("config"), configuration).expect("its configuration");
        let account = format!(
            "<sip:{EAST_NUMBER}@{address};transport=udp>;regint=0;answermode=auto;audio_codecs={codecs}\n"
        );
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
}

impl Drop for Baresip {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- baresip\n{}\n{}", self.process.output(), read(&self.folder.join("config")));
        }
    }
}
