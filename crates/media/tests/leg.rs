//! What the peers of two joined legs see.

mod world;

use std::time::Duration;
use trunkline_media::{
    Channel, DigitTiming, Direction, Frame, FrameBody, Law, LegTimer, StreamId, g711, rtcp,
};
use trunkline_model::Codec;
use trunkline_model::clock::first_instant;
use world::{LEFT, Peer, RIGHT, World, address, leg, negotiated};

#[test]
fn audio_of_the_same_kind_passes_untouched() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    for n in 0..50u8 {
        let datagram = peer.audio(0, &[n; 160]);
        world.arrives(peer.from, &datagram);
        world.wait(20);
    }
    world.assert_continuous();
    assert_eq!(world.got.len(), 50);
    assert!(world.got.iter().all(|got| got.to == address(RIGHT) && got.payload_type == 0));
    assert!(world.got.iter().zip(0..).all(|(got, n)| got.payload == [n; 160]));
    assert!(world.got.windows(2).all(|pair| pair[0].timestamp.wrapping_add(160) == pair[1].timestamp));
    assert_eq!(world.got.iter().filter(|got| got.marker).count(), 1, "only the first packet begins a spurt");
    assert!(world.got[0].marker);
    assert_ne!(world.got[0].ssrc, peer.ssrc, "the peer's source stays on its side");
}

#[test]
fn one_law_becomes_the_other_and_packets_the_length_that_the_peer_wants() {
    let mut world =
        World::new(negotiated(LEFT, Codec::Pcma, 30, None), negotiated(RIGHT, Codec::Pcmu, 20, None));
    let mut peer = Peer::new(LEFT);
    let samples: Vec<u8> = (0..2400).map(|n| (n % 251) as u8).collect();
    for payload in samples.chunks(240) {
        let datagram = peer.audio(8, payload);
        world.arrives(peer.from, &datagram);
        world.wait(30);
    }
    world.assert_continuous();
    assert!(world.got.iter().all(|got| got.payload_type == 0 && got.payload.len() == 160));
    assert!(world.got.windows(2).all(|pair| pair[0].timestamp.wrapping_add(160) == pair[1].timestamp));
    let expected: Vec<u8> = samples.iter().map(|&coded| g711::convert(Law::A, Law::Mu, coded)).collect();
    let got: Vec<u8> = world.got.iter().flat_map(|got| got.payload.clone()).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_rest_shorter_than_a_packet_goes_out_when_no_more_comes() {
    let mut world =
        World::new(negotiated(LEFT, Codec::Pcmu, 30, None), negotiated(RIGHT, Codec::Pcmu, 20, None));
    let mut peer = Peer::new(LEFT);
    let datagram = peer.audio(0, &[1; 240]);
    world.arrives(peer.from, &datagram);
    world.wait(1000);
    assert_eq!(world.got.iter().map(|got| got.payload.len()).collect::<Vec<_>>(), [160, 80]);
}

#[test]
fn loss_leaves_a_gap_in_time_but_not_in_sequence() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    for n in 0..100u32 {
        let datagram = peer.audio(0, &[7; 160]);
        if n % 10 != 5 {
            world.arrives(peer.from, &datagram);
        }
        world.wait(20);
    }
    world.assert_continuous();
    assert_eq!(world.got.len(), 90);
    let steps: Vec<u32> = world.got.windows(2).map(|p| p[1].timestamp.wrapping_sub(p[0].timestamp)).collect();
    assert_eq!(steps.iter().filter(|&&step| step == 320).count(), 10);
    assert_eq!(steps.iter().filter(|&&step| step == 160).count(), 79);
    let stats = world.left.stats();
    assert_eq!((stats.received, stats.lost), (90, 10));
    assert!(stats.mos().unwrap() < 4.0);
    assert_eq!(world.right.stats().sent, 90);
}

#[test]
fn a_fork_that_comes_back_after_another_is_heard_within_200_ms() {
    let mut world = World::plain();
    let mut first = Peer::new(LEFT);
    first.talks(&mut world, 1000);
    let mut second = Peer { ssrc: 0x2222_2222, sequence: 7, timestamp: 12_345, ..Peer::new(LEFT) };
    second.talks(&mut world, 20);
    first.talks(&mut world, 1000);
    world.assert_continuous();
    let longest = world.got.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).max();
    assert!(longest.is_some_and(|gap| gap <= 200), "{longest:?}");
}

