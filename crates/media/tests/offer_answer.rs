//! Offer and answer as a peer sees them: what is on the wire, and what each side then does.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::net::SocketAddr;
use trunkline_media::offer::Error;
use trunkline_media::{Accepted, ClockRate, Direction, Local, MediaSession, Payload, Sdp, Wish};
use trunkline_model::{Codec, MediaPolicy};

#[test]
fn a_first_offer_is_what_carriers_expect() {
    let mut ours = session(20000);

    let offer = text(&ours.offer(Wish::default()));

    let lines: Vec<&str> = offer.split("\r\n").collect();
    assert_eq!(lines[0], "v=0");
    assert!(lines[1].starts_with("o=- ") && lines[1].ends_with(" 1 IN IP4 192.0.2.1"), "{}", lines[1]);
    assert_eq!(
        lines[2..],
        [
            "s=-",
            "c=IN IP4 192.0.2.1",
            "t=0 0",
            "m=audio 20000 RTP/AVP 0 8 101 13",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-16",
            "a=rtpmap:13 CN/8000",
            "a=ptime:20",
            "a=sendrecv",
            "",
        ]
    );
}

#[test]
fn both_sides_of_a_first_exchange_agree() {
    let (mut caller, mut callee) = (session(20000), session(30000));
    let offer = caller.offer(Wish::default());
    let answer = callee.answer_to(&offer, Wish { prefer: Some(Codec::Pcma), ..Wish::default() }).unwrap();
    assert_eq!(caller.accept_answer(&answer), Ok(Accepted::Changed));

    let (at_caller, at_callee) = (caller.negotiated().unwrap(), callee.negotiated().unwrap());
    assert_eq!(at_caller.send.audio(), Some((8, Codec::Pcma)));
    assert_eq!(at_callee.send.audio(), Some((8, Codec::Pcma)));
    assert_eq!(at_caller.remote_rtp, "192.0.2.1:30000".parse::<SocketAddr>().unwrap());
    assert_eq!(at_callee.remote_rtp, "192.0.2.1:20000".parse::<SocketAddr>().unwrap());
    assert_eq!(at_callee.remote_rtcp.port(), 20001);
    assert_eq!(at_caller.direction, Direction::SendRecv);
}

#[test]
fn an_answer_has_only_formats_of_the_offer_under_its_numbers() {
    let mut ours = session(20000);
    let answer = text(&ours.answer_to(&fixture("audio_and_t38"), Wish::default()).unwrap());

    assert!(answer.contains("\r\nm=audio 20000 RTP/AVP 8 0 96\r\n"), "{answer}");
    assert!(answer.contains("\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\n"), "{answer}");
    assert!(answer.contains("\r\nm=image 0 udptl t38\r\n"), "{answer}");
    assert_eq!(answer.matches("telephone-event").count(), 1);
    let negotiated = ours.negotiated().unwrap();
    assert_eq!(negotiated.receive.payload(96), Some(Payload::TelephoneEvent(ClockRate::Hz8000)));
    assert_eq!(negotiated.receive.payload(101), None);
    assert_eq!(negotiated.send.telephone_event(), Some((96, ClockRate::Hz8000)));
    assert_eq!(negotiated.send.audio(), Some((8, Codec::Pcma)));
}

#[test]
fn the_offerers_order_counts_until_a_codec_is_preferred() {
    for (prefer, line, codec) in [
        (None, "RTP/AVP 0 8 101\r\n", Codec::Pcmu),
        (Some(Codec::Pcmu), "RTP/AVP 0 8 101\r\n", Codec::Pcmu),
        (Some(Codec::Pcma), "RTP/AVP 8 0 101\r\n", Codec::Pcma),
    ] {
        let mut ours = session(20000);
        let wish = Wish { prefer, ..Wish::default() };
        let answer = text(&ours.answer_to(&fixture("carrier_offer"), wish).unwrap());
        assert!(answer.contains(line), "{prefer:?}: {answer}");
        assert_eq!(ours.negotiated().unwrap().send.audio().unwrap().1, codec);
    }
}

#[test]
fn a_codec_that_policy_forbids_is_neither_answered_nor_preferred() {
    let policy = MediaPolicy { codecs: vec![Codec::Pcma], telephone_event: false, ..MediaPolicy::default() };
    let mut ours = MediaSession::new(Local::new("192.0.2.1".parse().unwrap(), 20000, &policy), 1);
    let wish = Wish { prefer: Some(Codec::Pcmu), ..Wish::default() };
    let answer = text(&ours.answer_to(&fixture("carrier_offer"), wish).unwrap());
    assert!(answer.contains("m=audio 20000 RTP/AVP 8\r\n"), "{answer}");

    let only_pcmu = offer_text("m=audio 6000 RTP/AVP 0\r\n");
    assert_eq!(ours.clone().answer_to(only_pcmu.as_bytes(), Wish::default()), Err(Error::NoCodec));
}

#[test]
fn of_two_event_lines_the_one_with_the_clock_of_the_audio_is_taken() {
    let mut ours = session(20000);
    let answer = text(&ours.answer_to(&fixture("two_event_clocks"), Wish::default()).unwrap());
    assert!(answer.contains("m=audio 20000 RTP/AVP 8 98\r\n"), "{answer}");
    assert_eq!(ours.negotiated().unwrap().send.telephone_event(), Some((98, ClockRate::Hz8000)));
}

