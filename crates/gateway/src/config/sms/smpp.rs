//! How a carrier is reached by SMPP.

use super::super::reader::Section;
use super::super::{positive, seconds};
use super::{statuses, word};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use trunkline_model::Host;
use trunkline_sms::pdu::{Address, Bind, BindKind, Tlv};
use trunkline_sms::session::client::{DELIVER_WINDOW_DEFAULT, WINDOW_DEFAULT};
use trunkline_sms::session::submit::{SubmitProfile, TonNpi};
use trunkline_sms::session::{ClientConfig, Timers};

/// Our sessions at a carrier.
#[derive(Debug, Clone, PartialEq)]
pub struct SmppCarrier {
    /// Where it is.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// The account.
    pub system_id: String,
    /// Its password.
    pub password: Password,
    /// system_type, which some carriers ask for.
    pub system_type: String,
    /// Which sessions are opened.
    pub binds: Binds,
    /// What every session has in common.
    pub session: Session,
    /// How submit_sm look.
    pub profile: SubmitProfile,
}

/// What every session of a carrier has in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Most submit_sm without an answer.
    pub window: usize,
    /// Most deliver_sm that are not acknowledged.
    pub deliver_window: usize,
    /// Times.
    pub timers: Timers,
    /// What statuses mean.
    pub statuses: trunkline_sms::status::StatusTable,
    /// The pause before binding again with an account that was refused.
    pub refused_pause: Duration,
}

/// Which sessions are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binds {
    /// So many transceivers.
    Transceivers(u16),
    /// So many transmitters, and as many receivers.
    Pairs(u16),
}

/// TLS to a carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The name that its certificate must be for.
    pub server_name: String,
    /// The authorities that may have signed it; none for those of the system.
    pub ca_file: Option<PathBuf>,
}

/// A password, or the file that holds it. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// The password.
    Given(String),
    /// A file; line ends behind the password do not belong to it.
    File(PathBuf),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// Returns the password.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn read(&self) -> std::io::Result<String> {
        match self {
            Self::Given(password) => Ok(password.clone()),
            Self::File(path) => {
                std::fs::read_to_string(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }
}

impl SmppCarrier {
    /// Returns the configuration of one of its sessions.
    pub(crate) fn client(&self, kind: BindKind, password: String) -> ClientConfig {
        let bind = Bind {
            kind,
            system_id: self.system_id.clone(),
            password,
            system_type: self.system_type.clone(),
            version: 0x34,
            range: Address::default(),
        };
        let Session { window, deliver_window, timers, statuses, refused_pause } = self.session.clone();
        ClientConfig { window, deliver_window, timers, statuses, refused_pause, ..ClientConfig::new(bind) }
    }
}

pub(super) fn smpp(mut section: Section<'_, '_>) -> Option<SmppCarrier> {
    let host = section.required::<Host>("host");
    let port = section.value::<u16>("port").unwrap_or(2775);
    if port == 0 {
        section.problem("port", "is 1 to 65535");
    }
    let tls = tls(&mut section, host.as_ref());
    let system_id = short(&mut section, "system_id", SYSTEM_ID_MAX);
    let password = password(&mut section);
    let system_type = short(&mut section, "system_type", SYSTEM_TYPE_MAX);
    let count = section.value::<u16>("binds").unwrap_or(1);
    if !(1..=BINDS_MAX).contains(&count) {
        section.problem("binds", format!("is 1 to {BINDS_MAX}"));
    }
    let transceivers = word(&mut section, "bind", ("transceiver", true), &[("transmitter_receiver", false)]);
    let binds = if transceivers { Binds::Transceivers(count) } else { Binds::Pairs(count) };
    let session = session(&mut section);
    let profile = profile(&mut section);
    section.close();
    Some(SmppCarrier { host: host?, port, tls, system_id, password, system_type, binds, session, profile })
}

fn session(section: &mut Section<'_, '_>) -> Session {
    let default = Timers::default();
    let window = positive(section, "window", WINDOW_DEFAULT as u32);
    if window > WINDOW_MAX {
        section.problem("window", format!("is at most {WINDOW_MAX}"));
    }
    let enquire = section.value::<u32>("enquire_link_secs").unwrap_or(30);
    let response = seconds(section, "response_secs", default.response.as_secs() as u32);
    Session {
        window: window as usize,
        deliver_window: positive(section, "deliver_window", DELIVER_WINDOW_DEFAULT as u32).min(WINDOW_MAX)
            as usize,
        timers: Timers {
            session_init: default.session_init,
            enquire_link: (enquire > 0).then(|| Duration::from_secs(enquire.into())),
            response,
            inactivity: seconds(section, "inactivity_secs", default.inactivity.as_secs() as u32),
        },
        statuses: statuses(section.sections("status")),
        refused_pause: seconds(section, "refused_pause_secs", 300),
    }
}

fn profile(section: &mut Section<'_, '_>) -> SubmitProfile {
    let default = SubmitProfile::default();
    let priority = section.value("priority").unwrap_or(default.priority);
    if priority > 3 {
        section.problem("priority", "is 0 to 3");
    }
    SubmitProfile {
        service_type: short(section, "service_type", SERVICE_TYPE_MAX),
        source_number: ton_npi(section, "source_number", default.source_number),
        source_short_code: ton_npi(section, "source_short_code", default.source_short_code),
        source_name: ton_npi(section, "source_name", default.source_name),
        destination: ton_npi(section, "destination", default.destination),
        plus: section.value("plus").unwrap_or(default.plus),
        priority,
        validity: section.value("validity_period").unwrap_or(default.validity),
        more_messages: section.value("more_messages").unwrap_or(default.more_messages),
        default_coding: section.value("default_data_coding").unwrap_or(default.default_coding),
        tlvs: section.sections("tlv").into_iter().filter_map(tlv).collect(),
    }
}

/// Reads `[ton, npi]`.
fn ton_npi(section: &mut Section<'_, '_>, key: &'static str, default: TonNpi) -> TonNpi {
    match section.list::<u8>(key).as_deref() {
        None => default,
        Some(&[ton, npi]) => TonNpi { ton, npi },
        Some(_) => {
            section.problem(key, "is type of number and numbering plan, such as [1, 1]");
            default
        }
    }
}

fn tlv(mut section: Section<'_, '_>) -> Option<Tlv> {
    let tag = section.required::<u16>("tag");
    let text = section.required::<String>("hex");
    let octets = text.as_deref().and_then(|text| {
        let pairs = text.as_bytes().chunks(2);
        let octet = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
            u8::from_str_radix(text, 16).ok()
        };
        pairs.map(octet).collect::<Option<Vec<u8>>>()
    });
    if text.is_some() && octets.as_ref().is_none_or(|octets| octets.len() > TLV_OCTETS_MAX) {
        section.problem("hex", format!("is up to {TLV_OCTETS_MAX} octets in hexadecimal"));
    }
    section.close();
    Some(Tlv::new(tag?, octets?))
}

