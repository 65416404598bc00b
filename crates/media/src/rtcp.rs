//! RTCP: sender and receiver reports, source descriptions, BYE (RFC 3550 §6).
//!
//! Reading is by a bounds-checked walk over what arrived; nothing is allocated. Writing appends to a buffer that is
//! kept, as the reports of a thousand legs should not allocate either.

use crate::error::Malformed;
use crate::stats::ReceptionReport;

/// One packet of a compound packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rtcp<'a> {
    /// A sender report (RFC 3550 §6.4.1).
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// When it was sent.
        sent: SenderInfo,
        /// What it hears.
        blocks: Blocks<'a>,
    },
    /// A receiver report (RFC 3550 §6.4.2).
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// What it hears.
        blocks: Blocks<'a>,
    },
    /// A source description (RFC 3550 §6.5), unread: nothing in it concerns a call.
    SourceDescription,
    /// Sources that stop (RFC 3550 §6.6). It never ends a call.
    Bye,
    /// Something else.
    Other(u8),
}

/// The sender's own figures in its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall clock or anything steady, in NTP format.
    pub ntp: u64,
    /// The same instant on the media clock.
    pub rtp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// Reports on sources, read as they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks<'a> {
    bytes: &'a [u8],
}

/// A report on one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The source.
    pub ssrc: u32,
    /// Share of 256 lost since the last report.
    pub fraction_lost: u8,
    /// Packets lost in all.
    pub cumulative_lost: i32,
    /// Highest sequence number heard, with its cycles.
    pub highest_sequence: u32,
    /// Jitter in timestamp units.
    pub jitter: u32,
    /// The middle of the NTP time in the last sender report heard; zero for none.
    pub last_sender_report: u32,
    /// How long ago that was, in 1/65536 s.
    pub since_last_sender_report: u32,
}

/// The packets of a compound packet.
#[derive(Debug, Clone, Copy)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// The item that names a source for good (RFC 3550 §6.5.1).
const CNAME: u8 = 1;

const BLOCK_BYTES: usize = 24;
const SENDER_INFO_BYTES: usize = 20;

/// Reads a compound packet, whole: either all of it is well formed or none is taken.
///
/// Checks what RFC 3550 A.2 does, except that the first packet may be of any type (RFC 5506).
pub fn parse(datagram: &[u8]) -> Result<Compound<'_>, Malformed> {
    let compound = Compound { rest: datagram };
    if datagram.is_empty() {
        return Err(Malformed::Rtcp);
    }
    let mut walk = compound;
    while !walk.rest.is_empty() {
        walk.step().ok_or(Malformed::Rtcp)?;
    }
    Ok(compound)
}

impl<'a> Iterator for Compound<'a> {
    type Item = Rtcp<'a>;

    fn next(&mut self) -> Option<Rtcp<'a>> {
        self.step()
    }
}

impl<'a> Compound<'a> {
    fn step(&mut self) -> Option<Rtcp<'a>> {
        let &[first, packet_type, high, low] = self.rest.first_chunk()?;
        if first >> 6 != 2 {
            return None;
        }
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let (packet, rest) = self.rest.split_at_checked(length)?;
        let mut body = packet.get(4..)?;
        if first & 0x20 != 0 {
            // RFC 3550 §6.4.1: only the last packet of a compound packet is padded, by a multiple of four.
            let padding = usize::from(*body.last()?);
            if !rest.is_empty() || padding == 0 || !padding.is_multiple_of(4) {
                return None;
            }
            body = body.get(..body.len().checked_sub(padding)?)?;
        }
        let count = usize::from(first & 0x1f);
        let parsed = match packet_type {
            SENDER_REPORT => sender_report(body, count)?,
            RECEIVER_REPORT => {
                let (ssrc, body) = word(body)?;
                Rtcp::ReceiverReport { ssrc, blocks: Blocks::take(body, count)? }
            }
            SOURCE_DESCRIPTION => Rtcp::SourceDescription,
            BYE => {
                body.get(..count * 4)?;
                Rtcp::Bye
            }
            other => Rtcp::Other(other),
        };
        self.rest = rest;
        Some(parsed)
    }
}

