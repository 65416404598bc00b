//! `[sms.server]` and `[[sms.account]]`: customers' own systems that bind to us.

use super::super::http::CertificateFiles;
use super::super::reader::Section;
use super::super::{check, positive, seconds};
use super::smpp::{PASSWORD_MAX, Password, SYSTEM_ID_MAX, WINDOW_MAX, password, short};
use super::word;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use trunkline_sms::bucket::Rate;
use trunkline_sms::pdu::BindKind;
use trunkline_sms::session::Timers;
use trunkline_sms::text::DefaultAlphabet;
use trunkline_storage::messages::Purpose;

/// Where customers' systems bind.
#[derive(Debug, Clone, PartialEq)]
pub struct SmsServer {
    /// Listeners; port 0 takes any free one. None of them: no server.
    pub listen: Vec<SocketAddr>,
    /// The same with TLS from the first octet.
    pub tls_listen: Vec<SocketAddr>,
    /// The certificate of those.
    pub certificate: Option<CertificateFiles>,
    /// Our system_id.
    pub system_id: String,
    /// Most connections at once.
    pub connections_max: u32,
    /// Most connections at once from one address.
    pub per_source_max: u32,
    /// Times of sessions.
    pub timers: Timers,
    /// Who may bind.
    pub accounts: Vec<SmsAccount>,
}

/// A customer's account.
#[derive(Debug, Clone, PartialEq)]
pub struct SmsAccount {
    /// Its name, for us.
    pub name: String,
    /// Its name in binds.
    pub system_id: String,
    /// Its password.
    pub password: Password,
    /// The resource whose numbers it sends from.
    pub resource: String,
    /// Networks that it may come from; none for any.
    pub sources: Vec<IpNet>,
    /// Ways it may bind; none for any.
    pub kinds: Vec<BindKind>,
    /// Most sessions at once.
    pub binds_max: u32,
    /// Most requests of a session without an answer.
    pub window: u32,
    /// Most deliver_sm of ours without an answer, for each session.
    pub deliver_window: u32,
    /// Most messages for each session; none for no limit of ours.
    pub rate: Option<Rate>,
    /// What its messages are for.
    pub purpose: Purpose,
    /// What it means by data_coding 0.
    pub alphabet: DefaultAlphabet,
    /// Whether it is given the texts that come in for numbers of its resource.
    pub receives_texts: bool,
}

pub(super) fn server(mut section: Section<'_, '_>, accounts: Vec<Section<'_, '_>>) -> SmsServer {
    let accounts: Vec<SmsAccount> = accounts.into_iter().filter_map(account).collect();
    let names: BTreeSet<&str> = accounts.iter().map(|account| account.name.as_str()).collect();
    let ids: BTreeSet<&str> = accounts.iter().map(|account| account.system_id.as_str()).collect();
    if names.len() != accounts.len() || ids.len() != accounts.len() {
        section.problem("", "two accounts have the same name or system_id");
    }
    let tls_listen: Vec<SocketAddr> = section.list("tls_listen").unwrap_or_default();
    let listen: Option<Vec<SocketAddr>> = section.list("listen");
    // Whoever has accounts wants them to get in.
    let default = || {
        let any = accounts.is_empty() || !tls_listen.is_empty();
        if any { Vec::new() } else { vec![SocketAddr::from(([0, 0, 0, 0], PORT))] }
    };
    let listen = listen.unwrap_or_else(default);
    check::listeners(&section, "listen", &listen);
    check::listeners(&section, "tls_listen", &tls_listen);
    let certificate = super::super::http::certificate(&mut section);
    if certificate.is_none() && !tls_listen.is_empty() {
        section.problem("tls_listen", "needs certificate and key beside it");
    }
    let default = Timers::default();
    let system_id = short(&mut section, "system_id", SYSTEM_ID_MAX);
    let server = SmsServer {
        listen,
        tls_listen,
        certificate,
        system_id: if system_id.is_empty() { "trunkline".to_owned() } else { system_id },
        connections_max: positive(&mut section, "connections_max", 500),
        per_source_max: positive(&mut section, "per_source_max", 50),
        timers: Timers {
            session_init: seconds(&mut section, "bind_secs", default.session_init.as_secs() as u32),
            enquire_link: Some(seconds(&mut section, "enquire_link_secs", 30)),
            response: seconds(&mut section, "response_secs", default.response.as_secs() as u32),
            inactivity: seconds(&mut section, "inactivity_secs", default.inactivity.as_secs() as u32),
        },
        accounts,
    };
    section.close();
    server
}

fn account(mut section: Section<'_, '_>) -> Option<SmsAccount> {
    let name = section.required::<String>("name");
    if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > NAME_MAX) {
        section.problem("name", format!("is 1 to {NAME_MAX} characters"));
    }
    let system_id = short(&mut section, "system_id", SYSTEM_ID_MAX);
    if system_id.is_empty() {
        section.problem("system_id", format!("is 1 to {SYSTEM_ID_MAX} ASCII characters"));
    }
    let password = password(&mut section);
    if password == Password::Given(String::new()) {
        section
            .problem("password", format!("is 1 to {PASSWORD_MAX} characters: anyone can bind without one"));
    }
    let resource = section.required::<String>("resource");
    let binds = section.list::<String>("binds").unwrap_or_default();
    let kinds: Vec<BindKind> = binds.iter().filter_map(|word| kind(word)).collect();
    if kinds.len() != binds.len() {
        section.problem("binds", "names transmitter, receiver or transceiver");
    }
    let mut window = |key, default| {
        let window = positive(&mut section, key, default);
        if window > WINDOW_MAX {
            section.problem(key, format!("is at most {WINDOW_MAX}"));
        }
        window
    };
    let (window, deliver_window) = (window("window", 10), window("deliver_window", 10));
    let account = SmsAccount {
        name: name?,
        system_id,
        password,
        resource: resource?,
        sources: section.list("sources").unwrap_or_default(),
        kinds,
        binds_max: positive(&mut section, "binds_max", 4),
        window,
        deliver_window,
        rate: section.value::<u32>("messages_per_sec_max").filter(|rate| *rate > 0).map(Rate::per_second),
        purpose: word(
            &mut section,
            "purpose",
            ("transactional", Purpose::Transactional),
            &[("marketing", Purpose::Marketing)],
        ),
        alphabet: word(
            &mut section,
            "alphabet",
            ("gsm7", DefaultAlphabet::Gsm7),
            &[("gsm7_packed", DefaultAlphabet::Gsm7Packed), ("latin1", DefaultAlphabet::Latin1)],
        ),
        receives_texts: section.value("receives_texts").unwrap_or(true),
    };
    section.close();
    Some(account)
}

fn kind(word: &str) -> Option<BindKind> {
    Some(match word {
        "transmitter" => BindKind::Transmitter,
        "receiver" => BindKind::Receiver,
        "transceiver" => BindKind::Transceiver,
        _ => return None,
    })
}

/// The port of SMPP.
const PORT: u16 = 2775;

/// Names are part of keys in the store.
const NAME_MAX: usize = 64;