#[test]
fn dynamic_numbers_for_static_codecs_are_understood() {
    let offer =
        offer_text("m=audio 6000 RTP/AVP 96 97\r\na=rtpmap:96 pcmu/8000\r\na=rtpmap:97 PCMA/8000/1\r\n");
    let mut ours = session(20000);
    let answer = text(&ours.answer_to(offer.as_bytes(), Wish::default()).unwrap());
    assert!(answer.contains("RTP/AVP 96 97\r\na=rtpmap:96 PCMU/8000\r\n"), "{answer}");
    assert_eq!(ours.negotiated().unwrap().receive.payload(97), Some(Payload::Audio(Codec::Pcma)));
}

#[test]
fn a_static_number_that_is_mapped_elsewhere_is_not_trusted() {
    let offer = offer_text("m=audio 6000 RTP/AVP 0 8\r\na=rtpmap:0 L16/8000\r\n");
    let mut ours = session(20000);
    let answer = text(&ours.answer_to(offer.as_bytes(), Wish::default()).unwrap());
    assert!(answer.contains("RTP/AVP 8\r\n"), "{answer}");
}

#[test]
fn an_answer_with_other_numbers_makes_each_side_use_the_other_ones() {
    let mut ours = session(20000);
    ours.offer(Wish::default());
    let answer = offer_text("m=audio 6000 RTP/AVP 8 110 9\r\na=rtpmap:110 telephone-event/8000\r\n");
    ours.accept_answer(answer.as_bytes()).unwrap();

    let negotiated = ours.negotiated().unwrap();
    let events = Payload::TelephoneEvent(ClockRate::Hz8000);
    assert_eq!(negotiated.send.number(events), Some(110), "sent under the number the peer chose");
    assert_eq!(negotiated.receive.payload(101), Some(events), "received under ours");
    assert_eq!(negotiated.send.payload(9), None, "what was not offered is not used");
    assert_eq!(negotiated.send.audio(), Some((8, Codec::Pcma)));
}

#[test]
fn answer_direction_follows_rfc_3264_for_every_pair() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    // Offer, what we want, answer (RFC 3264 §6.1).
    let table = [
        (SendRecv, SendRecv, SendRecv),
        (SendRecv, SendOnly, SendOnly),
        (SendRecv, RecvOnly, RecvOnly),
        (SendRecv, Inactive, Inactive),
        (SendOnly, SendRecv, RecvOnly),
        (SendOnly, SendOnly, Inactive),
        (SendOnly, RecvOnly, RecvOnly),
        (SendOnly, Inactive, Inactive),
        (RecvOnly, SendRecv, SendOnly),
        (RecvOnly, SendOnly, SendOnly),
        (RecvOnly, RecvOnly, Inactive),
        (RecvOnly, Inactive, Inactive),
        (Inactive, SendRecv, Inactive),
        (Inactive, SendOnly, Inactive),
        (Inactive, RecvOnly, Inactive),
        (Inactive, Inactive, Inactive),
    ];
    for (offered, wanted, expected) in table {
        let (mut caller, mut callee) = connected();
        let offer = caller.offer(Wish { direction: offered, prefer: None });
        let answer = callee.answer_to(&offer, Wish { direction: wanted, prefer: None }).unwrap();
        assert_eq!(direction_on_the_wire(&answer), expected, "{offered:?} met {wanted:?}");
        caller.accept_answer(&answer).unwrap();
        assert_eq!(callee.negotiated().unwrap().direction, expected);
        assert_eq!(caller.negotiated().unwrap().direction, expected.reversed());
    }
}

#[test]
fn every_hold_ends_in_talking_both_ways_again() {
    use Direction::{Inactive, RecvOnly, SendRecv};
    let held = |lines: &str, address: &str| {
        format!("v=0\r\no=- 7 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{lines}")
    };
    for (name, hold, expected) in [
        ("sendonly", held("m=audio 6000 RTP/AVP 0\r\na=sendonly\r\n", "192.0.2.9"), RecvOnly),
        ("inactive", held("m=audio 6000 RTP/AVP 0\r\na=inactive\r\n", "192.0.2.9"), Inactive),
        ("session sendonly", held("a=sendonly\r\nm=audio 6000 RTP/AVP 0\r\n", "192.0.2.9"), RecvOnly),
        ("zero address", held("m=audio 6000 RTP/AVP 0\r\n", "0.0.0.0"), RecvOnly),
        ("zero address, inactive", held("m=audio 6000 RTP/AVP 0\r\na=inactive\r\n", "0.0.0.0"), Inactive),
        ("zero address, recvonly", held("m=audio 6000 RTP/AVP 0\r\na=recvonly\r\n", "0.0.0.0"), Inactive),
        ("zero media address", held("m=audio 6000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n", "192.0.2.9"), RecvOnly),
        ("port 0", held("m=audio 0 RTP/AVP 0\r\n", "192.0.2.9"), Inactive),
    ] {
        let mut ours = session(20000);
        let talk = held("m=audio 6000 RTP/AVP 0\r\n", "192.0.2.9");
        ours.answer_to(talk.as_bytes(), Wish::default()).unwrap();
        let before = *ours.negotiated().unwrap();

        assert!(ours.read_offer(hold.as_bytes()).unwrap().direction.is_hold(), "{name}");
        let answer = text(&ours.answer_to(hold.as_bytes(), Wish::default()).unwrap());
        assert_eq!(ours.negotiated().unwrap().direction, expected, "{name}");
        assert!(!ours.negotiated().unwrap().may_send(), "{name}");
        assert!(!answer.contains("0.0.0.0"), "{name}: we never hold by address");
        if name == "port 0" {
            assert!(answer.contains("m=audio 0 "), "{answer}");
        } else {
            assert_eq!(direction_on_the_wire(answer.as_bytes()), expected, "{name}");
        }

        let answer = ours.answer_to(talk.as_bytes(), Wish::default()).unwrap();
        assert_eq!(direction_on_the_wire(&answer), SendRecv, "{name}");
        assert_eq!(*ours.negotiated().unwrap(), before, "{name}");
        assert!(ours.negotiated().unwrap().may_send(), "{name}");
    }
}

