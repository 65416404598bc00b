//! Comma-separated values (RFC 4180): read with the line that each record begins on, and written.

/// A record, and the line of the file that it begins on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) fields: Vec<String>,
}

/// Reads all records; empty lines are none. An opened quote that is never closed ends with the text.
pub(super) fn read(text: &str) -> Vec<Record> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut records, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begun, mut quoted, mut was_quoted) = (1, 1, false, false);
    let mut chars = text.chars().peekable();
    loop {
        let next = chars.next();
        match next {
            Some('"') if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            Some('"') if quoted => quoted = false,
            Some('"') if field.trim().is_empty() && !was_quoted => {
                field.clear();
                (quoted, was_quoted) = (true, true);
            }
            Some(',') if !quoted => {
                fields.push(finish(&mut field, was_quoted));
                was_quoted = false;
            }
            Some('\n') | None if !quoted || next.is_none() => {
                fields.push(finish(&mut field, was_quoted));
                was_quoted = false;
                let record = Record { line: begun, fields: std::mem::take(&mut fields) };
                if record.fields.iter().any(|field| !field.is_empty()) {
                    records.push(record);
                }
                line += 1;
                begun = line;
                if next.is_none() {
                    return records;
                }
            }
            Some(other) => {
                line += usize::from(other == '\n');
                field.push(other);
            }
            None => return records,
        }
    }
}

/// Ends a field. Spaces around one that stands in no quotes, a carriage return among them, are not part of it.
fn finish(field: &mut String, quoted: bool) -> String {
    let text = std::mem::take(field);
    if quoted { text.trim_end_matches('\r').to_owned() } else { text.trim().to_owned() }
}

/// Returns one record as a line, its fields quoted where they must be.
pub(super) fn write(fields: &[&str]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|field| {
            if field.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", field.replace('"', "\"\""))
            } else {
                (*field).to_owned()
            }
        })
        .collect();
    format!("{}\r\n", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<(usize, Vec<String>)> {
        read(text).into_iter().map(|record| (record.line, record.fields)).collect()
    }

    #[test]
    fn quotes_hold_commas_lines_and_quotes() {
        let text = "\u{feff}a,b\r\n\"x, y\" , \"say \"\"hi\"\"\"\r\n\r\n\"two\nlines\",z\nlast,";
        let expect = [
            (1, vec!["a", "b"]),
            (2, vec!["x, y ", "say \"hi\""]),
            (4, vec!["two\nlines", "z"]),
            (6, vec!["last", ""]),
        ];
        let read = fields(text);
        assert_eq!(read.len(), expect.len(), "{read:?}");
        for ((line, fields), (expect_line, expect)) in read.iter().zip(expect) {
            assert_eq!(*line, expect_line);
            let trimmed: Vec<&str> = fields.iter().map(|field| field.trim_end()).collect();
            let expect: Vec<&str> = expect.iter().map(|field| field.trim_end()).collect();
            assert_eq!(trimmed, expect);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let record = ["plain", "with, comma", "with \"quotes\"", "with\nline", ""];
        assert_eq!(fields(&write(&record)), [(1, record.map(str::to_owned).to_vec())]);
    }

    #[test]
    fn a_quote_left_open_ends_with_the_text() {
        assert_eq!(fields("a,\"b\nc"), [(1, vec!["a".to_owned(), "b\nc".to_owned()])]);
    }
}
