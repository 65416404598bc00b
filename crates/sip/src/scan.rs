//! Looking through short texts: names, numbers, parts of URIs.
//!
//! They are so short that memchr would take longer to start than these take to look, and they are read in their
//! hundreds for every message.

/// Finds a byte, eight at a time.
#[inline]
pub(crate) fn find(text: &[u8], byte: u8) -> Option<usize> {
    let wanted = u64::from_le_bytes([byte; 8]);
    let (words, rest) = text.as_chunks();
    for (at, word) in words.iter().enumerate() {
        // Of the bytes that are zero here, the first is where bit 0x80 is set first: a borrow only ever comes
        // from a zero before it.
        let zeros = u64::from_le_bytes(*word) ^ wanted;
        let found = zeros.wrapping_sub(LOWEST_BITS) & !zeros & HIGHEST_BITS;
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|found| *found == byte)?;
    Some(words.len() * 8 + at)
}

/// Splits text at the first of a byte that is ASCII; a search for a `char` takes several times as long.
#[inline]
pub(crate) fn split_once(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = find(text.as_bytes(), byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Says whether any byte is one of those. All are looked at, sixteen at a time, which is sooner than stopping early.
#[inline]
pub(crate) fn any(text: &[u8], is_wanted: impl Fn(u8) -> bool) -> bool {
    let any_of = |bytes: &[u8]| bytes.iter().fold(false, |found, byte| found | is_wanted(*byte));
    match text.last_chunk::<16>() {
        Some(last) => {
            let (chunks, _) = text.as_chunks::<16>();
            chunks.iter().fold(any_of(last), |found, chunk| found | any_of(chunk))
        }
        None => any_of(text),
    }
}

/// Counts the bytes that are one of those.
#[inline]
pub(crate) fn count(text: &[u8], is_wanted: impl Fn(u8) -> bool) -> usize {
    let (chunks, rest) = text.as_chunks::<32>();
    let mut count = rest.iter().filter(|byte| is_wanted(**byte)).count();
    // A lane counts to 255, so that many chunks are added up before their sum is taken.
    for chunks in chunks.chunks(usize::from(u8::MAX)) {
        let mut lanes = [0_u8; 32];
        for chunk in chunks {
            for (lane, byte) in lanes.iter_mut().zip(chunk) {
                *lane = lane.wrapping_add(u8::from(is_wanted(*byte)));
            }
        }
        count += lanes.iter().map(|lane| usize::from(*lane)).sum::<usize>();
    }
    count
}

const LOWEST_BITS: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHEST_BITS: u64 = u64::from_le_bytes([0x80; 8]);

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, any as arbitrary, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    proptest! {
        #[test]
        fn they_agree_with_looking_byte_by_byte(
            // Bytes that differ by one from each other are those that a borrow would confuse.
            text in proptest::collection::vec(prop_oneof![Just(b';'), Just(b':'), Just(b'<'), arbitrary::<u8>()], 0..100),
        ) {
            prop_assert_eq!(find(&text, b';'), text.iter().position(|byte| *byte == b';'));
            prop_assert_eq!(find(&text, 0x80), text.iter().position(|byte| *byte == 0x80));
            prop_assert_eq!(any(&text, |byte| byte == b'<'), text.contains(&b'<'));
            prop_assert_eq!(count(&text, |byte| byte == b':'), text.iter().filter(|byte| **byte == b':').count());
        }
    }

    #[test]
    fn long_texts_are_counted_whole() {
        assert_eq!(count(&[b'\n'; 20_000], |byte| byte == b'\n'), 20_000);
    }
}
