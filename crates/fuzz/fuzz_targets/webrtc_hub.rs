//! The socket for browsers: datagrams of any content from a stranger and from an address that a check has proved. None of
//! them ends the leg, for none of them is authentic.
//!
//! Each datagram is a byte of waiting time in milliseconds, whose lowest bit says who sends it, two of length, and that
//! many bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use str0m::net::Protocol;
use str0m::{Candidate, Input, Output, RtcConfig};
use trunkline_media::{DtlsEnd, DtlsTransport, Local, MediaSession, Wish};
use trunkline_model::{MediaPolicy, clock};
use trunkline_webrtc::{CONNECT_MAX, Certificate, Event, Failure, Hub, HubConfig};

const SERVER: ([u8; 4], u16) = ([198, 51, 100, 1], 40_000);
const BROWSER: ([u8; 4], u16) = ([203, 0, 113, 7], 50_000);
const STRANGER: ([u8; 4], u16) = ([192, 0, 2, 66], 6_666);

/// What a browser agreed on with us, and its first check.
struct Browser {
    certificate: Certificate,
    transport: DtlsTransport,
    check: Vec<u8>,
}

fuzz_target!(|data: &[u8]| {
    static BROWSER_THERE: OnceLock<Browser> = OnceLock::new();
    let browser = BROWSER_THERE.get_or_init(browser);
    let start = clock::first_instant();
    let mut now = start;
    let config = HubConfig::new(browser.certificate.clone(), vec![SocketAddr::from(SERVER)]);
    let mut hub: Hub<u8> = Hub::new(config);
    hub.agree(now, 1, &browser.transport).expect("there is room");
    hub.handle_datagram(now, SocketAddr::from(BROWSER), &browser.check).expect("its check is authentic");
    let mut rest = data;
    while let [wait, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (datagram, tail) = tail.split_at(tail.len().min(length));
        rest = tail;
        now += Duration::from_millis(u64::from(*wait));
        let source = SocketAddr::from(if wait & 1 == 0 { BROWSER } else { STRANGER });
        let _ = hub.handle_datagram(now, source, datagram);
        hub.handle_timeout(now);
        assert!(hub.poll_rtp().is_none(), "nothing was encrypted for us");
        while let Some(transmit) = hub.poll_transmit() {
            assert_eq!(transmit.remote, SocketAddr::from(BROWSER), "a stranger is answered");
        }
        while let Some((_, event)) = hub.poll_event() {
            let is_late = now >= start + CONNECT_MAX;
            assert!(matches!(event, Event::Failed(Failure::Dtls)) && is_late, "{event:?}");
        }
    }
});

fn browser() -> Browser {
    let now: Instant = clock::first_instant();
    let certificate = Certificate::generate().expect("cryptography that works");
    let local = Local::new(SERVER.0.into(), SERVER.1, &MediaPolicy::default());
    let end = DtlsEnd { fingerprint: certificate.fingerprint(), others: Vec::new() };
    let mut session = MediaSession::with_browser(local, end, [9; 32]);
    let mut rtc = RtcConfig::new().enable_pcmu(true, false).build(now);
    let address = SocketAddr::from(BROWSER);
    rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("an address"));
    let mut api = rtc.sdp_api();
    api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
    let (offer, pending) = api.apply().expect("an offer");
    let answer = session.answer_to(offer.to_sdp_string().as_bytes(), Wish::default()).expect("an answer");
    let answer = SdpAnswer::from_sdp_string(std::str::from_utf8(&answer).expect("text")).expect("a description");
    rtc.sdp_api().accept_answer(pending, answer).expect("an answer that fits");
    let mut at = now;
    loop {
        match rtc.poll_output().expect("an output") {
            Output::Transmit(transmit) => {
                let transport = session.dtls().expect("a path").clone();
                return Browser { certificate, transport, check: transmit.contents.to_vec() };
            }
            Output::Timeout(next) => {
                at = next.max(at + Duration::from_millis(1));
                rtc.handle_input(Input::Timeout(at)).expect("time passes");
            }
            Output::Event(_) => {}
        }
    }
}
