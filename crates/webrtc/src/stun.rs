//! As much of a datagram as is needed to find whose it is, without trusting it (RFC 7983, RFC 8489).

/// What a datagram on a socket for browsers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// A connectivity check, which names the leg that it is for.
    Check(Check<'a>),
    /// DTLS.
    Dtls,
    /// RTP, with its SSRC.
    Rtp {
        /// As stated; not authenticated.
        ssrc: u32,
    },
    /// RTCP.
    Rtcp,
}

/// A STUN binding request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check<'a> {
    /// Our own name in its USERNAME.
    pub(crate) ufrag: &'a str,
    /// Whether the browser wants this pair to be used (RFC 8445 §7.1.2).
    pub(crate) nominates: bool,
}

/// Tells what a datagram is; none if nothing that belongs here.
pub(crate) fn kind(datagram: &[u8]) -> Option<Kind<'_>> {
    match *datagram.first()? {
        0..=3 => check(datagram).map(Kind::Check),
        20..=63 => Some(Kind::Dtls),
        128..=191 if trunkline_media::rtp::is_rtcp(datagram) => Some(Kind::Rtcp),
        128..=191 => {
            let ssrc = datagram.get(8..12)?.try_into().ok()?;
            Some(Kind::Rtp { ssrc: u32::from_be_bytes(ssrc) })
        }
        _ => None,
    }
}

/// Whether a datagram of ours is STUN.
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4)
}

fn check(datagram: &[u8]) -> Option<Check<'_>> {
    let (header, mut rest) = datagram.split_at_checked(HEADER_BYTES)?;
    let (kind, header) = header.split_at_checked(2)?;
    let (length, header) = header.split_at_checked(2)?;
    if kind != BINDING_REQUEST || number(length)? != rest.len() || header.get(..4)? != MAGIC_COOKIE {
        return None;
    }
    let (mut ufrag, mut nominates) = (None, false);
    while !rest.is_empty() {
        let (head, behind) = rest.split_at_checked(4)?;
        let (kind, length) = head.split_at_checked(2)?;
        let length = number(length)?;
        let value = behind.get(..length)?;
        match number(kind)? {
            USERNAME => ufrag = std::str::from_utf8(value).ok()?.split(':').next(),
            USE_CANDIDATE => nominates = true,
            // What comes behind the integrity is not covered by it.
            MESSAGE_INTEGRITY => break,
            _ => {}
        }
        rest = behind.get(length.next_multiple_of(4)..)?;
    }
    Some(Check { ufrag: ufrag?, nominates })
}

fn number(bytes: &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.try_into().ok()?)))
}

const HEADER_BYTES: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0, 1];
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: usize = 0x0006;
const MESSAGE_INTEGRITY: usize = 0x0008;
const USE_CANDIDATE: usize = 0x0025;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1, 0, u8::try_from(attributes.len()).unwrap()];
        message.extend(MAGIC_COOKIE);
        message.extend([7; 12]);
        message.extend(attributes);
        message
    }

    #[test]
    fn a_check_names_its_leg_and_may_nominate() {
        let plain = request(b"\x00\x06\x00\x07ours:it\x00");
        assert_eq!(kind(&plain), Some(Kind::Check(Check { ufrag: "ours", nominates: false })));
        let nominating = request(b"\x00\x25\x00\x00\x00\x06\x00\x07ours:it\x00");
        assert_eq!(kind(&nominating), Some(Kind::Check(Check { ufrag: "ours", nominates: true })));
        let behind_integrity = request(b"\x00\x06\x00\x07ours:it\x00\x00\x08\x00\x00\x00\x25\x00\x00");
        assert_eq!(kind(&behind_integrity), Some(Kind::Check(Check { ufrag: "ours", nominates: false })));
    }

    #[test]
    fn what_lies_about_its_length_is_nothing() {
        let whole = request(b"\x00\x06\x00\x07ours:it\x00");
        for length in 0..whole.len() {
            assert_eq!(kind(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(kind(&request(b"\x00\x06\x00\xffours:it\x00")), None);
        assert_eq!(kind(&request(b"")), None, "it names nobody");
    }

    #[test]
    fn the_first_byte_tells_the_protocols_apart() {
        assert_eq!(kind(&[22, 254, 253]), Some(Kind::Dtls));
        assert_eq!(kind(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2]), Some(Kind::Rtp { ssrc: 258 }));
        assert_eq!(kind(&[0x80, 0, 0, 1]), None, "shorter than a header");
        assert_eq!(kind(&[0x80, 200]), Some(Kind::Rtcp));
        assert_eq!(kind(&[64]), None);
        assert_eq!(kind(&[]), None);
    }
}