#[test]
fn our_own_hold_and_resume_are_answered_and_end_as_before() {
    let (mut caller, mut callee) = connected();
    let before = *caller.negotiated().unwrap();
    exchange(&mut caller, &mut callee, Direction::SendOnly);
    assert_eq!(callee.negotiated().unwrap().direction, Direction::RecvOnly);
    exchange(&mut caller, &mut callee, Direction::SendRecv);
    assert_eq!(*caller.negotiated().unwrap(), before);
}

#[test]
fn holds_of_both_ends_cross_a_bridge_and_end_in_any_order() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    for first_resumes in [true, false] {
        let mut bridge = Bridge::new();
        assert_eq!(bridge.directions(), (SendRecv, SendRecv));
        bridge.first_wants(SendOnly);
        assert_eq!(bridge.directions(), (SendOnly, RecvOnly));
        bridge.second_wants(SendOnly);
        assert_eq!(bridge.directions(), (Inactive, Inactive));
        if first_resumes {
            bridge.first_wants(SendRecv);
            assert_eq!(bridge.directions(), (RecvOnly, SendOnly));
            bridge.second_wants(SendRecv);
        } else {
            bridge.second_wants(SendRecv);
            assert_eq!(bridge.directions(), (SendOnly, RecvOnly));
            bridge.first_wants(SendRecv);
        }
        assert_eq!(bridge.directions(), (SendRecv, SendRecv));
    }
}

#[test]
fn a_phone_that_answers_hold_with_sendrecv_is_held_all_the_same() {
    let mut ours = session(20000);
    ours.offer(Wish { direction: Direction::SendOnly, prefer: None });
    ours.accept_answer(offer_text("m=audio 6000 RTP/AVP 0\r\n").as_bytes()).unwrap();
    assert_eq!(ours.negotiated().unwrap().direction, Direction::SendOnly);
}

#[test]
fn a_resume_before_the_answer_with_a_zero_address_cannot_send() {
    let mut ours = session(20000);
    ours.offer(Wish::default());
    let answer = fixture("hold_zero_address");
    ours.accept_answer(&answer).unwrap();
    assert_eq!(ours.negotiated().unwrap().direction, Direction::RecvOnly);
    assert!(!ours.negotiated().unwrap().may_send());
}

#[test]
fn an_unchanged_description_is_the_same_bytes_and_a_changed_one_the_next_version() {
    let (mut caller, mut callee) = connected();
    let first = caller.standing().unwrap().clone();

    let refresh = caller.refresh();
    assert_eq!(refresh, first, "a session refresh sends the same again");
    let answer_before = callee.standing().unwrap().clone();
    let answer = callee.answer_to(&refresh, Wish::default()).unwrap();
    assert_eq!(answer, answer_before);
    assert_eq!(caller.accept_answer(&answer), Ok(Accepted::Unchanged));

    let hold = caller.offer(Wish { direction: Direction::SendOnly, prefer: None });
    assert_eq!(session_id(&hold), session_id(&first));
    assert_eq!(version(&hold), version(&first) + 1);
}

#[test]
fn a_refresh_that_the_user_agent_sent_by_itself_is_accepted() {
    let mut ours = session(20000);
    ours.answer_to(&fixture("carrier_offer"), Wish::default()).unwrap();
    let answer = offer_text("m=audio 7000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n");
    assert_eq!(ours.accept_answer(answer.as_bytes()), Ok(Accepted::Changed));
    assert_eq!(ours.negotiated().unwrap().remote_rtp, "192.0.2.9:7000".parse::<SocketAddr>().unwrap());
}

#[test]
fn a_failed_offer_leaves_the_old_session_and_its_version_is_not_used_again() {
    let (mut caller, mut callee) = connected();
    let (before, standing) = (*caller.negotiated().unwrap(), caller.standing().unwrap().clone());

    let failed = caller.offer(Wish { direction: Direction::Inactive, prefer: None });
    assert!(caller.is_offering());
    caller.rollback();
    assert!(!caller.is_offering());
    assert_eq!((*caller.negotiated().unwrap(), caller.standing().unwrap()), (before, &standing));

    let refresh = caller.refresh();
    assert_eq!(version(&refresh), version(&failed) + 1, "a version never means two things");
    assert_eq!(without_origin(&refresh), without_origin(&standing));
    let answer = callee.answer_to(&refresh, Wish::default()).unwrap();
    caller.accept_answer(&answer).unwrap();
    assert!(caller.negotiated().unwrap().may_send());
}

#[test]
fn an_offer_retried_after_glare_is_the_same_offer() {
    let (mut caller, _) = connected();
    let wish = Wish { direction: Direction::SendOnly, prefer: None };
    let first = caller.offer(wish);
    caller.rollback();
    assert_eq!(caller.offer(wish), first);
}

