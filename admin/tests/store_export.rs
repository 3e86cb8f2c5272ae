//! What is whole of a damaged log, saved into a new one.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use patchgate_admin::store::file::{Exported, FileError, FileStore, Options, export, scan};
use patchgate_admin::store::{Append, EventStore, Record};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Small, so that a log has many segments.
const OPTIONS: Options = Options { segment_bytes: 1_000, queue: 8 };

/// A log of 30 batches of one to three records, 60 in all.
fn log(runtime: &Runtime) -> (TempDir, Vec<Record>) {
    let data = TempDir::new().unwrap();
    let store = FileStore::open(data.path(), OPTIONS).unwrap().store;
    for number in 0..30 {
        let batch = (0..=number % 3).map(|record| Bytes::from(format!("batch {number}, record {record}"))).collect();
        let append = store.append(store.head().sequence, batch);
        assert!(matches!(runtime.block_on(append), Append::Committed(_)));
    }
    let records = runtime.block_on(store.read(1, usize::MAX)).unwrap();
    (data, records)
}

/// The log opens, and is these records.
#[track_caller]
fn is(runtime: &Runtime, data: &Path, records: &[Record]) {
    let opened = FileStore::open(data, OPTIONS).unwrap();
    assert_eq!(opened.torn, None);
    assert_eq!(runtime.block_on(opened.store.read(1, usize::MAX)).unwrap(), records);
    let next = opened.store.append(records.len() as u64, vec![Bytes::from_static(b"next")]);
    assert!(matches!(runtime.block_on(next), Append::Committed(_)));
}

#[test]
fn a_log_in_use_is_exported_with_the_same_hashes() {
    let runtime = Runtime::new().unwrap();
    let (data, records) = log(&runtime);
    let to = TempDir::new().unwrap();
    let in_use = FileStore::open(data.path(), OPTIONS).unwrap();
    let Exported { head, damage } = export(data.path(), to.path(), None).unwrap();
    assert_eq!((head, damage.is_none()), (in_use.store.head(), true));
    is(&runtime, to.path(), &records);
}

#[test]
fn an_export_ends_with_the_last_batch_that_is_whole_by_then() {
    let runtime = Runtime::new().unwrap();
    let (data, records) = log(&runtime);
    // Batches end with records 1, 3, 6, 7, 9, 12, …
    for (until, whole) in [(0, 0), (1, 1), (2, 1), (3, 3), (5, 3), (6, 6), (7, 7), (59, 57), (60, 60), (61, 60)] {
        let to = TempDir::new().unwrap();
        let exported = export(data.path(), to.path(), Some(until)).unwrap();
        assert_eq!((exported.head.sequence, exported.damage.is_none()), (whole, true));
        is(&runtime, to.path(), &records[..usize::try_from(whole).unwrap()]);
    }
}

#[test]
fn what_is_whole_of_a_damaged_log_is_saved() {
    let runtime = Runtime::new().unwrap();
    let (data, records) = log(&runtime);
    let mut segments: Vec<_> =
        fs::read_dir(data.path().join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let rotten = &segments[2];
    let mut bytes = fs::read(rotten).unwrap();
    let place = bytes.len() - 1;
    bytes[place] ^= 1;
    fs::write(rotten, bytes).unwrap();

    let Err(FileError::Damaged(damage)) = FileStore::open(data.path(), OPTIONS) else { panic!("it opened") };
    let whole = usize::try_from(damage.lost - 1).unwrap();
    let seen: Vec<_> = scan(data.path()).unwrap().map_while(Result::ok).collect();
    assert_eq!(seen, records[..whole]);

    let to = TempDir::new().unwrap();
    let exported = export(data.path(), to.path(), None).unwrap();
    assert_eq!(exported.damage.unwrap().to_string(), damage.to_string());
    is(&runtime, to.path(), &records[..whole]);

    // As the error says: up to the record before the first that is lost.
    let to = TempDir::new().unwrap();
    assert!(damage.to_string().contains(&format!("`patchgate log export --until {whole}`")), "{damage}");
    let exported = export(data.path(), to.path(), Some(damage.lost - 1)).unwrap();
    assert_eq!(exported.head.sequence, damage.lost - 1);
    is(&runtime, to.path(), &records[..whole]);
}

#[test]
fn an_export_never_goes_into_a_log_that_is_there() {
    let runtime = Runtime::new().unwrap();
    let (data, records) = log(&runtime);
    let (other, others) = log(&runtime);
    let error = export(data.path(), other.path(), None).unwrap_err();
    assert!(matches!(&error, FileError::Occupied { dir } if dir == other.path()), "{error}");
    let error = export(data.path(), data.path(), None).unwrap_err();
    assert!(matches!(error, FileError::Occupied { .. }), "{error}");
    let in_use = FileStore::open(other.path(), OPTIONS).unwrap();
    let error = export(data.path(), other.path(), None).unwrap_err();
    assert!(matches!(error, FileError::Locked { .. }), "{error}");
    drop(in_use);
    is(&runtime, other.path(), &others);
    is(&runtime, data.path(), &records);
}

#[test]
fn where_no_log_is_nothing_is_read_and_nothing_made() {
    let (data, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    assert!(matches!(scan(data.path()), Err(FileError::Store(_))));
    assert!(matches!(export(data.path(), to.path(), None), Err(FileError::Store(_))));
    for dir in [&data, &to] {
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
