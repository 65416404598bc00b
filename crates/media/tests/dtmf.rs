//! Telephone events through two legs: each digit once, in order, as long as it was pressed (R2).

mod world;

use proptest::prelude::*;
use trunkline_media::dtmf::{EventPayload, keys_of};
use trunkline_media::{DigitTiming, Event, Law, g711, tone};
use trunkline_model::Codec;
use world::{Got, LEFT, Peer, RIGHT, World, negotiated};

/// How a sender writes its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// As RFC 4733 says.
    Proper,
    /// The marker bit is never set.
    Unmarked,
    /// The three end packets are lost.
    Endless,
    /// Neither marker nor end packets.
    Bare,
    /// One end packet instead of three, and audio goes on right behind it.
    Hasty,
}

/// What a receiver makes of event packets, written from RFC 4733 §2.5.2 without looking at ours.
#[derive(Debug, PartialEq, Eq)]
struct Press {
    event: u8,
    timestamp: u32,
    duration: u32,
    ends: usize,
    markers: usize,
}

fn presses(packets: &[Got]) -> Vec<Press> {
    let mut presses: Vec<Press> = Vec::new();
    for got in packets {
        let payload = EventPayload::parse(&got.payload).unwrap();
        let (end, marker) = (usize::from(payload.end), usize::from(got.marker));
        let duration = u32::from(payload.duration);
        match presses.last_mut().filter(|press| press.timestamp == got.timestamp) {
            Some(press) => {
                assert_eq!(press.event, payload.event.0, "one timestamp, one event");
                assert!(duration >= press.duration, "a duration never shrinks");
                assert!(press.ends == 0 || payload.end, "nothing follows the end but its repeats");
                press.duration = duration;
                press.ends += end;
                press.markers += marker;
            }
            None => presses.push(Press {
                event: payload.event.0,
                timestamp: got.timestamp,
                duration,
                ends: end,
                markers: marker,
            }),
        }
    }
    presses
}

/// Lets a peer press keys, with audio before, between and after.
fn dial(
    world: &mut World,
    peer: &mut Peer,
    number: u8,
    habit: Habit,
    keys: &[(u8, u32)],
    lose: &mut dyn FnMut() -> bool,
) {
    peer.talks(world, 100);
    for &(event, packets) in keys {
        let began = peer.timestamp;
        for n in 1..=packets {
            let marker = n == 1 && !matches!(habit, Habit::Unmarked | Habit::Bare);
            let payload =
                EventPayload { event: Event(event), end: false, volume: 10, duration: (n * 160) as u16 };
            let datagram = peer.packet(number, marker, began, &payload.to_bytes());
            // A press is heard at all only if one of its packets is.
            if n == 1 || !lose() {
                world.arrives(peer.from, &datagram);
            }
            world.wait(20);
        }
        peer.timestamp = began.wrapping_add((packets + 1) * 160);
        let end = EventPayload {
            event: Event(event),
            end: true,
            volume: 10,
            duration: ((packets + 1) * 160) as u16,
        };
        let repeats = if habit == Habit::Hasty { 1 } else { 3 };
        for _ in 0..repeats {
            let datagram = peer.packet(number, false, began, &end.to_bytes());
            if !matches!(habit, Habit::Endless | Habit::Bare) && !lose() {
                world.arrives(peer.from, &datagram);
            }
        }
        peer.talks(world, 60);
    }
    peer.talks(world, 400);
}

fn key() -> impl Strategy<Value = (u8, u32)> {
    (0u8..16, 2u32..12)
}