#[test]
fn an_offer_that_cannot_be_answered_changes_nothing() {
    let (mut caller, _) = connected();
    let (before, standing) = (*caller.negotiated().unwrap(), caller.standing().unwrap().clone());
    for offer in [fixture("t38"), fixture("hold_sendonly_crypto"), fixture("ipv6"), b"v=0\r\n".to_vec()] {
        caller.answer_to(&offer, Wish::default()).unwrap_err();
        assert_eq!((*caller.negotiated().unwrap(), caller.standing().unwrap()), (before, &standing));
    }
}

#[test]
fn a_bad_answer_leaves_the_old_session_and_the_offer_waiting() {
    let (mut caller, _) = connected();
    let before = *caller.negotiated().unwrap();
    caller.offer(Wish { direction: Direction::SendOnly, prefer: None });
    for (answer, error) in [
        (offer_text(""), Error::LineCount { offered: 1, answered: 0 }),
        (offer_text(&"m=audio 6000 RTP/AVP 0\r\n".repeat(2)), Error::LineCount { offered: 1, answered: 2 }),
        (offer_text("m=video 6000 RTP/AVP 0\r\n"), Error::LineMismatch),
        (offer_text("m=audio 6000 RTP/SAVP 0\r\n"), Error::Transport),
        (offer_text("m=audio 6000 RTP/AVP 18\r\n"), Error::NoCodec),
        (offer_text("m=audio 6000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n"), Error::NoCodec),
        (offer_text("m=audio 6000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n"), Error::Address),
        (offer_text("m=audio 6000 RTP/AVP 0\r\nc=IN IP4 media.example.com\r\n"), Error::Address),
        (offer_text("m=audio 6000 RTP/AVP 0\r\nc=IN IP4 239.1.1.1/32\r\n"), Error::Multicast),
        (offer_text("m=audio 6000 RTP/AVP 0\r\nc=IN IP4 255.255.255.255\r\n"), Error::Multicast),
    ] {
        assert_eq!(caller.accept_answer(answer.as_bytes()), Err(error), "{answer}");
        assert!(caller.is_offering());
        assert_eq!(*caller.negotiated().unwrap(), before);
    }
    caller.accept_answer(offer_text("m=audio 6000 RTP/AVP 0\r\na=recvonly\r\n").as_bytes()).unwrap();
    assert_eq!(caller.negotiated().unwrap().direction, Direction::SendOnly);
}

#[test]
fn what_we_cannot_do_is_refused_with_status_and_warning() {
    for (name, error, status, warning) in [
        ("t38", Error::NoAudio, 488, 304),
        ("hold_sendonly_crypto", Error::Transport, 488, 302),
        ("browser_offer", Error::Transport, 488, 302),
        ("ipv6", Error::Address, 488, 301),
    ] {
        let mut ours = session(20000);
        assert_eq!(ours.answer_to(&fixture(name), Wish::default()), Err(error), "{name}");
        assert_eq!((error.status(), error.warning().0), (status, warning), "{name}");
        assert!(ours.negotiated().is_none() && ours.standing().is_none());
    }
    let malformed = session(1).answer_to(b"v=0\r\no=-\r\n", Wish::default()).unwrap_err();
    assert_eq!((malformed.status(), malformed.warning().0), (400, 307));
    assert_eq!(malformed.to_string(), "SDP line 2: bad o= line");
    let refused = offer_text("m=audio 0 RTP/AVP 0\r\n");
    assert_eq!(session(1).answer_to(refused.as_bytes(), Wish::default()), Err(Error::Refused));
    assert_eq!(session(1).answer_to(offer_text("").as_bytes(), Wish::default()), Err(Error::NoAudio));
}

#[test]
fn media_lines_keep_number_and_order_through_every_later_exchange() {
    let mut ours = session(20000);
    let kinds = |bytes: &[u8]| {
        let sdp = Sdp::parse(bytes).unwrap();
        sdp.media().iter().map(|media| (media.kind().to_owned(), media.port())).collect::<Vec<_>>()
    };
    let audio = || ("audio".to_owned(), 20000);
    let refused = |kind: &str| (kind.to_owned(), 0);

    let answer = ours.answer_to(&fixture("best_effort_srtp"), Wish::default()).unwrap();
    assert_eq!(kinds(&answer), [refused("audio"), audio()], "the first usable line is taken");
    let offer = ours.offer(Wish::default());
    assert_eq!(kinds(&offer), [refused("audio"), audio()], "and stays where it is");
    assert!(text(&offer).contains("m=audio 0 RTP/SAVP 0\r\n"));
    ours.rollback();

    let answer = ours.answer_to(&fixture("refused_video"), Wish::default()).unwrap();
    assert_eq!(kinds(&answer), [refused("video"), audio()]);

    // The peer adds a line, later it removes the audio.
    let lines = "m=video 0 RTP/AVP 31\r\nm=audio 5066 RTP/AVP 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let answer = ours.answer_to(offer_text(lines).as_bytes(), Wish::default()).unwrap();
    assert_eq!(kinds(&answer), [refused("video"), audio(), refused("application")]);
    let removed = lines.replace("5066", "0").replace("application 9", "application 0");
    let answer = ours.answer_to(offer_text(&removed).as_bytes(), Wish::default()).unwrap();
    assert_eq!(kinds(&answer), [refused("video"), refused("audio"), refused("application")]);
    assert!(!ours.negotiated().unwrap().may_send());
    let refresh = ours.refresh();
    assert_eq!(refresh, answer, "a refresh does not bring a removed stream back");
    ours.rollback();
    let offer = ours.offer(Wish::default());
    assert_eq!(kinds(&offer), [refused("video"), audio(), refused("application")], "an offer does");
    ours.accept_answer(offer_text(lines).as_bytes()).unwrap();
    assert!(ours.negotiated().unwrap().may_send());
}

