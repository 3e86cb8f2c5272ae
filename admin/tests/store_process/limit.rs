//! A real file that may not grow: the system's short write and its error, and that the log heals.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use patchgate_admin::store::file::{FileStore, Options};
use patchgate_admin::store::{Append, EventStore, StoreError};
use rlimit::Resource;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::child::{Child, child_of};

/// Bytes that a file may have while the log cannot grow.
const LIMIT: u64 = 4_096;

fn batch(expected: u64) -> Vec<Bytes> {
    (1..=2).map(|next| Bytes::from(format!("record {}: {}", expected + next, "x".repeat(300)))).collect()
}

/// In a process of its own, since the limit is the process's.
async fn run_into_the_limit(data: &Path) {
    let store = FileStore::open(data, Options::default()).unwrap().store;
    let file = data.join("log/00000000000000000001.log");
    let hard = Resource::FSIZE.get_hard().unwrap();
    Resource::FSIZE.set(LIMIT, hard).unwrap();
    let mut expected = 0;
    let error = loop {
        match store.append(expected, batch(expected)).await {
            Append::Committed(head) => expected = head.sequence,
            Append::Refused(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(&error, StoreError::Io { source, .. } if source.kind() == ErrorKind::FileTooLarge), "{error}");
    let full = std::fs::metadata(&file).unwrap().len();
    // A frame or more of the batch would have fitted: it was written in part, and cut.
    assert!(full < LIMIT && LIMIT - full > 48 + 300, "{full} bytes");
    assert!(matches!(store.append(expected, batch(expected)).await, Append::Refused(_)));
    assert_eq!((store.head().sequence, std::fs::metadata(&file).unwrap().len()), (expected, full));

    Resource::FSIZE.set(hard, hard).unwrap();
    for _ in 0..2 {
        let Append::Committed(head) = store.append(expected, batch(expected)).await else { panic!("it did not heal") };
        expected = head.sequence;
    }
    println!("healed at {expected}");
}

#[test]
fn a_file_that_may_not_grow_refuses_and_heals_without_a_restart() {
    const TEST: &str = "limit::a_file_that_may_not_grow_refuses_and_heals_without_a_restart";
    let runtime = Runtime::new().unwrap();
    if let Some(data) = child_of(TEST) {
        return runtime.block_on(run_into_the_limit(&data));
    }
    let data = TempDir::new().unwrap();
    // The signal that comes with the error would end the process; one that is ignored stays so in what is executed.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    let mut child = Child::run(shell, TEST, data.path());
    let healed = child.said("healed at ").expect("the child says how it ended");
    assert!(child.ended_well());

    let opened = FileStore::open(data.path(), Options::default()).unwrap();
    assert_eq!(opened.torn, None);
    let records = runtime.block_on(opened.store.read(1, usize::MAX)).unwrap();
    assert_eq!(records.len().to_string(), healed);
    for record in records.chunks(2) {
        let payloads: Vec<_> = record.iter().map(|record| record.payload.clone()).collect();
        assert_eq!(payloads, batch(record[0].sequence - 1));
    }
}