fn habit() -> impl Strategy<Value = Habit> {
    prop::sample::select(vec![Habit::Proper, Habit::Unmarked, Habit::Endless, Habit::Bare, Habit::Hasty])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn twelve_digits_arrive_once_each_in_order_and_as_long_as_pressed(
        keys in prop::collection::vec(key(), 12),
        habit in habit(),
        (number_in, number_out) in (96u8..128, 96u8..128),
    ) {
        let mut world = World::new(
            negotiated(LEFT, Codec::Pcmu, 20, Some(number_in)),
            negotiated(RIGHT, Codec::Pcma, 20, Some(number_out)),
        );
        dial(&mut world, &mut Peer::new(LEFT), number_in, habit, &keys, &mut || false);
        let heard = presses(&world.got_of(number_out));
        prop_assert_eq!(
            heard.iter().map(|press| press.event).collect::<Vec<_>>(),
            keys.iter().map(|&(event, _)| event).collect::<Vec<_>>()
        );
        for (press, &(_, packets)) in heard.iter().zip(&keys) {
            prop_assert!(press.duration.abs_diff((packets + 1) * 160) <= 160, "{:?} of {} packets", press, packets + 1);
            prop_assert_eq!((press.ends, press.markers), (3, 1));
        }
        world.assert_continuous();
        assert_no_audio_during_events(&world.got, number_out);
    }

    #[test]
    fn digits_survive_loss(
        keys in prop::collection::vec(key(), 12),
        seed in any::<u64>(),
    ) {
        let mut state = seed | 1;
        let mut lose = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % 10 < 3
        };
        let mut world = World::plain();
        dial(&mut world, &mut Peer::new(LEFT), 101, Habit::Proper, &keys, &mut lose);
        let heard = presses(&world.got_of(101));
        prop_assert_eq!(
            heard.iter().map(|press| press.event).collect::<Vec<_>>(),
            keys.iter().map(|&(event, _)| event).collect::<Vec<_>>()
        );
        prop_assert!(heard.iter().all(|press| press.ends == 3 && press.markers == 1));
        world.assert_continuous();
    }

    #[test]
    fn any_loss_reordering_and_repetition_leaves_sequence_and_time_in_order(
        // For each packet: lost, repeated, and by how much it is late.
        path in prop::collection::vec((prop::bool::weighted(0.1), prop::bool::weighted(0.1), 0u64..70), 20..200),
    ) {
        let mut peer = Peer::new(LEFT);
        let mut arrivals = Vec::new();
        for (n, &(lost, twice, late)) in (0u64..).zip(&path) {
            let datagram = peer.audio(0, &[n as u8; 160]);
            for copy in 0..if lost { 0 } else { 1 + u64::from(twice) } {
                arrivals.push((n * 20 + late + copy * 7, datagram.clone()));
            }
        }
        arrivals.sort_by_key(|&(at, _)| at);
        let mut world = World::plain();
        let mut at = 0;
        for (due, datagram) in &arrivals {
            world.wait(due - at);
            at = *due;
            world.arrives(peer.from, datagram);
        }
        world.wait(1000);
        world.assert_continuous();
        for pair in world.got.windows(2) {
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            prop_assert!(step >= 160 && step % 160 == 0 && step <= 16_000, "{} after {:?}", step, pair[0]);
            let packets = pair[1].payload[0].wrapping_sub(pair[0].payload[0]);
            prop_assert_eq!(step, u32::from(packets) * 160, "each packet keeps its time");
        }
        let stats = world.left.stats();
        let sent = path.iter().filter(|(lost, _, _)| !lost).count() as u64;
        prop_assert_eq!(world.got.len() as u64 + stats.late, sent);
    }
}

/// From the first packet of an event to its first end there is no audio, and audio time only moves on.
fn assert_no_audio_during_events(got: &[Got], number: u8) {
    let mut sounding = false;
    let (mut event, mut over) = (None, None);
    for packet in got {
        if packet.payload_type == number {
            let payload = EventPayload::parse(&packet.payload).unwrap();
            sounding = !payload.end;
            event = Some(packet.timestamp);
            assert_ne!(event, over, "the last ends go out before the audio that follows");
        } else {
            assert!(!sounding, "audio during an event");
            over = event;
        }
    }
    let audio: Vec<&Got> = got.iter().filter(|packet| packet.payload_type != number).collect();
    for pair in audio.windows(2) {
        assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() > 0);
    }
}

#[test]
fn updates_of_a_relayed_event_leave_as_they_come_and_ends_at_their_pace() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    let began = peer.timestamp;
    for (duration, end) in [(160, false), (320, false), (480, true)] {
        let payload = EventPayload { event: Event(5), end, volume: 10, duration };
        let datagram = peer.packet(101, duration == 160, began, &payload.to_bytes());
        world.arrives(peer.from, &datagram);
        world.wait(20);
    }
    world.wait(200);
    let events = world.got_of(101);
    assert_eq!(events.iter().map(|got| got.at_ms).collect::<Vec<_>>(), [100, 120, 140, 160, 180]);
    let audio = world.got_of(0);
    assert_eq!(
        events[0].timestamp,
        audio[4].timestamp.wrapping_add(160),
        "the event is where it was in the audio"
    );
}