#[test]
fn a_stream_that_the_answer_refuses_ends_a_first_offer_and_silences_a_session() {
    let refusal = offer_text("m=audio 0 RTP/AVP 0\r\n");
    let mut ours = session(20000);
    ours.offer(Wish::default());
    assert_eq!(ours.accept_answer(refusal.as_bytes()), Err(Error::Refused));
    assert!(ours.negotiated().is_none());

    let (mut ours, _) = connected();
    ours.offer(Wish::default());
    assert_eq!(ours.accept_answer(refusal.as_bytes()), Ok(Accepted::Changed));
    assert_eq!(ours.negotiated().unwrap().direction, Direction::Inactive);
    assert!(text(&ours.refresh()).contains("m=audio 0 "));
}

#[test]
fn a_t38_offer_in_a_call_is_refused_and_the_call_goes_on() {
    let (mut ours, _) = connected();
    let beside = offer_text("m=audio 0 RTP/AVP 0\r\nm=image 6800 udptl t38\r\n");
    for offer in [fixture("t38").as_slice(), beside.as_bytes()] {
        assert_eq!(ours.answer_to(offer, Wish::default()), Err(Error::NoAudio));
        assert!(ours.negotiated().unwrap().may_send());
    }
}

#[test]
fn codec_port_and_address_change_in_a_re_offer() {
    let mut ours = session(20000);
    ours.answer_to(&fixture("carrier_offer"), Wish::default()).unwrap();
    let moved = "v=0\r\no=CARRIER 1747311 8922 IN IP4 198.51.100.20\r\ns=-\r\nc=IN IP4 198.51.100.99\r\nt=0 0\r\n\
                 m=audio 40000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:30\r\n";
    ours.answer_to(moved.as_bytes(), Wish::default()).unwrap();
    let negotiated = ours.negotiated().unwrap();
    assert_eq!(negotiated.remote_rtp, "198.51.100.99:40000".parse::<SocketAddr>().unwrap());
    assert_eq!(negotiated.send.audio(), Some((8, Codec::Pcma)));
    assert_eq!(negotiated.send.ptime_ms, 30);
}

#[test]
fn our_own_move_is_in_the_next_offer_with_the_next_version() {
    let (mut caller, _) = connected();
    let before = caller.standing().unwrap().clone();
    caller.set_local(Local::new("192.0.2.77".parse().unwrap(), 20002, &MediaPolicy::default()));
    let offer = caller.refresh();
    assert_eq!(version(&offer), version(&before) + 1);
    assert!(text(&offer).contains("\r\nc=IN IP4 192.0.2.77\r\n") && text(&offer).contains("m=audio 20002 "));
}

#[test]
fn a_re_offer_keeps_the_agreed_codec_first_and_the_agreed_event_number() {
    let mut ours = session(20000);
    ours.answer_to(&fixture("audio_and_t38"), Wish::default()).unwrap();
    let offer = text(&ours.offer(Wish::default()));
    assert!(offer.contains("m=audio 20000 RTP/AVP 8 0 96 13\r\n"), "{offer}");
    assert!(offer.contains("m=image 0 udptl t38\r\n"), "{offer}");
}

#[test]
fn packet_time_sent_is_what_the_peer_asks_within_its_limit_and_ours() {
    for (attributes, expected) in [
        ("", 20),
        ("a=ptime:10\r\n", 10),
        ("a=ptime:30\r\n", 30),
        ("a=ptime:25\r\n", 20),
        ("a=ptime:5\r\n", 10),
        ("a=ptime:200\r\n", 60),
        ("a=ptime:40\r\na=maxptime:30\r\n", 30),
        ("a=maxptime:10\r\n", 10),
        ("a=ptime:0\r\n", 20),
        ("a=ptime:x\r\n", 20),
    ] {
        let mut ours = session(20000);
        let offer = offer_text(&format!("m=audio 6000 RTP/AVP 0\r\n{attributes}"));
        let answer = text(&ours.answer_to(offer.as_bytes(), Wish::default()).unwrap());
        assert_eq!(ours.negotiated().unwrap().send.ptime_ms, expected, "{attributes}");
        assert!(answer.contains("a=ptime:20\r\n"), "what we ask for is our own matter");
    }
}

#[test]
fn rtcp_goes_where_rfc_3605_and_5761_say() {
    let mut ours = session(20000);
    let mut rtcp = |lines: &str| {
        ours.answer_to(offer_text(&format!("m=audio 6000 RTP/AVP 0\r\n{lines}")).as_bytes(), Wish::default())
            .unwrap();
        ours.negotiated().unwrap().remote_rtcp.to_string()
    };
    assert_eq!(rtcp(""), "192.0.2.9:6001");
    assert_eq!(rtcp("a=rtcp:7001\r\n"), "192.0.2.9:7001");
    assert_eq!(rtcp("a=rtcp:7001 IN IP4 192.0.2.10\r\n"), "192.0.2.10:7001");
    assert_eq!(rtcp("a=rtcp:7001 IN IP4 239.1.1.1\r\n"), "192.0.2.9:7001", "never to a group");
    assert_eq!(rtcp("a=rtcp-mux\r\n"), "192.0.2.9:6001", "not shared unless we allow it");
}