#[test]
fn a_fork_that_signalling_brings_back_is_heard_at_once() {
    let mut world = World::plain();
    let mut first = Peer::new(LEFT);
    first.talks(&mut world, 1000);
    let mut second = Peer { ssrc: 0x2222_2222, sequence: 7, timestamp: 12_345, ..Peer::new(LEFT) };
    second.talks(&mut world, 100);
    world.left.update(world.now, negotiated(LEFT, Codec::Pcmu, 20, Some(101)));
    first.talks(&mut world, 200);
    world.assert_continuous();
    assert_eq!(world.got.len(), 65, "no packet is lost");
}

#[test]
fn another_source_at_the_same_address_goes_on_where_the_first_stopped() {
    let mut world = World::plain();
    let mut first = Peer::new(LEFT);
    first.talks(&mut world, 200);
    let mut second = Peer { ssrc: 0x2222_2222, sequence: 7, timestamp: 12_345, ..Peer::new(LEFT) };
    world.wait(40);
    second.talks(&mut world, 200);
    // A straggler of the first does not bring it back.
    let late = first.audio(0, &[9; 160]);
    world.arrives(first.from, &late);
    second.talks(&mut world, 20);
    world.assert_continuous();
    assert_eq!(world.got.len(), 21);
    assert_eq!(world.got[10].timestamp.wrapping_sub(world.got[9].timestamp), 480, "60 ms passed in between");
    assert!(world.got[10].marker, "another talk spurt");
    assert!(world.got[11..].windows(2).all(|pair| pair[0].timestamp.wrapping_add(160) == pair[1].timestamp));
    assert_eq!(world.left.stats().lost, 0);
}

#[test]
fn another_source_in_the_same_instant_does_not_overlap_the_first() {
    let mut world = World::plain();
    let first = Peer::new(LEFT).audio(0, &[1; 160]);
    world.arrives(address(LEFT), &first);
    let second = Peer { ssrc: 2, ..Peer::new(LEFT) }.audio(0, &[2; 160]);
    world.arrives(address(LEFT), &second);
    assert_eq!(world.got[1].timestamp.wrapping_sub(world.got[0].timestamp), 160);
}

#[test]
fn after_a_long_hold_the_first_packet_is_heard() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    let open = negotiated(LEFT, Codec::Pcmu, 20, None);
    peer.talks(&mut world, 100);
    world.left.update(world.now, trunkline_media::Negotiated { direction: Direction::SendOnly, ..open });
    peer.talks(&mut world, 100_000);
    world.left.update(world.now, open);
    peer.talks(&mut world, 20);
    assert_eq!(world.got.len(), 6);
}

#[test]
fn a_report_on_somebody_else_is_not_about_us() {
    let mut world = World::plain();
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1];
    report.extend([0xff; 20]);
    world.left.handle_rtcp(world.now, address("192.0.2.1:10001"), &report);
    let stats = world.left.stats();
    assert_eq!((stats.malformed, stats.remote_fraction_lost, stats.round_trip), (0, None, None));
}

#[test]
fn a_clock_that_jumps_within_one_source_is_straightened() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    peer.timestamp = peer.timestamp.wrapping_add(1_000_000_000);
    peer.talks(&mut world, 100);
    peer.timestamp = peer.timestamp.wrapping_sub(500_000);
    peer.talks(&mut world, 100);
    world.assert_continuous();
    assert!(world.got.windows(2).all(|pair| pair[0].timestamp.wrapping_add(160) == pair[1].timestamp));
    assert_eq!(world.got.iter().filter(|got| got.marker).count(), 3);
}

#[test]
fn a_source_that_restarts_its_sequence_loses_no_more_than_its_first_packets() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 200);
    peer.sequence = peer.sequence.wrapping_add(20_000);
    peer.talks(&mut world, 200);
    world.assert_continuous();
    assert_eq!(world.got.len(), 19);
    assert_eq!(world.left.stats().lost, 0, "a restart is not loss");
}

