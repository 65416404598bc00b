//! A dialogue with a hostile peer: descriptions divided by NUL. A byte before each says what it is used as; one
//! without is an offer, so that saved descriptions make a corpus.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use trunkline_media::{Direction, DtlsEnd, Fingerprint, Local, MediaSession, Sdp, Wish};
use trunkline_model::{Codec, MediaPolicy};

fuzz_target!(|data: &[u8]| {
    let codecs = vec![Codec::Opus, Codec::Pcmu, Codec::Pcma];
    let policy = MediaPolicy { codecs, ..MediaPolicy::default() };
    let local = Local::new([192, 0, 2, 1].into(), 20000, &policy);
    dialogue(data, MediaSession::new(local, 1));
    let end = DtlsEnd { fingerprint: Fingerprint([7; 32]), others: Vec::new() };
    dialogue(data, MediaSession::with_browser(local, end, [1; 32]));
});

fn dialogue(data: &[u8], mut session: MediaSession) {
    let mut version = 0;
    for part in data.split(|&byte| byte == 0).take(32) {
        let (first, text) = match part {
            [] => continue,
            [b'v', b'=', ..] => (0, part),
            [first, text @ ..] => (*first, text),
        };
        let wish = Wish {
            direction: Direction::ALL[usize::from(first >> 2) % 4],
            prefer: [None, Some(Codec::Pcmu), Some(Codec::Pcma), Some(Codec::Opus)]
                [usize::from(first >> 4) % 4],
        };
        let state = |session: &MediaSession| {
            (session.negotiated().copied(), session.standing().cloned(), session.dtls().cloned())
        };
        let before = state(&session);
        let sent = match first % 4 {
            0 => {
                let offered = Sdp::parse(text).map(|sdp| sdp.media().len());
                let answer = session.answer_to(text, wish);
                if let Ok(answer) = &answer {
                    assert_eq!(Sdp::parse(answer).map(|sdp| sdp.media().len()), offered);
                }
                answer
            }
            1 => Ok(session.offer(wish)),
            2 => Ok(session.refresh()),
            _ => match session.accept_answer(text) {
                Ok(_) => continue,
                Err(error) => Err(error),
            },
        };
        match sent {
            Ok(sent) => version = check(&sent, version),
            Err(error) => {
                let _ = (error.status(), error.warning());
                assert_eq!(state(&session), before, "a failed exchange changed the session");
                session.rollback();
            }
        }
        if let Some(negotiated) = session.negotiated() {
            assert!(negotiated.send.audio().is_some() && negotiated.receive.audio().is_some());
            assert!(!negotiated.remote_rtp.ip().is_multicast() && negotiated.remote_rtp.port() != 0);
            let held = SocketAddr::from(([0, 0, 0, 0], 0)).ip() == negotiated.remote_rtp.ip();
            assert!(!(held && negotiated.may_send()));
        }
    }
}

/// What we send is a description, strictly, and its version never goes back.
fn check(sent: &[u8], before: u64) -> u64 {
    let sdp = Sdp::parse(sent).expect("our own description is read");
    assert_eq!(sdp.print(), sent);
    let version = sdp.origin().version.parse().expect("our own version is a number");
    assert!(version >= before);
    version
}
