//! A process killed in the middle of its appends, again and again: what it acknowledged is there.

use std::path::Path;

use bytes::Bytes;
use patchgate_admin::store::file::{FileStore, Options};
use patchgate_admin::store::{Append, EventStore, Head, Sequence};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::child::{Child, child_of};

const APPENDS: u64 = 1_000;

/// Logs, and how often the process that appends to one is killed.
const LOGS: u64 = 10;
const KILLS: u64 = 3;

/// Small enough that segments are begun all the time.
const OPTIONS: Options = Options { segment_bytes: 4_096, queue: 8 };

fn payload(sequence: Sequence) -> Bytes {
    Bytes::from(format!("record {sequence}: {}", "x".repeat(usize::try_from(sequence % 200).unwrap())))
}

/// Appends by threes, four appends under way at a time, and says of each when it is acknowledged.
async fn append_all(data: &Path) {
    let store = FileStore::open(data, OPTIONS).unwrap().store;
    let batch = |expected: Sequence| (1..=3).map(|next| payload(expected + next)).collect();
    let mut expected = store.head().sequence;
    for _ in 0..APPENDS / 4 {
        let append = |expected: Sequence| {
            let append = store.append(expected, batch(expected));
            async move {
                match append.await {
                    Append::Committed(head) => println!("acknowledged {}", head.sequence),
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::join!(append(expected), append(expected + 3), append(expected + 6), append(expected + 9));
        expected += 12;
    }
}

/// Opens the log and compares all of it with what was appended.
async fn look(data: &Path) -> Sequence {
    let opened = FileStore::open(data, OPTIONS).unwrap();
    let records = opened.store.read(1, usize::MAX).await.unwrap();
    let mut head = Head::EMPTY;
    for record in &records {
        assert_eq!(record.payload, payload(record.sequence));
        head = head.next(&record.payload);
        assert_eq!((record.sequence, record.hash), (head.sequence, head.hash));
    }
    assert_eq!(opened.store.head(), head);
    head.sequence
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    const TEST: &str = "kill::nothing_acknowledged_is_lost_when_the_process_is_killed";
    let runtime = Runtime::new().unwrap();
    if let Some(data) = child_of(TEST) {
        return runtime.block_on(append_all(&data));
    }
    for log in 0..LOGS {
        let data = TempDir::new().unwrap();
        for kill in 0..KILLS {
            // Never as many as it appends, so it is killed at work.
            let acknowledgements = 1 + (log * KILLS + kill) * 271 % (APPENDS - 100);
            let acknowledged = append_and_kill(TEST, data.path(), acknowledgements);
            let head = runtime.block_on(look(data.path()));
            assert!(head >= acknowledged, "{acknowledged} was acknowledged, the log ends with {head}");
            assert!(head.is_multiple_of(3), "a batch is there in part: the log ends with {head}");
        }
    }
}

/// Kills the process that appends after so many acknowledgements; the last record that it acknowledged.
fn append_and_kill(test: &str, data: &Path, acknowledgements: u64) -> Sequence {
    let mut child = Child::start(test, data);
    let mut last = 0;
    let mut hear = |child: &mut Child| {
        let sequence = child.said("acknowledged ").map(|sequence| sequence.parse().unwrap());
        last = last.max(sequence.unwrap_or_default());
        sequence.is_some()
    };
    for _ in 0..acknowledgements {
        assert!(hear(&mut child), "the process ended by itself");
    }
    child.kill();
    // What it said before it was gone.
    while hear(&mut child) {}
    last
}