#[test]
fn pauses_keep_their_length() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    world.wait(30_000);
    peer.timestamp = peer.timestamp.wrapping_add(30 * 8000);
    peer.talks(&mut world, 100);
    world.assert_continuous();
    assert_eq!(world.got[5].timestamp.wrapping_sub(world.got[4].timestamp), 160 + 30 * 8000);
    assert_eq!(world.left.stats().lost, 0);
}

#[test]
fn comfort_noise_passes_and_speech_after_it_is_marked() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 40);
    let noise = peer.packet(13, false, peer.timestamp, &[60, 1, 2]);
    world.arrives(peer.from, &noise);
    world.wait(400);
    peer.timestamp = peer.timestamp.wrapping_add(3200);
    peer.talks(&mut world, 40);
    world.assert_continuous();
    assert_eq!(world.got.iter().map(|got| got.payload_type).collect::<Vec<_>>(), [0, 0, 13, 0, 0]);
    assert_eq!(world.got[2].payload, [60, 1, 2]);
    assert_eq!(world.got[2].timestamp, world.got[1].timestamp.wrapping_add(160));
    assert!(world.got[3].marker);
}

#[test]
fn only_the_address_of_the_sdp_is_heard() {
    let mut world = World::plain();
    let mut stranger = Peer::new("192.0.2.1:10002");
    stranger.talks(&mut world, 40);
    let mut elsewhere = Peer::new("203.0.113.9:10000");
    elsewhere.talks(&mut world, 40);
    assert_eq!(world.got, []);
    assert_eq!((world.left.stats().refused, world.left.stats().received), (4, 0));
    let mapped = "[::ffff:192.0.2.1]:10000";
    Peer::new(mapped).talks(&mut world, 40);
    assert_eq!(world.got.len(), 2, "the same address as a dual-stack socket shows it");
}

#[test]
fn a_latch_takes_one_address_of_the_trunk_and_keeps_it() {
    let mut world = World::plain();
    world.left = leg(negotiated(LEFT, Codec::Pcmu, 20, None), &["203.0.113.0/24"], 1, world.now);
    Peer::new("198.51.100.77:4000").talks(&mut world, 40);
    assert_eq!(world.left.remote(), Some(address(LEFT)), "not from a network of the trunk");
    let garbage = world.left.stats().malformed;
    world.arrives(address("203.0.113.5:4000"), b"not rtp at all");
    assert_eq!(world.left.remote(), Some(address(LEFT)), "what is no RTP moves nothing");
    assert_eq!(world.left.stats().malformed, garbage + 1);
    Peer::new("203.0.113.5:4000").talks(&mut world, 40);
    assert_eq!(world.left.remote(), Some(address("203.0.113.5:4000")));
    Peer { ssrc: 5, ..Peer::new("203.0.113.6:4000") }.talks(&mut world, 400);
    assert_eq!(world.left.remote(), Some(address("203.0.113.5:4000")), "latched once");
    assert_eq!(world.got.len(), 2);

    world.left.update(world.now, negotiated(LEFT, Codec::Pcmu, 20, None));
    assert_eq!(
        world.left.remote(),
        Some(address("203.0.113.5:4000")),
        "the same address again moves nothing"
    );
    world.left.update(world.now, negotiated("192.0.2.1:10010", Codec::Pcmu, 20, None));
    assert_eq!(world.left.remote(), Some(address("192.0.2.1:10010")));
    Peer { ssrc: 6, ..Peer::new("203.0.113.7:4000") }.talks(&mut world, 40);
    assert_eq!(world.left.remote(), Some(address("203.0.113.7:4000")), "new signalling lets it latch anew");
}

#[test]
fn the_sdp_address_wins_back_a_latch_within_the_first_packets_only() {
    let now = first_instant();
    let mut world = World::plain();
    world.left = leg(negotiated(LEFT, Codec::Pcmu, 20, None), &["203.0.113.0/24"], 1, now);
    let mut racer = Peer::new("203.0.113.5:4000");
    racer.talks(&mut world, 40);
    Peer { ssrc: 3, ..Peer::new(LEFT) }.talks(&mut world, 20);
    assert_eq!(world.left.remote(), Some(address(LEFT)));
    racer.talks(&mut world, 40);
    assert_eq!(world.left.remote(), Some(address(LEFT)));

    world.left = leg(negotiated(LEFT, Codec::Pcmu, 20, None), &["203.0.113.0/24"], 1, world.now);
    racer.talks(&mut world, 100);
    Peer { ssrc: 3, ..Peer::new(LEFT) }.talks(&mut world, 20);
    assert_eq!(world.left.remote(), Some(address("203.0.113.5:4000")), "after five packets it is decided");
}

