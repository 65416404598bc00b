//! Splitting text into lines, and lines into fields.

/// Lines of a block whose bytes were checked before; blank lines are skipped.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    /// Returns what has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Returns the next line without its end, blank or not.
    ///
    /// RFC 8866 §5: lines end in CRLF, and a lone LF should be accepted.
    pub(super) fn next_raw(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) =
            match memchr::memchr(b'\n', self.rest).and_then(|at| self.rest.split_at_checked(at)) {
                Some((line, rest)) => (line, rest.get(1..).unwrap_or_default()),
                None => (self.rest, Default::default()),
            };
        self.rest = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let line = self.next_raw()?;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

/// Returns the fields between spaces; several spaces count as one, as sloppy printers pad.
pub(super) fn fields(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(' ').filter(|field| !field.is_empty())
}

/// Returns the text of a value made of visible ASCII and spaces.
pub(super) fn visible(value: &[u8]) -> Option<&str> {
    if value.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic()) {
        std::str::from_utf8(value).ok()
    } else {
        None
    }
}

/// Returns a decimal number without sign.
///
/// `str::parse` would take a leading `+`.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
