//! What the text of the sources must and must not say.

use crate::shell::{output, root};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// Foreign crates and the only places that may name them, as beginnings of paths. Replacing one is a change there.
const DOORS: &[(&str, &[&str])] = &[
    ("rtp_rs", &["crates/media/src/rtp.rs"]),
    ("rtcp_types", &["crates/media/src/rtcp.rs"]),
    ("audiopus", &["crates/media/src/opus.rs"]),
    // A fuzz target has it play the browser.
    ("str0m", &["crates/webrtc/", "crates/fuzz/fuzz_targets/webrtc_hub.rs"]),
    ("rusmpp", &["crates/sms/src/pdu.rs"]),
    ("sqlx", &["crates/storage/"]),
    // The first is the REST plane; the others are the server it is mounted on and what else that serves.
    (
        "axum",
        &[
            "crates/api/",
            "crates/gateway/src/https",
            "crates/gateway/src/app/rest.rs",
            "crates/gateway/src/net/ws/door.rs",
            "crates/gateway/src/sms/http_carrier/hooks.rs",
            "crates/gateway/src/sandbox/http.rs",
        ],
    ),
    // Judges, not parts: they are measured and compared, never shipped.
    ("rsip", &["crates/sip/benches/", "crates/sip/tests/"]),
    ("rsipstack", &["crates/sip/benches/", "crates/sip/tests/"]),
    ("webrtc_sdp", &["crates/media/tests/", "crates/media/benches/"]),
];

/// What no committed text says: places on the machine it was written on. In pieces, or this file would say them.
const PLACES: &[&str] = &[
    concat!("..", "/shared"),
    concat!(".lib", "rary/"),
    concat!("/wo", "rk/main"),
    concat!("/ro", "ot/"),
    concat!("/tm", "p/brief"),
];

/// Longest source file, in lines: past it a file has two subjects.
const LINES_MAX: usize = 1_000;

/// Largest file whose text is looked at: above are recordings and captures.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Returns what is wrong in the committed files, in words.
pub(crate) fn faults() -> Result<Vec<String>> {
    let files = output(Command::new("git").args(["ls-files", "-z"]).current_dir(root()))?;
    let mut faults = Vec::new();
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        // A file that is deleted but still listed, and a file that is not text, have nothing to say.
        let Ok(bytes) = std::fs::read(root().join(file)) else { continue };
        if bytes.len() > FILE_BYTES_MAX {
            continue;
        }
        if let Ok(text) = String::from_utf8(bytes) {
            faults.extend(file_faults(file, &text));
        }
    }
    Ok(faults)
}

fn file_faults(file: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        faults.extend(
            PLACES
                .iter()
                .filter(|place| line.contains(**place))
                .map(|place| format!("{file}:{number} names {place}")),
        );
    }
    if Path::new(file).extension().is_some_and(|extension| extension == "rs") {
        if text.lines().count() > LINES_MAX {
            faults.push(format!("{file} is longer than {LINES_MAX} lines"));
        }
        faults.extend(door_faults(file, text));
    } else if file.ends_with("/Cargo.toml") && !text.contains("[lints]\nworkspace = true") {
        faults.push(format!("{file} does not take the workspace's lints"));
    }
    faults
}

fn door_faults(file: &str, text: &str) -> Vec<String> {
    let foreign = DOORS.iter().filter(|(_, places)| !places.iter().any(|place| file.starts_with(place)));
    foreign
        .filter(|(name, _)| text.lines().any(|line| names_crate(line, name)))
        .map(|(name, places)| format!("{file} names {name}, whose door is {}", places.join(" or ")))
        .collect()
}

/// Whether a line of code names the crate in a path: `name::`, `use name;` or `extern crate name`.
fn names_crate(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + name.len()..];
        let starts = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '"'));
        let in_use = code.trim_start().trim_start_matches("pub ").starts_with("use ")
            && after.starts_with([';', ' ', ',', '}']);
        starts && (after.starts_with("::") || in_use) && !code[..at].ends_with("::")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_crate_is_named_behind_its_door_only() {
        // In pieces, for this file has no door of its own.
        let code = ["use rtp_rs", "::RtpReader;\n"].concat();
        assert_eq!(door_faults("crates/media/src/rtp.rs", &code), [""; 0]);
        assert_eq!(
            door_faults("crates/media/src/leg.rs", &code),
            ["crates/media/src/leg.rs names rtp_rs, whose door is crates/media/src/rtp.rs"]
        );
    }

    #[test]
    fn prose_and_longer_names_are_not_the_crate() {
        for line in [
            "// rsip::Error is silent",
            "rsipstack::sip::parse()",
            "let rsip = 7;",
            "\"sqlx::query\"",
            "crate::sqlx::x",
        ] {
            assert!(!names_crate(line, "rsip") && !names_crate(line, "sqlx"), "{line}");
        }
        for line in ["use _;", "use _ as judge;", "let x = _::Uri::new();", "fn f(x: &_::Uri) {}"] {
            assert!(names_crate(&line.replace('_', "rsip"), "rsip"), "{line}");
        }
    }

    #[test]
    fn a_place_outside_the_repository_is_a_fault() {
        let text = format!("see {}/design.md", PLACES[0]);
        assert_eq!(file_faults("README.md", &text).len(), 1);
        assert_eq!(file_faults("README.md", "see the design").len(), 0);
    }

    #[test]
    fn a_package_must_take_the_lints() {
        assert_eq!(file_faults("crates/x/Cargo.toml", "[package]\n").len(), 1);
        assert_eq!(file_faults("crates/x/Cargo.toml", "[lints]\nworkspace = true\n").len(), 0);
    }

    #[test]
    fn a_file_of_two_subjects_is_a_fault() {
        assert_eq!(file_faults("crates/x/src/lib.rs", &"\n".repeat(LINES_MAX)).len(), 0);
        assert_eq!(file_faults("crates/x/src/lib.rs", &"\n".repeat(LINES_MAX + 1)).len(), 1);
    }
}
