//! Splitting one field value at its commas.

/// The items of a comma-separated field value, without the space around them.
///
/// A comma inside a quoted string or inside `<>` belongs to its item.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    rest: Option<&'a [u8]>,
}

/// Returns the items of one field value.
pub fn items(value: &[u8]) -> Items<'_> {
    Items { rest: Some(value) }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.rest.take()?;
            // Most values hold no comma at all.
            let comma = memchr::memchr(b',', rest).and_then(|_| find_outside(rest, b','));
            let item = match comma {
                Some(comma) => {
                    self.rest = rest.get(comma + 1..);
                    rest.get(..comma)?
                }
                None => rest,
            };
            let item = item.trim_ascii();
            // RFC 3261 §7.3.1 has no empty items, peers write them; they mean nothing.
            if !item.is_empty() {
                return Some(item);
            }
        }
    }
}

/// Finds a byte outside quoted strings and outside `<>`.
pub(crate) fn find_outside(text: &[u8], wanted: u8) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    let mut angle = false;
    for (at, &byte) in text.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if angle {
            angle = byte != b'>';
        } else if byte == wanted {
            return Some(at);
        } else {
            match byte {
                b'"' => quoted = true,
                b'<' => angle = true,
                _ => {}
            }
        }
    }
    None
}
