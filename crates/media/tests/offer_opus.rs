//! Opus in offers and answers (RFC 7587).

use trunkline_media::{
    Accepted, ClockRate, Local, MediaSession, Negotiated, Payload, Wish, offer::Error, opus::Settings,
};
use trunkline_model::{Codec, MediaPolicy, OpusPolicy, Prefer};

/// An offer over plain RTP in the manner of browsers.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 109 9 0 8 96 97 13\r\n\
    a=rtpmap:109 opus/48000/2\r\na=fmtp:109 minptime=10; useinbandfec=1 ;usedtx=1;maxaveragebitrate=16000\r\n\
    a=rtpmap:96 telephone-event/48000\r\na=rtpmap:97 telephone-event/8000\r\na=maxptime:120\r\n";

fn policy(prefer: Prefer) -> MediaPolicy {
    MediaPolicy { codecs: vec![Codec::Opus, Codec::Pcmu, Codec::Pcma], prefer, ..MediaPolicy::default() }
}

fn session(policy: &MediaPolicy) -> MediaSession {
    MediaSession::new(Local::new("192.0.2.1".parse().unwrap(), 20000, policy), 1)
}

fn wish(prefer: Codec) -> Wish {
    Wish { prefer: Some(prefer), ..Wish::default() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn answered(prefer: Prefer, wish: Wish) -> (String, Negotiated) {
    let mut ours = session(&policy(prefer));
    let answer = text(&ours.answer_to(OFFER.as_bytes(), wish).unwrap());
    (answer, *ours.negotiated().unwrap())
}

#[test]
fn an_offer_says_that_the_clock_is_fast_and_the_band_narrow() {
    let offer = text(&session(&policy(Prefer::Quality)).offer(wish(Codec::Pcma)));
    let media: Vec<&str> = offer.split("\r\n").skip(5).collect();
    assert_eq!(
        media,
        [
            "m=audio 20000 RTP/AVP 111 0 8 110 101 13",
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 maxplaybackrate=8000;stereo=0;useinbandfec=1",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:110 telephone-event/48000",
            "a=fmtp:110 0-16",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-16",
            "a=rtpmap:13 CN/8000",
            "a=ptime:20",
            "a=sendrecv",
            "",
        ]
    );
    let wide = text(&session(&policy(Prefer::Quality)).offer(wish(Codec::Opus)));
    assert!(
        wide.contains("\r\na=fmtp:111 stereo=0;useinbandfec=1\r\n"),
        "the other leg has Opus too: {wide}"
    );
}

#[test]
fn quality_is_opus_and_passing_through_is_the_codec_of_the_other_leg() {
    let (answer, negotiated) = answered(Prefer::Quality, wish(Codec::Pcma));
    assert!(answer.contains("m=audio 20000 RTP/AVP 109 0 8 96 97 13\r\n"), "{answer}");
    assert_eq!(negotiated.send.audio(), Some((109, Codec::Opus)));
    assert_eq!(negotiated.send.telephone_event(), Some((96, ClockRate::Hz48000)));

    let (answer, negotiated) = answered(Prefer::Passthrough, wish(Codec::Pcma));
    assert!(answer.contains("m=audio 20000 RTP/AVP 8 109 0 96 97 13\r\n"), "{answer}");
    assert_eq!(negotiated.send.audio(), Some((8, Codec::Pcma)));
    assert_eq!(negotiated.send.telephone_event(), Some((97, ClockRate::Hz8000)));
    assert_eq!(negotiated.receive.payload(109), Some(Payload::Audio(Codec::Opus)), "which may still come");

    let offered = |prefer| text(&session(&policy(prefer)).offer(wish(Codec::Pcmu)));
    assert!(offered(Prefer::Quality).contains("RTP/AVP 111 0 8 "));
    assert!(offered(Prefer::Passthrough).contains("RTP/AVP 0 111 8 "));
}

#[test]
fn a_trunk_without_opus_in_its_policy_never_has_it() {
    let mut ours = session(&MediaPolicy::default());
    let answer = text(&ours.answer_to(OFFER.as_bytes(), Wish::default()).unwrap());
    assert!(answer.contains("m=audio 20000 RTP/AVP 0 8 97 13\r\n"), "{answer}");
    let only = OFFER.replace("109 9 0 8 96 97 13", "109");
    assert_eq!(ours.answer_to(only.as_bytes(), Wish::default()), Err(Error::NoCodec));
}

#[test]
fn what_the_peer_wants_of_opus_is_done_as_far_as_policy_goes() {
    let settings = |parameters: &str, opus: OpusPolicy| {
        let mut ours = session(&MediaPolicy { opus, ..policy(Prefer::Quality) });
        let end = OFFER.find("a=fmtp:109").unwrap();
        let start = end + OFFER[end..].find("\r\n").unwrap();
        let offer = format!("{}a=fmtp:109 {parameters}{}", &OFFER[..end], &OFFER[start..]);
        ours.answer_to(offer.as_bytes(), Wish::default()).unwrap();
        ours.negotiated().unwrap().opus
    };
    let policy = OpusPolicy::default();
    let plain = Settings { fec: false, dtx: false, ..Settings::default() };
    assert_eq!(
        answered(Prefer::Quality, Wish::default()).1.opus,
        Settings { bitrate_bps: 16_000, fec: true, dtx: true, ..plain }
    );
    assert_eq!(settings("minptime=10", policy), plain);
    assert_eq!(settings("cbr=1", policy), Settings { constant: true, ..plain });
    assert_eq!(settings("maxaveragebitrate=510000", policy), plain, "policy has less");
    assert_eq!(settings("maxaveragebitrate=0", policy), Settings { bitrate_bps: 6000, ..plain });
    assert_eq!(settings("maxaveragebitrate=-1;usedtx=yes;;=;useinbandfec", policy), plain);
    let frugal = OpusPolicy { complexity: 1, bitrate_bps: 12_000, fec: false, dtx: false };
    assert_eq!(
        settings("useinbandfec=1;usedtx=1", frugal),
        Settings { complexity: 1, bitrate_bps: 12_000, ..plain }
    );
}

#[test]
fn an_answer_is_read_and_a_later_offer_keeps_its_codec_and_bytes() {
    let mut ours = session(&policy(Prefer::Quality));
    ours.offer(wish(Codec::Pcmu));
    let answer = "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 111 110\r\na=rtpmap:111 OPUS/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
        a=rtpmap:110 telephone-event/48000\r\na=ptime:60\r\n";
    assert_eq!(ours.accept_answer(answer.as_bytes()), Ok(Accepted::Changed));
    let negotiated = *ours.negotiated().unwrap();
    assert_eq!(negotiated.send.audio(), Some((111, Codec::Opus)));
    assert!(negotiated.opus.fec && !negotiated.opus.dtx);
    let standing = ours.standing().unwrap().clone();
    assert_eq!(ours.refresh(), standing, "a refresh is the same bytes");
    ours.accept_answer(answer.as_bytes()).unwrap();
    assert_eq!(ours.offer(wish(Codec::Pcmu)), standing, "and so is an offer that changes nothing");
}

#[test]
fn a_peer_without_opus_keeps_its_codec_in_later_offers() {
    let mut ours = session(&policy(Prefer::Quality));
    ours.offer(Wish::default());
    let answer = "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    ours.accept_answer(answer.as_bytes()).unwrap();
    assert!(text(&ours.offer(Wish::default())).contains("RTP/AVP 8 111 0 "));
}

#[test]
fn opus_that_is_not_that_of_the_rfc_is_not_taken() {
    for wrong in ["opus/48000", "opus/48000/1", "opus/8000/2", "opus/16000/2"] {
        let mut ours = session(&policy(Prefer::Quality));
        ours.answer_to(OFFER.replace("opus/48000/2", wrong).as_bytes(), Wish::default()).unwrap();
        assert_eq!(ours.negotiated().unwrap().send.audio(), Some((0, Codec::Pcmu)), "{wrong}");
    }
}

#[test]
fn a_number_of_the_peers_is_used_again_when_we_offer() {
    let mut ours = session(&policy(Prefer::Quality));
    ours.answer_to(OFFER.as_bytes(), Wish::default()).unwrap();
    let offer = text(&ours.offer(Wish::default()));
    assert!(offer.contains("m=audio 20000 RTP/AVP 109 0 8 96 97 13\r\n"), "{offer}");
}