#[test]
fn sharing_rtcp_needs_both_sides_and_lasts() {
    let shared = |port: u16| {
        let mut local = *session(port).local();
        local.rtcp_mux = true;
        local
    };
    let (mut caller, mut callee) = (MediaSession::new(shared(20000), 1), MediaSession::new(shared(30000), 2));
    exchange(&mut caller, &mut callee, Direction::SendRecv);
    for session in [&caller, &callee] {
        let negotiated = session.negotiated().unwrap();
        assert!(negotiated.rtcp_mux);
        assert_eq!(negotiated.remote_rtcp, negotiated.remote_rtp);
    }
    assert!(text(&callee.offer(Wish::default())).contains("a=rtcp-mux\r\n"));

    let mut plain = session(30000);
    let mut caller = MediaSession::new(shared(20000), 1);
    exchange(&mut caller, &mut plain, Direction::SendRecv);
    assert!(!caller.negotiated().unwrap().rtcp_mux);
    assert!(!text(&caller.offer(Wish::default())).contains("rtcp-mux"));
}

#[test]
fn feedback_profile_is_answered_in_kind() {
    let mut ours = session(20000);
    let answer = text(&ours.answer_to(&fixture("avpf_mux"), Wish::default()).unwrap());
    assert!(answer.contains("m=audio 20000 RTP/AVPF 8 101\r\n"), "{answer}");
    assert!(text(&ours.offer(Wish::default())).contains("RTP/AVPF"));
}

#[test]
fn a_delayed_offer_is_an_offer_and_its_answer_comes_in_the_ack() {
    let (mut caller, mut callee) = (session(20000), session(30000));
    let in_the_200 = callee.offer(Wish { prefer: Some(Codec::Pcma), ..Wish::default() });
    assert!(text(&in_the_200).contains("RTP/AVP 8 0 101 13\r\n"));
    let in_the_ack = caller.answer_to(&in_the_200, Wish::default()).unwrap();
    callee.accept_answer(&in_the_ack).unwrap();
    assert_compatible(&caller, &callee);
}

#[test]
fn each_fork_answers_its_own_copy_of_the_offer() {
    let mut caller = session(20000);
    caller.offer(Wish::default());
    let (mut first, mut second) = (caller.clone(), caller.clone());
    first.accept_answer(offer_text("m=audio 6000 RTP/AVP 0\r\n").as_bytes()).unwrap();
    second.accept_answer(offer_text("m=audio 7000 RTP/AVP 8\r\na=sendonly\r\n").as_bytes()).unwrap();

    assert_eq!(first.negotiated().unwrap().remote_rtp.port(), 6000);
    assert_eq!(second.negotiated().unwrap().remote_rtp.port(), 7000);
    assert_eq!(first.negotiated().unwrap().send.audio(), Some((0, Codec::Pcmu)));
    assert_eq!(second.negotiated().unwrap().send.audio(), Some((8, Codec::Pcma)));
    assert!(caller.is_offering() && caller.negotiated().is_none());
}

#[test]
fn the_200_may_change_what_the_183_of_the_same_fork_said() {
    let mut caller = session(20000);
    caller.offer(Wish::default());
    caller.accept_answer(offer_text("m=audio 6000 RTP/AVP 0\r\n").as_bytes()).unwrap();
    let same = caller.accept_answer(offer_text("m=audio 6000 RTP/AVP 0\r\n").as_bytes());
    assert_eq!(same, Ok(Accepted::Unchanged));
    let other = caller.accept_answer(offer_text("m=audio 7000 RTP/AVP 8\r\n").as_bytes());
    assert_eq!(other, Ok(Accepted::Changed));
    assert_eq!(caller.negotiated().unwrap().send.audio(), Some((8, Codec::Pcma)));
}

#[test]
fn answers_and_offers_out_of_turn_are_refused() {
    let mut ours = session(20000);
    assert_eq!(ours.accept_answer(&fixture("carrier_offer")), Err(Error::NoOffer));
    ours.offer(Wish::default());
    let glare = ours.answer_to(&fixture("carrier_offer"), Wish::default()).unwrap_err();
    assert_eq!((glare, glare.status()), (Error::OfferPending, 491));
}

#[test]
fn nothing_of_the_offer_shows_in_the_answer_but_refused_lines() {
    let mut ours = session(20000);
    for name in ["carrier_offer", "unknown_attributes", "audio_and_video"] {
        let answer = text(&ours.answer_to(&fixture(name), Wish::default()).unwrap());
        for secret in
            ["CARRIER", "1747311", "198.51.100", "sip call", "X-", "alice", "289084452", "Talk", "192.0.2.44"]
        {
            assert!(!answer.contains(secret), "{name}: {secret} in {answer}");
        }
    }
}

