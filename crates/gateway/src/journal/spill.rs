//! The spill file: call records as JSON lines, for when storage takes none.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use trunkline_model::CallRecord;

/// Longest line that is read; a record is a kilobyte at most.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Appends records and waits until they are on disk. When that fails, the file is as it was, as far as the disk lets it.
pub(super) fn append(path: &Path, records: &[CallRecord]) -> io::Result<()> {
    let mut lines = Vec::with_capacity(records.len() * 512);
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    if length > 0 && !ends_with_line_end(&mut file)? {
        // What an earlier try could not finish is a line of its own.
        lines.push(b'\n');
    }
    for record in records {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    let written = file.write_all(&lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // A part of a record is worth nothing. Should this fail too, the next try begins a new line.
        let _ = file.set_len(length);
    }
    written
}

fn ends_with_line_end(file: &mut File) -> io::Result<bool> {
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Whether there are records that were spilled and not forgotten.
pub(super) fn exists(path: &Path) -> bool {
    path.exists() || aside(path).exists()
}

/// A spill file that was moved aside, read from its beginning. New records go to a new file meanwhile.
#[derive(Debug)]
pub(super) struct Spilled {
    lines: BufReader<File>,
    path: PathBuf,
}

impl Spilled {
    /// Returns the spilled records; none when there are none. What an earlier process moved aside and did not forget
    /// comes first.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let aside = aside(path);
        if !aside.exists() {
            if !path.exists() {
                return Ok(None);
            }
            std::fs::rename(path, &aside)?;
        }
        Ok(Some(Self { lines: BufReader::new(File::open(&aside)?), path: aside }))
    }

    /// Returns the next records, at most so many; none at the end.
    pub(super) fn next_batch(&mut self, max: usize) -> io::Result<Vec<CallRecord>> {
        let mut records = Vec::new();
        let mut line = Vec::new();
        while records.len() < max {
            line.clear();
            if self.lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            match serde_json::from_slice(&line) {
                Ok(record) => records.push(record),
                // The end of what a process was writing when it was killed, or when the disk was full.
                Err(error) => {
                    let file = self.path.display();
                    tracing::error!(%error, %file, "a line of the spill file is not a record");
                }
            }
        }
        Ok(records)
    }

    /// Removes the file, once everything in it is stored.
    pub(super) fn forget(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("taken.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::record;

    /// Reads everything, and leaves it where it is.
    fn all(path: &Path) -> Vec<CallRecord> {
        let Some(mut spilled) = Spilled::open(path).unwrap() else { return Vec::new() };
        let mut records = Vec::new();
        loop {
            let batch = spilled.next_batch(2).unwrap();
            if batch.is_empty() {
                return records;
            }
            assert!(batch.len() <= 2);
            records.extend(batch);
        }
    }

    #[test]
    fn what_was_spilled_comes_back_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/calls.spill.jsonl");
        assert_eq!(all(&path), []);
        append(&path, &[record(1), record(2), record(3)]).unwrap();
        assert_eq!(all(&path), [record(1), record(2), record(3)]);
        append(&path, &[record(4)]).unwrap();
        assert_eq!(all(&path), [record(1), record(2), record(3)], "nothing was forgotten yet");
        Spilled::open(&path).unwrap().unwrap().forget().unwrap();
        assert_eq!(all(&path), [record(4)]);
        Spilled::open(&path).unwrap().unwrap().forget().unwrap();
        assert!(!exists(&path));
    }

    #[test]
    fn a_torn_line_costs_only_itself_wherever_it_stands() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.spill.jsonl");
        let tear = |bytes: &[u8]| {
            OpenOptions::new().append(true).create(true).open(&path).unwrap().write_all(bytes).unwrap();
        };
        tear(b"{\"call\":\"00\xff\xc3");
        append(&path, &[record(1)]).unwrap();
        tear(b"{\"call\":\"00\xc3");
        append(&path, &[record(2)]).unwrap();
        tear(b"{");
        assert_eq!(all(&path), [record(1), record(2)]);
    }
}