#[test]
fn audio_after_an_event_begins_a_spurt_where_it_belongs() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    dial(&mut world, &mut peer, 101, Habit::Proper, &[(5, 4)], &mut || false);
    let audio = world.got_of(0);
    assert_eq!(audio[5].timestamp.wrapping_sub(audio[4].timestamp), 160 + 5 * 160);
    assert!(audio[5].marker);
    assert!(!audio[6].marker);
}

#[test]
fn events_from_a_source_of_their_own_do_not_disturb_the_audio() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    let mut keys = Peer { ssrc: 0x3333_3333, sequence: 9, timestamp: 77, ..Peer::new(LEFT) };
    peer.talks(&mut world, 100);
    for (duration, end) in [(160, false), (320, false), (480, true), (480, true), (480, true)] {
        let payload = EventPayload { event: Event(8), end, volume: 10, duration };
        let event = keys.packet(101, false, 77, &payload.to_bytes());
        world.arrives(keys.from, &event);
        peer.talks(&mut world, 20);
    }
    peer.talks(&mut world, 200);
    world.assert_continuous();
    let heard = presses(&world.got_of(101));
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].event, heard[0].duration, heard[0].ends), (8, 480, 3));
    assert_eq!(world.got_of(0).len(), 5 + 3 + 10, "only what was said during the press is missing");
}

/// As in the recordings that come with SIPp: a source of its own, the same timestamps at each press, the duration
/// twice as fast as time, and one sequence number for all three ends.
#[test]
fn a_recording_of_each_key_played_in_any_order_is_heard() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    let pressed = [5u8, 5, 1, 2, 1, 9, 0, 0];
    for &event in &pressed {
        let began = 5800 + 7480 * u32::from(event);
        let mut keys = Peer {
            ssrc: 0x0e05_384e,
            sequence: 7940 + 43 * u16::from(event),
            timestamp: 0,
            ..Peer::new(LEFT)
        };
        for n in 0..7u16 {
            let payload = EventPayload { event: Event(event), end: false, volume: 10, duration: n * 320 };
            let datagram = keys.packet(101, n == 0, began, &payload.to_bytes());
            world.arrives(keys.from, &datagram);
            peer.talks(&mut world, 20);
        }
        let payload = EventPayload { event: Event(event), end: true, volume: 10, duration: 2240 };
        let datagram = keys.packet(101, false, began, &payload.to_bytes());
        for _ in 0..3 {
            world.arrives(keys.from, &datagram);
        }
        peer.talks(&mut world, 600);
    }
    world.assert_continuous();
    let heard = presses(&world.got_of(101));
    assert_eq!(heard.iter().map(|press| press.event).collect::<Vec<_>>(), pressed);
    assert!(heard.iter().all(|press| (press.duration, press.ends, press.markers) == (2240, 3, 1)));
    assert_eq!(world.left.stats().lost, 0);
}

#[test]
fn events_that_claim_more_time_than_passed_stay_apart() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    for event in 0..6 {
        let payload = EventPayload { event: Event(event), end: true, volume: 10, duration: 2240 };
        let datagram = peer.packet(101, true, peer.timestamp, &payload.to_bytes());
        world.arrives(peer.from, &datagram);
        peer.timestamp = peer.timestamp.wrapping_add(480);
        world.wait(60);
    }
    let heard = presses(&world.got_of(101));
    assert_eq!(heard.iter().map(|press| press.event).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    for pair in heard.windows(2) {
        let after = pair[1].timestamp.wrapping_sub(pair[0].timestamp.wrapping_add(pair[0].duration));
        assert!(after.cast_signed() > 0, "{pair:?} overlap");
    }
}

#[test]
fn a_key_whose_only_packet_is_late_is_heard() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    let payload = EventPayload { event: Event(4), end: true, volume: 10, duration: 800 };
    let late = peer.packet(101, false, peer.timestamp, &payload.to_bytes());
    peer.timestamp = peer.timestamp.wrapping_add(800);
    peer.talks(&mut world, 100);
    world.arrives(peer.from, &late);
    peer.talks(&mut world, 100);
    assert_eq!(presses(&world.got_of(101)).iter().map(|press| press.event).collect::<Vec<_>>(), [4]);
}

