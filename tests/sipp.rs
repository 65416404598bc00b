//! Two SIPp carriers with Trunkline between them: the west calls, the east is called, and phones of ours at both carriers
//! play and record the audio. The scenarios are the XML files in `sipp/`.

#[path = "sipp/changes.rs"]
mod changes;
#[path = "sipp/load.rs"]
mod load;
#[path = "sipp/refusals.rs"]
mod refusals;
#[path = "sipp/setup.rs"]
mod setup;
#[path = "sipp/sound.rs"]
mod sound;
#[path = "sipp/timers.rs"]
mod timers;
#[path = "sipp/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::time::Duration;
use trunkline_model::{CallRecord, Party, Q850, Stage as CallStage, TrunkId};
use trunkline_tests::peers::{
    Carrier, EAST_NUMBER, Message, Packet, Phone, Playing, Sipp, Speech, WEST_NUMBER, wait_for,
};

/// Bytes of a packet of 20 ms of G.711.
const PACKET: usize = 160;

/// How long an end talks before it hangs up: longer than the speech, by what a busy machine may be late.
const TALK: Duration = Duration::from_millis(4_500);

/// One end of a conversation: who speaks, where to, and what.
struct End<'a> {
    phone: &'a Phone,
    to: SocketAddr,
    speech: Speech,
    playing: Playing,
}

impl<'a> End<'a> {
    /// The west, which hears what to call from the answer to its INVITE.
    fn west(west: &'a Carrier, caller: &Sipp) -> Self {
        Self {
            phone: &west.phone,
            to: caller.peer_audio(0),
            speech: Speech::CALLER,
            playing: Playing::new(1),
        }
    }

    /// The east.
    fn east(east: &'a Carrier, callee: &Sipp) -> Self {
        Self {
            phone: &east.phone,
            to: callee.peer_audio(0),
            speech: Speech::CALLEE,
            playing: Playing::new(2),
        }
    }

    fn says(&mut self, payload_type: u8) {
        self.phone.play(&mut self.playing, self.to, payload_type, self.speech.encoded(payload_type), PACKET);
    }

    /// Sends one packet of a value of its own.
    fn knocks(&mut self, value: u8) {
        self.phone.play(&mut self.playing, self.to, Packet::PCMU, &[value; PACKET], PACKET);
    }

    /// Whether the last packet heard is of this value.
    fn hears_knock(&self, value: u8) -> bool {
        let heard = self.phone.heard();
        heard.packets.last().is_some_and(|packet| packet.payload == [value; PACKET])
    }
}

/// Lets both ends knock until each hears the other, in PCMU.
///
/// For sessions that an ACK brings into force: no message tells its sender when it has arrived.
fn knock_until_heard(west: &mut End<'_>, east: &mut End<'_>) {
    let mut value = 0;
    wait_for("both ends to hear each other", || {
        // The last of each has come through, so that none is still on its way.
        if value > 0 && west.hears_knock(value) && east.hears_knock(value) {
            return Some(());
        }
        value = value % 100 + 1;
        west.knocks(value);
        east.knocks(value);
        None
    });
}

/// Lets both ends speak at once in PCMU, and asserts that each hears exactly what the other says.
fn converse(west: &mut End<'_>, east: &mut End<'_>) {
    for end in [&*west, &*east] {
        end.phone.forget();
    }
    speak(west, Packet::PCMU, east, Packet::PCMU);
    for (listener, speaker) in [(&*west, &*east), (&*east, &*west)] {
        let expected = speaker.speech.encoded(Packet::PCMU);
        listener.phone.hears(Packet::PCMU, expected.len()).assert_audio(Packet::PCMU, expected, PACKET);
    }
}

/// Lets both ends speak at once, each in its own codec.
fn speak(west: &mut End<'_>, west_type: u8, east: &mut End<'_>, east_type: u8) {
    std::thread::scope(|scope| {
        scope.spawn(|| west.says(west_type));
        scope.spawn(|| east.says(east_type));
    });
}

/// Asserts that there is one record, and that it is of an answered call from west to east which this party ended.
fn assert_answered(records: &[CallRecord], ended_by: Party) {
    let [record] = records else { panic!("one call leaves one record, not {records:?}") };
    // A number may be followed by parameters within the user part (RFC 3261 §19.1.6).
    let number = record.to.split(';').next();
    assert_eq!((record.from.as_str(), number), (WEST_NUMBER, Some(EAST_NUMBER)));
    assert_eq!(record.trunk_in.as_ref().map(|trunk| trunk.as_str()), Some("west"));
    assert_eq!(record.trunk_out.as_ref().map(|trunk| trunk.as_str()), Some("east"));
    assert_eq!((record.cause.sip, record.cause.q850), (200, Q850::NORMAL_CLEARING), "{}", record.cause);
    assert_eq!(
        (record.cause.ended_by, record.cause.stage),
        (ended_by, CallStage::Answered),
        "{}",
        record.cause
    );
    let answered_after = record.answered_after.expect("a time of answer");
    assert!(answered_after < record.ended_after);
    assert!(record.rang_after.expect("a time of ringing") <= answered_after);
    assert!(record.attempts >= 1);
}

/// Asserts that the record knows of whole speech both ways, and of nothing lost.
fn assert_heard_both_ways(record: &CallRecord) {
    let packets = (Speech::CALLER.encoded(Packet::PCMU).len() / PACKET) as u64;
    for media in [&record.caller_media, &record.callee_media] {
        let media = media.as_ref().expect("figures of the media");
        assert!(media.packets_received >= packets && media.packets_sent >= packets, "{media:?}");
        assert_eq!((media.packets_lost, media.packets_refused), (0, 0), "{media:?}");
        assert!(media.mos.is_some_and(|mos| mos > 4.0), "{media:?}");
    }
}

/// Asserts that there is one record, of a call from the west that failed so, and on the side of this party's trunk.
fn assert_failed(records: &[CallRecord], sip: u16, q850: u8, ended_by: Party, stage: CallStage) {
    let [record] = records else { panic!("one call leaves one record, not {records:?}") };
    let name = |trunk: &Option<TrunkId>| trunk.as_ref().map(|trunk| trunk.as_str().to_owned());
    assert_eq!((record.from.as_str(), name(&record.trunk_in).as_deref()), (WEST_NUMBER, Some("west")));
    let out = (stage != CallStage::Admission).then_some("east");
    assert_eq!(name(&record.trunk_out).as_deref(), out);
    assert_eq!((record.cause.sip, record.cause.q850.0), (sip, q850), "{}", record.cause);
    assert_eq!((record.cause.ended_by, record.cause.stage), (ended_by, stage), "{}", record.cause);
    match ended_by {
        Party::Caller => assert_eq!(name(&record.cause.trunk).as_deref(), Some("west")),
        Party::Callee => assert_eq!(name(&record.cause.trunk).as_deref(), Some("east")),
        Party::Trunkline => {}
    }
    assert_eq!(record.rang_after.is_some(), stage == CallStage::Ringing);
    assert_eq!(record.answered_after, None);
}

/// Returns the final response to the INVITE among what a caller received.
fn final_status(messages: &[Message]) -> Option<u16> {
    let mut finals = messages.iter().filter(|message| {
        message.status().is_some_and(|status| status >= 200)
            && message.header("CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"))
    });
    finals.next()?.status()
}