#[test]
fn nothing_is_sent_that_may_not_be_and_what_comes_unasked_is_only_counted() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    let open = negotiated(RIGHT, Codec::Pcmu, 20, Some(101));
    peer.talks(&mut world, 100);
    world.right.update(world.now, trunkline_media::Negotiated { direction: Direction::RecvOnly, ..open });
    peer.talks(&mut world, 100);
    assert_eq!(world.got.len(), 5);
    world.right.update(world.now, open);
    peer.talks(&mut world, 100);
    assert_eq!(world.got.len(), 10);
    assert!(world.got[5].marker);
    world.assert_continuous();
    assert_eq!(world.got[5].timestamp.wrapping_sub(world.got[4].timestamp), 6 * 160, "held time passed");

    let held = trunkline_media::Negotiated {
        direction: Direction::SendOnly,
        ..negotiated(LEFT, Codec::Pcmu, 20, Some(101))
    };
    world.left.update(world.now, held);
    peer.talks(&mut world, 2000);
    assert_eq!(world.got.len(), 10);
    assert_eq!(world.left.stats().unexpected, 100);
    world.left.update(world.now, negotiated(LEFT, Codec::Pcmu, 20, Some(101)));
    peer.talks(&mut world, 100);
    assert_eq!(world.got.len(), 15);
    assert_eq!(world.left.stats().lost, 0, "what was not heard on hold is not lost");
    world.assert_continuous();
}

#[test]
fn a_hold_by_the_null_address_sends_nothing_there() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    world.right.update(world.now, negotiated("0.0.0.0:20000", Codec::Pcmu, 20, Some(101)));
    peer.talks(&mut world, 100);
    assert!(world.right.send_digits(world.now, "1", DigitTiming::default()).is_ok());
    world.wait(1000);
    assert_eq!(world.got, []);
}

#[test]
fn a_move_by_re_invite_keeps_source_and_numbers() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    world.right.update(world.now, negotiated("198.51.100.9:30000", Codec::Pcma, 20, Some(96)));
    peer.talks(&mut world, 100);
    world.assert_continuous();
    assert!(
        world.got[5..].iter().all(|got| got.to == address("198.51.100.9:30000") && got.payload_type == 8)
    );
    assert!(world.got[5].marker);
    assert_eq!(world.got[5].payload, [g711::convert(Law::Mu, Law::A, 0x55); 160]);
    assert!(world.got.windows(2).all(|pair| pair[0].timestamp.wrapping_add(160) == pair[1].timestamp));
}

#[test]
fn reports_tell_what_was_sent_and_heard_and_a_bye_ends_nothing() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    for n in 0..500u32 {
        let datagram = peer.audio(0, &[1; 160]);
        if n % 4 != 1 {
            world.arrives(peer.from, &datagram);
        }
        world.wait(20);
    }
    let to_left: Vec<_> =
        world.reports.iter().filter(|(to, _, _)| *to == address("192.0.2.1:10001")).collect();
    assert!(!to_left.is_empty());
    let (_, channel, bytes) = to_left[to_left.len() - 1];
    assert_eq!(*channel, Channel::Rtcp);
    let first = rtcp::parse(bytes).unwrap().next().unwrap();
    let rtcp::Rtcp::ReceiverReport { blocks, .. } = first else {
        panic!("nothing was sent to the left: {first:?}")
    };
    let block = blocks.iter().next().unwrap();
    assert_eq!(block.ssrc, peer.ssrc);
    assert!((60..=68).contains(&block.fraction_lost), "a quarter: {}", block.fraction_lost);
    let (_, _, bytes) =
        world.reports.iter().rfind(|(to, _, _)| *to == address("198.51.100.1:20001")).unwrap();
    let first = rtcp::parse(bytes).unwrap().next().unwrap();
    let rtcp::Rtcp::SenderReport { sent, ssrc, .. } = first else {
        panic!("audio was sent to the right: {first:?}")
    };
    assert_eq!(ssrc, world.got[0].ssrc);
    assert_eq!(sent.octets, sent.packets * 160);

    let bye = [0x81, 203, 0, 1, 0x11, 0x11, 0x11, 0x11];
    world.left.handle_rtcp(world.now, address("192.0.2.1:10001"), &bye);
    world.left.handle_rtcp(world.now, address("203.0.113.1:10001"), &bye);
    let before = world.got.len();
    peer.talks(&mut world, 100);
    assert_eq!(world.got.len(), before + 5);
    assert_eq!((world.left.stats().rtcp_byes, world.left.stats().refused), (1, 1));
}