fn tls(section: &mut Section<'_, '_>, host: Option<&Host>) -> Option<Tls> {
    let wanted = section.value("tls").unwrap_or(false);
    let name = section.value::<String>("tls_server_name").filter(|name| !name.is_empty());
    let ca_file = section.value::<String>("tls_ca_file").filter(|path| !path.is_empty()).map(PathBuf::from);
    if !wanted {
        return None;
    }
    let name = name.or_else(|| host.map(Host::to_string)).unwrap_or_default();
    let name = name.trim_matches(['[', ']']).to_owned();
    if rustls::pki_types::ServerName::try_from(name.as_str()).is_err() {
        section.problem("tls_server_name", "is a DNS name or an address");
    }
    Some(Tls { server_name: name, ca_file })
}

pub(super) fn password(section: &mut Section<'_, '_>) -> Password {
    let given = section.value::<String>("password").filter(|text| !text.is_empty());
    let file = section.value::<String>("password_file").filter(|path| !path.is_empty());
    if given.as_ref().is_some_and(|password| password.len() > PASSWORD_MAX) {
        section.problem("password", format!("is at most {PASSWORD_MAX} characters (SMPP 3.4 §5.2.2)"));
    }
    match (given, file) {
        (Some(_), Some(path)) => {
            section.problem("password_file", "stands beside password: one of them is enough");
            Password::File(path.into())
        }
        (None, Some(path)) => Password::File(path.into()),
        (given, None) => Password::Given(given.unwrap_or_default()),
    }
}

pub(super) fn short(section: &mut Section<'_, '_>, key: &'static str, max: usize) -> String {
    let text = section.value::<String>(key).unwrap_or_default();
    if text.len() > max || !text.is_ascii() {
        section.problem(key, format!("is at most {max} ASCII characters"));
    }
    text
}

/// SMPP 3.4 §5.2: fields with their NUL are 16, 9, 13 and 6 octets.
pub(super) const SYSTEM_ID_MAX: usize = 15;
pub(super) const PASSWORD_MAX: usize = 8;
const SYSTEM_TYPE_MAX: usize = 12;
const SERVICE_TYPE_MAX: usize = 5;

/// Carriers allow tens of sessions for one account.
const BINDS_MAX: u16 = 64;
/// What is in a window may have to be sent twice after a disconnect; carriers allow tens.
pub(super) const WINDOW_MAX: u32 = 10_000;
/// Carriers' own TLVs are ids and flags.
const TLV_OCTETS_MAX: usize = 255;