#[test]
fn ipv6_speaks_to_ipv6_and_a_mapped_address_counts_as_ipv4() {
    let local = Local::new("2001:db8::1".parse().unwrap(), 20000, &MediaPolicy::default());
    let mut ours = MediaSession::new(local, 1);
    let answer = text(&ours.answer_to(&fixture("ipv6"), Wish::default()).unwrap());
    assert!(answer.contains("\r\nc=IN IP6 2001:db8::1\r\n"));
    let negotiated = ours.negotiated().unwrap();
    assert_eq!(negotiated.remote_rtp, "[2001:db8::3]:3456".parse::<SocketAddr>().unwrap());
    assert_eq!(negotiated.remote_rtcp, "[2001:db8::4]:53020".parse::<SocketAddr>().unwrap());
    assert_eq!(ours.clone().answer_to(&fixture("carrier_offer"), Wish::default()), Err(Error::Address));

    let mapped = offer_text("m=audio 6000 RTP/AVP 0\r\nc=IN IP6 ::ffff:192.0.2.9\r\n");
    let mut ours = session(20000);
    ours.answer_to(mapped.as_bytes(), Wish::default()).unwrap();
    assert_eq!(ours.negotiated().unwrap().remote_rtp, "192.0.2.9:6000".parse::<SocketAddr>().unwrap());
}

#[test]
fn reading_an_offer_changes_nothing_and_tells_what_the_peer_wants() {
    let ours = session(20000);
    let view = ours.read_offer(&fixture("carrier_offer")).unwrap();
    assert_eq!((view.direction, view.codec()), (Direction::SendRecv, Some(Codec::Pcmu)));
    assert_eq!(view.formats.unwrap().telephone_event(), Some((101, ClockRate::Hz8000)));
    assert_eq!(ours.read_offer(&fixture("t38")), Err(Error::NoAudio));
}

#[test]
fn every_description_of_ours_is_read_by_a_foreign_parser() {
    let (mut caller, mut callee) = connected();
    let mut sent = vec![caller.standing().unwrap().clone(), callee.standing().unwrap().clone()];
    sent.push(caller.offer(Wish { direction: Direction::Inactive, prefer: Some(Codec::Pcma) }));
    sent.push(callee.answer_to(&fixture("best_effort_srtp"), Wish::default()).unwrap());
    for bytes in sent {
        let theirs = webrtc_sdp::parse_sdp(&text(&bytes), true).unwrap();
        assert!(theirs.warnings.is_empty());
        assert_eq!(Sdp::parse(&bytes).unwrap().print(), bytes, "and our own print is the same");
    }
}

#[test]
fn answering_an_offer_allocates_little() {
    let offer = fixture("carrier_offer");
    let mut ours = session(20000);
    let first = allocation_counter::measure(|| {
        ours.answer_to(&offer, Wish::default()).unwrap();
    });
    // The list of its lines, that of ours, the text, and its shared owner.
    assert!(first.count_total <= 4, "{first:?}");
    assert!(first.bytes_total <= 2048, "{first:?}");
}

/// One step of a random dialogue.
#[derive(Debug, Clone)]
struct Step {
    by_caller: bool,
    offered: Direction,
    wanted: Direction,
    prefer: Option<Codec>,
    outcome: Outcome,
    /// A new port and policy of the offerer, before it offers.
    moves: Option<(u16, MediaPolicy)>,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Answered,
    Refused,
    Refresh,
}

