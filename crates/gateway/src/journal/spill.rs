//! The spill file: call records as JSON lines, for when storage takes none.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use trunkline_model::CallRecord;

/// Appends records and waits until they are on disk.
pub(super) fn append(path: &Path, records: &[CallRecord]) -> io::Result<()> {
    let mut lines = Vec::with_capacity(records.len() * 512);
    for record in records {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(&lines)?;
    file.sync_data()
}

/// Moves the file aside and returns its records; nothing when there is none. Call [`forget`] once they are kept.
///
/// A file that an earlier try moved aside and did not forget is read too.
pub(super) fn take(path: &Path) -> io::Result<Vec<CallRecord>> {
    let mut records = Vec::new();
    let aside = aside(path);
    if aside.exists() {
        read(&aside, &mut records)?;
        // Both are then one file to forget.
        if path.exists() {
            let mut newer = Vec::new();
            read(path, &mut newer)?;
            append(&aside, &newer)?;
            std::fs::remove_file(path)?;
            records.append(&mut newer);
        }
    } else if path.exists() {
        std::fs::rename(path, &aside)?;
        read(&aside, &mut records)?;
    }
    Ok(records)
}

/// Removes what [`take`] has read.
pub(super) fn forget(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(aside(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("taken.jsonl")
}

fn read(path: &Path, records: &mut Vec<CallRecord>) -> io::Result<()> {
    for line in BufReader::new(File::open(path)?).lines() {
        match serde_json::from_str(&line?) {
            Ok(record) => records.push(record),
            // The last line of a process that was killed while it wrote.
            Err(error) => {
                tracing::error!(%error, file = %path.display(), "a line of the spill file is not a record")
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use trunkline_model::{CallId, Cause, NodeId, Party, Q850, Stage};

    fn record(serial: u64) -> CallRecord {
        CallRecord {
            call: CallId { node: NodeId(1), serial },
            from: "+14255550100".to_owned(),
            to: "+14255550101".to_owned(),
            trunk_in: None,
            trunk_out: None,
            attempts: 0,
            started_unix_ms: 1,
            rang_after: None,
            answered_after: Some(Duration::from_millis(1500)),
            ended_after: Duration::from_secs(3),
            cause: Cause {
                sip: 200,
                q850: Q850::NORMAL_CLEARING,
                ended_by: Party::Caller,
                stage: Stage::Answered,
                trunk: None,
                detail: "line\nend".to_owned(),
            },
            caller_media: None,
            callee_media: None,
        }
    }

    #[test]
    fn what_was_spilled_comes_back_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/calls.spill.jsonl");
        assert_eq!(take(&path).unwrap(), []);
        append(&path, &[record(1), record(2)]).unwrap();
        assert_eq!(take(&path).unwrap(), [record(1), record(2)]);
        append(&path, &[record(3)]).unwrap();
        assert_eq!(take(&path).unwrap(), [record(1), record(2), record(3)], "nothing was forgotten yet");
        forget(&path).unwrap();
        assert_eq!(take(&path).unwrap(), []);
    }

    #[test]
    fn a_torn_last_line_costs_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.spill.jsonl");
        append(&path, &[record(1)]).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"call\":\"00").unwrap();
        assert_eq!(take(&path).unwrap(), [record(1)]);
    }
}