impl<'a> Blocks<'a> {
    fn take(body: &'a [u8], count: usize) -> Option<Self> {
        body.get(..count * BLOCK_BYTES).map(|bytes| Self { bytes })
    }

    /// Returns the reports.
    pub fn iter(&self) -> impl Iterator<Item = Block> + 'a {
        self.bytes.chunks_exact(BLOCK_BYTES).filter_map(block)
    }
}

fn sender_report(body: &[u8], count: usize) -> Option<Rtcp<'_>> {
    let (ssrc, body) = word(body)?;
    let (info, body) = body.split_at_checked(SENDER_INFO_BYTES)?;
    let (ntp_secs, info) = word(info)?;
    let (ntp_fraction, info) = word(info)?;
    let (rtp, info) = word(info)?;
    let (packets, info) = word(info)?;
    let (octets, _) = word(info)?;
    let ntp = u64::from(ntp_secs) << 32 | u64::from(ntp_fraction);
    let sent = SenderInfo { ntp, rtp, packets, octets };
    Some(Rtcp::SenderReport { ssrc, sent, blocks: Blocks::take(body, count)? })
}

fn block(bytes: &[u8]) -> Option<Block> {
    let (ssrc, bytes) = word(bytes)?;
    let (loss, bytes) = word(bytes)?;
    let (highest_sequence, bytes) = word(bytes)?;
    let (jitter, bytes) = word(bytes)?;
    let (last_sender_report, bytes) = word(bytes)?;
    let (since_last_sender_report, _) = word(bytes)?;
    Some(Block {
        ssrc,
        fraction_lost: (loss >> 24) as u8,
        // 24 bits with a sign.
        cumulative_lost: (loss << 8).cast_signed() >> 8,
        highest_sequence,
        jitter,
        last_sender_report,
        since_last_sender_report,
    })
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*word), rest))
}

/// What a report says besides what was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnReport<'a> {
    pub(crate) ssrc: u32,
    /// Our own figures; none when nothing was sent lately, which makes it a receiver report.
    pub(crate) sent: Option<SenderInfo>,
    pub(crate) received: Option<ReceptionReport>,
    pub(crate) last_sender_report: u32,
    pub(crate) since_last_sender_report: u32,
    pub(crate) cname: &'a str,
    /// Whether the source stops.
    pub(crate) bye: bool,
}

/// Writes the compound packet of a report: SR or RR, SDES with a CNAME (RFC 3550 §6.1), and BYE at the end.
pub(crate) fn write(report: &OwnReport<'_>, out: &mut Vec<u8>) {
    let count = u8::from(report.received.is_some());
    let packet_type = if report.sent.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
    packet(out, count, packet_type, |out| {
        out.extend(report.ssrc.to_be_bytes());
        if let Some(sent) = report.sent {
            out.extend(sent.ntp.to_be_bytes());
            out.extend(sent.rtp.to_be_bytes());
            out.extend(sent.packets.to_be_bytes());
            out.extend(sent.octets.to_be_bytes());
        }
        if let Some(received) = report.received {
            out.extend(received.ssrc.to_be_bytes());
            let lost = received.cumulative_lost.cast_unsigned() & 0x00ff_ffff;
            out.extend((u32::from(received.fraction_lost) << 24 | lost).to_be_bytes());
            out.extend(received.highest_sequence.to_be_bytes());
            out.extend(received.jitter.to_be_bytes());
            out.extend(report.last_sender_report.to_be_bytes());
            out.extend(report.since_last_sender_report.to_be_bytes());
        }
    });
    packet(out, 1, SOURCE_DESCRIPTION, |out| {
        out.extend(report.ssrc.to_be_bytes());
        let cname = report.cname.as_bytes().iter().take(usize::from(u8::MAX));
        out.extend([CNAME, cname.len() as u8]);
        out.extend(cname);
        // RFC 3550 §6.5: a chunk ends with at least one zero and on a word.
        out.push(0);
    });
    if report.bye {
        packet(out, 1, BYE, |out| out.extend(report.ssrc.to_be_bytes()));
    }
}