#[test]
fn the_round_trip_is_what_the_peers_report_says() {
    let now = first_instant();
    let mut near = leg(negotiated(RIGHT, Codec::Pcmu, 20, None), &[], 1, now);
    let mut far = leg(negotiated(LEFT, Codec::Pcmu, 20, None), &[], 2, now);
    let mut at = now;
    // Both talk, and everything takes 50 ms each way.
    for n in 0..2000 {
        let frame = Frame {
            stream: StreamId(1),
            timestamp: n * 160,
            marker: false,
            lost: 0,
            body: FrameBody::Audio { codec: Codec::Pcmu, payload: &[1; 160] },
        };
        far.send(at, &frame);
        near.send(at, &frame);
        let late = at + Duration::from_millis(50);
        for _ in 0..2 {
            near.handle_timeout(at);
            far.handle_timeout(at);
            while let Some(transmit) = near.poll_transmit() {
                match transmit.channel {
                    Channel::Rtp => far.handle_rtp(late, address(LEFT), transmit.bytes),
                    Channel::Rtcp => far.handle_rtcp(late, address("192.0.2.1:10001"), transmit.bytes),
                }
            }
            while far.poll_frame(late).is_some() {}
            while let Some(transmit) = far.poll_transmit() {
                if transmit.channel == Channel::Rtcp {
                    near.handle_rtcp(late, address("198.51.100.1:20001"), transmit.bytes);
                }
            }
        }
        at += Duration::from_millis(20);
    }
    let trip = near.stats().round_trip.expect("the far end reported on us");
    assert!((Duration::from_millis(90)..=Duration::from_millis(110)).contains(&trip), "{trip:?}");
}

#[test]
fn a_leg_says_goodbye_when_it_closes() {
    let mut world = World::plain();
    world.left.close(world.now);
    world.drain();
    let (to, _, bytes) = world.reports.last().unwrap();
    assert_eq!(*to, address("192.0.2.1:10001"));
    assert_eq!(rtcp::parse(bytes).unwrap().last(), Some(rtcp::Rtcp::Bye));
    assert_ne!(world.left.poll_timeout().map(|(_, timer)| timer), Some(LegTimer::Report));
}

#[test]
fn reports_share_the_rtp_port_where_agreed() {
    let now = first_instant();
    let mux = trunkline_media::Negotiated {
        remote_rtcp: address(LEFT),
        rtcp_mux: true,
        ..negotiated(LEFT, Codec::Pcmu, 20, None)
    };
    let mut leg = leg(mux, &[], 1, now);
    leg.handle_rtp(now, address(LEFT), &[0x81, 203, 0, 1, 0, 0, 0, 9]);
    assert_eq!((leg.stats().rtcp_byes, leg.stats().malformed), (1, 0));
    leg.close(now);
    let transmit = leg.poll_transmit().unwrap();
    assert_eq!((transmit.channel, transmit.remote), (Channel::Rtp, address(LEFT)));
}

#[test]
fn nothing_is_heard_before_the_answer() {
    let now = first_instant();
    let config =
        trunkline_media::LegConfig { negotiated: None, latch: vec!["0.0.0.0/0".parse().unwrap()], seed: 1 };
    let mut leg = trunkline_media::RtpLeg::new(config, now);
    let datagram = Peer::new(LEFT).audio(0, &[0; 160]);
    leg.handle_rtp(now, address(LEFT), &datagram);
    assert!(leg.poll_frame(now).is_none());
    assert_eq!((leg.stats().refused, leg.poll_timeout()), (1, None));
}