proptest! {
    #![proptest_config(fixed(400))]

    #[test]
    fn any_dialogue_leaves_both_sides_with_the_same_session(steps in prop::collection::vec(step(), 1..25)) {
        let (mut caller, mut callee) = (session(20000), session(30000));
        let (mut caller_sent, mut callee_sent) = (Vec::new(), Vec::new());
        for step in steps {
            let (offerer, answerer, offers, answers) = if step.by_caller {
                (&mut caller, &mut callee, &mut caller_sent, &mut callee_sent)
            } else {
                (&mut callee, &mut caller, &mut callee_sent, &mut caller_sent)
            };
            if let Some((port, policy)) = &step.moves {
                let address = if step.by_caller { "192.0.2.1" } else { "198.51.100.1" };
                offerer.set_local(Local::new(address.parse().unwrap(), *port, policy));
            }
            let before = (offerer.negotiated().copied(), answerer.negotiated().copied());
            let offer = match step.outcome {
                Outcome::Refresh => offerer.refresh(),
                Outcome::Answered | Outcome::Refused => {
                    offerer.offer(Wish { direction: step.offered, prefer: step.prefer })
                }
            };
            offers.push(offer.clone());
            let answer = match step.outcome {
                Outcome::Refused => Err(Error::NoAudio),
                Outcome::Answered | Outcome::Refresh => {
                    answerer.answer_to(&offer, Wish { direction: step.wanted, prefer: step.prefer })
                }
            };
            match answer {
                Ok(answer) => {
                    offerer.accept_answer(&answer).unwrap();
                    answers.push(answer);
                    assert_compatible(offerer, answerer);
                }
                Err(_) => {
                    offerer.rollback();
                    let after = (offerer.negotiated().copied(), answerer.negotiated().copied());
                    prop_assert_eq!(after, before);
                }
            }
        }
        for sent in [caller_sent, callee_sent] {
            for pair in sent.windows(2) {
                prop_assert_eq!(session_id(&pair[0]), session_id(&pair[1]));
                let step = version(&pair[1]) - version(&pair[0]);
                let changed = without_origin(&pair[0]) != without_origin(&pair[1])
                    || Sdp::parse(&pair[0]).unwrap().origin().address != Sdp::parse(&pair[1]).unwrap().origin().address;
                prop_assert_eq!(step, u64::from(changed));
                let lines = |bytes: &[u8]| Sdp::parse(bytes).unwrap().media().len();
                prop_assert!(lines(&pair[1]) >= lines(&pair[0]));
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let direction = prop::sample::select(Direction::ALL.to_vec());
    let prefer = prop::option::of(prop::sample::select(vec![Codec::Pcmu, Codec::Pcma]));
    let outcome =
        prop_oneof![4 => Just(Outcome::Answered), 1 => Just(Outcome::Refused), 1 => Just(Outcome::Refresh)];
    let codecs = prop::sample::select(vec![
        vec![Codec::Pcmu, Codec::Pcma],
        vec![Codec::Pcma, Codec::Pcmu],
        vec![Codec::Pcmu],
        vec![Codec::Pcma],
    ]);
    let policy = (codecs, prop::sample::select(vec![10, 20, 30]), any::<bool>(), any::<bool>()).prop_map(
        |(codecs, ptime_ms, telephone_event, comfort_noise)| MediaPolicy {
            codecs,
            ptime_ms,
            telephone_event,
            comfort_noise,
            ..MediaPolicy::default()
        },
    );
    let moves = prop::option::weighted(0.3, ((10_000_u16..20_000).prop_map(|half| half * 2), policy));
    (any::<bool>(), direction.clone(), direction, prefer, outcome, moves).prop_map(
        |(by_caller, offered, wanted, prefer, outcome, moves)| Step {
            by_caller,
            offered,
            wanted,
            prefer,
            outcome,
            moves,
        },
    )
}

/// Two phones and the two legs between them.
struct Bridge {
    phones: [(MediaSession, Direction); 2],
    legs: [MediaSession; 2],
}

impl Bridge {
    fn new() -> Self {
        let mut bridge = Self {
            phones: [(session(20000), Direction::SendRecv), (session(30000), Direction::SendRecv)],
            legs: [session(40000), session(50000)],
        };
        bridge.first_wants(Direction::SendRecv);
        bridge
    }

    fn first_wants(&mut self, direction: Direction) {
        self.wants(0, direction);
    }

    fn second_wants(&mut self, direction: Direction) {
        self.wants(1, direction);
    }

    /// A phone offers; the far phone is asked with what it wants, then the phone gets its answer.
    fn wants(&mut self, near: usize, direction: Direction) {
        let far = 1 - near;
        self.phones[near].1 = direction;
        let offer = self.phones[near].0.offer(Wish { direction, prefer: None });
        let asked = self.legs[near].read_offer(&offer).unwrap().direction;
        let onward = self.legs[far].offer(Wish { direction: asked, prefer: None });
        let (phone, wanted) = &mut self.phones[far];
        let answer = phone.answer_to(&onward, Wish { direction: *wanted, prefer: None }).unwrap();
        self.legs[far].accept_answer(&answer).unwrap();
        let back = Wish { direction: self.legs[far].peer_direction(), prefer: None };
        let answer = self.legs[near].answer_to(&offer, back).unwrap();
        self.phones[near].0.accept_answer(&answer).unwrap();
    }

    /// What each phone may do.
    fn directions(&self) -> (Direction, Direction) {
        let direction = |phone: usize| self.phones[phone].0.negotiated().unwrap().direction;
        (direction(0), direction(1))
    }
}

/// Each sends only what the other receives, to where the other is, and in the way the other expects.
fn assert_compatible(one: &MediaSession, other: &MediaSession) {
    let (a, b) = (one.negotiated().unwrap(), other.negotiated().unwrap());
    assert_eq!(a.direction, b.direction.reversed());
    assert_eq!(a.rtcp_mux, b.rtcp_mux);
    for (sender, receiver, end) in [(a, b, other.local()), (b, a, one.local())] {
        assert!(sender.send.audio().is_some());
        for (number, payload) in sender.send.iter() {
            assert_eq!(receiver.receive.payload(number), Some(payload));
        }
        assert_eq!(sender.send.ptime_ms, receiver.receive.ptime_ms);
        assert_eq!(sender.remote_rtp, SocketAddr::new(end.address, end.rtp_port));
    }
}

fn exchange(offerer: &mut MediaSession, answerer: &mut MediaSession, direction: Direction) {
    let offer = offerer.offer(Wish { direction, prefer: None });
    let answer = answerer.answer_to(&offer, Wish::default()).unwrap();
    offerer.accept_answer(&answer).unwrap();
    assert_compatible(offerer, answerer);
}

fn connected() -> (MediaSession, MediaSession) {
    let (mut caller, mut callee) = (session(20000), session(30000));
    exchange(&mut caller, &mut callee, Direction::SendRecv);
    (caller, callee)
}

fn offer_text(lines: &str) -> String {
    format!("v=0\r\no=- 7 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{lines}")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../fixtures/sdp/{name}.sdp", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn direction_on_the_wire(bytes: &[u8]) -> Direction {
    let sdp = Sdp::parse(bytes).unwrap();
    sdp.media().iter().find(|media| media.port() != 0).unwrap().direction().unwrap()
}

fn version(bytes: &[u8]) -> u64 {
    Sdp::parse(bytes).unwrap().origin().version.parse().unwrap()
}

fn session_id(bytes: &[u8]) -> String {
    Sdp::parse(bytes).unwrap().origin().session_id.to_owned()
}

fn without_origin(bytes: &[u8]) -> String {
    text(bytes).lines().filter(|line| !line.starts_with("o=")).collect::<Vec<_>>().join("\n")
}

fn session(port: u16) -> MediaSession {
    MediaSession::new(
        Local::new("192.0.2.1".parse().unwrap(), port, &MediaPolicy::default()),
        u64::from(port),
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The same cases on every run.
fn fixed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