/// Writes one packet: its header, a body, zeros up to a word.
fn packet(out: &mut Vec<u8>, count: u8, packet_type: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0x80 | (count & 0x1f), packet_type, 0, 0]);
    body(out);
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    let words = u16::try_from((out.len() - start) / 4 - 1).unwrap_or(u16::MAX);
    if let Some(length) = out.get_mut(start + 2..start + 4) {
        length.copy_from_slice(&words.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtcp_types::Compound as Oracle;

    fn report() -> OwnReport<'static> {
        OwnReport {
            ssrc: 0x0102_0304,
            sent: Some(SenderInfo { ntp: 0x1111_2222_3333_4444, rtp: 5, packets: 6, octets: 7 }),
            received: Some(ReceptionReport {
                ssrc: 9,
                fraction_lost: 25,
                cumulative_lost: -2,
                highest_sequence: 70_000,
                jitter: 11,
            }),
            last_sender_report: 0x2222_3333,
            since_last_sender_report: 65_536,
            cname: "abcdef@trunkline",
            bye: true,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut bytes = Vec::new();
        write(&report(), &mut bytes);
        let packets: Vec<Rtcp<'_>> = parse(&bytes).unwrap().collect();
        assert_eq!(packets.len(), 3);
        let Rtcp::SenderReport { ssrc, sent, blocks } = packets[0] else {
            panic!("a sender report comes first")
        };
        assert_eq!((ssrc, Some(sent)), (report().ssrc, report().sent));
        let block = blocks.iter().next().unwrap();
        assert_eq!((block.ssrc, block.fraction_lost, block.cumulative_lost), (9, 25, -2));
        assert_eq!((block.highest_sequence, block.jitter), (70_000, 11));
        assert_eq!((block.last_sender_report, block.since_last_sender_report), (0x2222_3333, 65_536));
        assert_eq!(packets[1..], [Rtcp::SourceDescription, Rtcp::Bye]);
    }

    #[test]
    fn an_independent_parser_reads_what_we_write() {
        for (sent, bye, cname) in
            [(true, true, "a"), (false, false, "abcdef"), (true, false, "abcdefg"), (false, true, "")]
        {
            let full = report();
            let mut bytes = Vec::new();
            write(&OwnReport { sent: full.sent.filter(|_| sent), bye, cname, ..full }, &mut bytes);
            let packets: Vec<_> = Oracle::parse(&bytes).unwrap().collect::<Result<_, _>>().unwrap();
            match &packets[0] {
                rtcp_types::Packet::Sr(report) if sent => {
                    assert_eq!(report.ssrc(), 0x0102_0304);
                    assert_eq!(report.ntp_timestamp(), 0x1111_2222_3333_4444);
                    assert_eq!(report.octet_count(), 7);
                }
                rtcp_types::Packet::Rr(report) if !sent => {
                    assert_eq!(report.ssrc(), 0x0102_0304);
                    assert_eq!(report.report_blocks().next().unwrap().interarrival_jitter(), 11);
                }
                other => panic!("not the report expected: {other:?}"),
            }
            let rtcp_types::Packet::Sdes(sdes) = &packets[1] else {
                panic!("a source description comes second")
            };
            let chunk = sdes.chunks().next().unwrap();
            assert_eq!(chunk.items().next().unwrap().value(), cname.as_bytes());
            assert_eq!(packets.len(), if bye { 3 } else { 2 });
        }
    }

    #[test]
    fn lying_lengths_are_refused() {
        let mut bytes = Vec::new();
        write(&report(), &mut bytes);
        for cut in 1..bytes.len() {
            let whole = parse(&bytes[..cut]).is_ok();
            // Cut between two packets, it is a shorter compound packet.
            assert_eq!(whole, cut == 52 || cut == 52 + 28, "cut at {cut}");
        }
        // CVE-2021-43804: a BYE whose count is larger than its length.
        assert_eq!(parse(&[0x9f, 203, 0, 1, 0, 0, 0, 1]).map(|_| ()), Err(Malformed::Rtcp));
        assert_eq!(parse(&[0x81, 203, 0xff, 0xff, 0, 0, 0, 1]).map(|_| ()), Err(Malformed::Rtcp));
        assert_eq!(parse(&[0xa0, 203, 0, 1, 0, 0, 0, 200]).map(|_| ()), Err(Malformed::Rtcp));
        assert_eq!(parse(&[]).map(|_| ()), Err(Malformed::Rtcp));
    }
}
