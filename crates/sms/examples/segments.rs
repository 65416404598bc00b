//! Tells how texts are cut: one text a line on stdin, in hexadecimal UTF-8; the units of its segments on stdout.
//!
//! A line of output is the alphabet and, for each segment, its units and its text in hexadecimal UTF-8:
//! `GSM 153 6161… 8 6161…`. The tests compare it with other implementations, such as PyPI `smsutil`.
#![allow(clippy::expect_used, reason = "a tool of the tests may fail loudly")]

use std::io::{BufRead, Write};

use trunkline_sms::segment::split::split;
use trunkline_sms::segment::{Carriage, Method, Segment, SplitPolicy, UserDataHeader};
use trunkline_sms::text::gsm7::NationalTables;
use trunkline_sms::text::{CODING_DEFAULT, Charset, Decoded, DefaultAlphabet};

fn main() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("stdin is text");
        let text = String::from_utf8(unhex(&line)).expect("the text is UTF-8");
        let policy = SplitPolicy { method: Method::Udh8, segments_max: 255, ..SplitPolicy::default() };
        let segments = split(&text, &policy, 1).expect("the text has at most 255 segments").segments;
        let gsm = segments.iter().all(|segment| segment.data_coding == CODING_DEFAULT);
        write!(out, "{}", if gsm { "GSM" } else { "UCS2" }).expect("stdout is open");
        for segment in &segments {
            write!(out, " {} {}", segment.units, hex(read(segment).as_bytes())).expect("stdout is open");
        }
        writeln!(out).expect("stdout is open");
    }
}

/// Reads a segment as a handset does.
fn read(segment: &Segment) -> String {
    let header = match segment.carriage {
        Carriage::Udh(_) => UserDataHeader::parse(&segment.octets).expect("its own header"),
        Carriage::Plain | Carriage::Sar(_) | Carriage::Payload => UserDataHeader::default(),
    };
    let charset = Charset::of(segment.data_coding, DefaultAlphabet::Gsm7);
    match charset.decode(&segment.octets.slice(header.octets..), NationalTables::default(), 0) {
        Decoded::Text { text, .. } => text,
        Decoded::Binary(_) => String::new(),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
