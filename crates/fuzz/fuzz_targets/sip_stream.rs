//! A connection: the same bytes make the same messages, however they are cut on their way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_sip::framing::{Frame, FrameErrorKind, Framer};
use trunkline_sip::message::{MESSAGE_BYTES_MAX, Message};

fuzz_target!(|data: &[u8]| {
    let Some((&step, stream)) = data.split_first() else { return };
    let whole = read(stream.chunks(stream.len().max(1)));
    let pieces = read(stream.chunks(usize::from(step).max(1)));
    assert_eq!(whole, pieces);
});

fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameErrorKind>) {
    let mut framer = Framer::new();
    let mut frames = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        loop {
            match framer.poll_frame() {
                Ok(Some(frame)) => {
                    if let Frame::Message(bytes) = &frame {
                        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
                        let _ = Message::parse(bytes.clone());
                    }
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error.kind)),
            }
        }
    }
    (frames, None)
}