#[test]
fn a_key_held_for_twenty_seconds_is_one_press_in_segments() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    let began = peer.timestamp;
    let mut segment = 0;
    for n in 1..=1000u32 {
        let mut duration = n * 160 - segment;
        if duration > 0xffff {
            let full = EventPayload { event: Event(1), end: false, volume: 10, duration: 0xffff };
            let datagram = peer.packet(101, false, began.wrapping_add(segment), &full.to_bytes());
            world.arrives(peer.from, &datagram);
            segment += 0xffff;
            duration -= 0xffff;
        }
        let payload = EventPayload { event: Event(1), end: n == 1000, volume: 10, duration: duration as u16 };
        let datagram = peer.packet(101, n == 1, began.wrapping_add(segment), &payload.to_bytes());
        world.arrives(peer.from, &datagram);
        world.wait(20);
    }
    world.wait(500);
    let heard = presses(&world.got_of(101));
    assert_eq!(heard.len(), 3, "three segments");
    assert!(heard.iter().all(|press| press.event == 1));
    assert_eq!(heard.iter().map(|press| press.markers).sum::<usize>(), 1);
    assert_eq!(heard.iter().map(|press| press.ends).collect::<Vec<_>>(), [0, 0, 3]);
    assert_eq!(heard.iter().map(|press| press.duration).sum::<u32>(), 160_000);
    assert!(heard.windows(2).all(|pair| pair[0].timestamp.wrapping_add(0xffff) == pair[1].timestamp));
    assert_eq!(world.left.stats().events_received, 1);
}

#[test]
fn digits_of_our_own_are_sent_on_the_clock_in_place_of_audio() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    world.right.send_digits(world.now, "19#", DigitTiming::default()).unwrap();
    peer.talks(&mut world, 1000);
    assert!(!world.right.is_sending_digits());
    world.assert_continuous();
    let heard = presses(&world.got_of(101));
    assert_eq!(heard.iter().map(|press| press.event).collect::<Vec<_>>(), [1, 9, 11]);
    assert!(heard.iter().all(|press| (press.duration, press.ends, press.markers) == (800, 3, 1)));
    for pair in heard.windows(2) {
        let gap = pair[1].timestamp.wrapping_sub(pair[0].timestamp.wrapping_add(pair[0].duration));
        assert!((640..=960).contains(&gap), "80 ms to within an update: {gap}");
    }
    assert_no_audio_during_events(&world.got, 101);
}

#[test]
fn a_leg_is_not_mute_for_good_when_the_one_that_heard_the_key_is_gone() {
    let mut world = World::plain();
    let mut peer = Peer::new(LEFT);
    peer.talks(&mut world, 100);
    let payload = EventPayload { event: Event(5), end: false, volume: 10, duration: 160 };
    let datagram = peer.packet(101, true, peer.timestamp, &payload.to_bytes());
    world.arrives(peer.from, &datagram);
    world.left = world::leg(negotiated(LEFT, Codec::Pcmu, 20, Some(101)), &[], 9, world.now);
    let mut other = Peer { ssrc: 4, ..Peer::new(LEFT) };
    other.talks(&mut world, 1000);
    let heard = presses(&world.got_of(101));
    assert_eq!((heard.len(), heard[0].ends), (1, 3));
    assert_eq!(world.got_of(0).len(), 5 + 25);
    world.assert_continuous();
}

#[test]
fn digits_of_our_own_need_no_audio_to_go_by() {
    let mut world = World::plain();
    world.right.send_digits(world.now, "0123456789*#", DigitTiming::default()).unwrap();
    world.wait(5000);
    assert_eq!(presses(&world.got).len(), 12);
    world.assert_continuous();
}

#[test]
fn a_peer_without_telephone_events_hears_the_tones() {
    let mut world =
        World::new(negotiated(LEFT, Codec::Pcmu, 20, Some(101)), negotiated(RIGHT, Codec::Pcma, 20, None));
    let mut peer = Peer::new(LEFT);
    dial(&mut world, &mut peer, 101, Habit::Proper, &[(1, 5), (1, 5), (15, 4), (0, 8)], &mut || false);
    world.right.send_digits(world.now, "7*", DigitTiming::default()).unwrap();
    world.wait(1000);
    world.assert_continuous();
    // The keys on the far end's clock, as its decoder would play them.
    let first = world.got[0].timestamp;
    let mut heard = vec![0; 3 * 8000];
    for got in &world.got {
        let place = got.timestamp.wrapping_sub(first) as usize;
        for (sample, &coded) in heard[place..].iter_mut().zip(&got.payload) {
            // What the peer talks is a steady 0x55, which is no key.
            *sample = g711::expand(Law::A, coded);
        }
    }
    assert_eq!(tone::keys_in(&heard), keys_of("11D07*"));
}
