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
use trunkline_model::{CallRecord, Party, Q850, Stage as CallStage};
use trunkline_tests::peers::{
    Carrier, EAST_NUMBER, Message, Packet, Phone, Playing, Sipp, Speech, WEST_NUMBER,
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

/// Asserts that there is one record, of a call that failed so.
fn assert_failed(records: &[CallRecord], sip: u16, q850: u8, ended_by: Party, stage: CallStage) {
    let [record] = records else { panic!("one call leaves one record, not {records:?}") };
    assert_eq!((record.cause.sip, record.cause.q850.0), (sip, q850), "{}", record.cause);
    assert_eq!((record.cause.ended_by, record.cause.stage), (ended_by, stage), "{}", record.cause);
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
