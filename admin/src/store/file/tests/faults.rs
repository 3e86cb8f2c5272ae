//! A disk that says no while the log is open: what is answered, what is on the disk, and how it heals.

use std::io::ErrorKind;

use tokio::sync::{mpsc, oneshot};

use super::sim::Fault;
use super::*;
use crate::store::file::disk::Disk;
use crate::store::file::recover;
use crate::store::file::writer::{Request, Writer};

fn text(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

/// A log with one record.
fn begun(segment_bytes: u64) -> (Runtime, SimDisk, FileStore) {
    let (runtime, disk) = (runtime(), SimDisk::default());
    let store = open(&disk, segment_bytes).unwrap().store;
    commit(&runtime, &store, &text("one"));
    (runtime, disk, store)
}

#[track_caller]
fn kind(error: &StoreError) -> ErrorKind {
    match error {
        StoreError::Io { source, .. } => source.kind(),
        other => panic!("not of the operating system: {other}"),
    }
}

#[track_caller]
fn refused(append: Append) -> ErrorKind {
    match append {
        Append::Refused(error) => kind(&error),
        other => panic!("not refused but {other:?}"),
    }
}

#[track_caller]
fn unknown(append: Append) -> ErrorKind {
    match append {
        Append::Unknown(error) => kind(&error),
        other => panic!("not unknown but {other:?}"),
    }
}

/// The log has these records now, and after it was opened again.
#[track_caller]
fn has(runtime: &Runtime, disk: &SimDisk, store: FileStore, all: &[&str]) {
    assert_eq!(payloads(runtime, &store), all);
    drop(store);
    let opened = open(disk, 1 << 20).unwrap();
    assert_eq!(
        (payloads(runtime, &opened.store), opened.torn),
        (all.iter().map(|text| Bytes::from(text.to_string())).collect(), None)
    );
}

#[test]
fn a_full_disk_refuses_and_once_there_is_space_it_goes_on() {
    let (runtime, disk, store) = begun(1 << 20);
    let before = disk.contents();
    let full = before[&segment_file(1)].len();
    // From no byte at all to all but one of a frame of 53 bytes, and of one in a batch.
    for space in 0..53 {
        disk.limit(Some(full + space));
        assert_eq!(refused(append(&runtime, &store, 1, &text("three"))), ErrorKind::StorageFull);
        let batch = [text(""), text("three")].concat();
        assert_eq!(refused(append(&runtime, &store, 1, &batch)), ErrorKind::StorageFull);
        assert_eq!(disk.contents(), before, "with space for {space} bytes");
        assert_eq!(store.head().sequence, 1);
    }
    disk.limit(Some(full + 51));
    commit(&runtime, &store, &text("two"));
    disk.limit(None);
    commit(&runtime, &store, &text("three"));
    has(&runtime, &disk, store, &["one", "two", "three"]);
}

#[test]
fn what_was_refused_does_not_come_back_after_a_power_cut() {
    for seed in 0..64 {
        let (runtime, disk, store) = begun(1 << 20);
        disk.at(0, Fault::Fails(ErrorKind::StorageFull, 60));
        let batch = [text("two"), text("three")].concat();
        refused(append(&runtime, &store, 1, &batch));
        drop(store);
        disk.power_cut(&mut fastrand::Rng::with_seed(seed));
        let opened = open(&disk, 1 << 20).unwrap();
        assert_eq!((payloads(&runtime, &opened.store), opened.torn), (vec![Bytes::from("one")], None));
    }
}

#[test]
fn a_failed_sync_is_unknown_and_the_next_append_is_taken_in_its_place() {
    let (runtime, disk, store) = begun(1 << 20);
    let mut heads = store.watch();
    heads.mark_unchanged();
    disk.at(1, Fault::Fails(ErrorKind::Other, 0));
    assert_eq!(unknown(append(&runtime, &store, 1, &text("lost"))), ErrorKind::Other);
    assert!(!heads.has_changed().unwrap());
    assert_eq!(payloads(&runtime, &store), ["one"]);
    commit(&runtime, &store, &text("two"));
    has(&runtime, &disk, store, &["one", "two"]);
}

#[test]
fn nothing_is_acknowledged_upon_bytes_in_doubt() {
    let (runtime, disk, store) = begun(1 << 20);
    // The sync, and the cut that is tried at once.
    disk.at(1, Fault::Fails(ErrorKind::Other, 0));
    disk.at(2, Fault::Fails(ErrorKind::PermissionDenied, 0));
    unknown(append(&runtime, &store, 1, &text("in doubt")));
    // The next cut; then one that is done but not synced.
    disk.at(0, Fault::Fails(ErrorKind::PermissionDenied, 0));
    assert_eq!(refused(append(&runtime, &store, 1, &text("two"))), ErrorKind::PermissionDenied);
    disk.at(1, Fault::Fails(ErrorKind::TimedOut, 0));
    assert_eq!(refused(append(&runtime, &store, 1, &text("two"))), ErrorKind::TimedOut);
    // Who asks for less than a write is answered.
    assert_eq!(append_sequence(append(&runtime, &store, 1, &[])), 1);
    let steps = disk.steps().len();
    commit(&runtime, &store, &text("two"));
    assert_eq!(disk.steps()[steps..], ["cut", "sync data", "write", "sync data"]);
    has(&runtime, &disk, store, &["one", "two"]);
}

#[track_caller]
fn append_sequence(append: Append) -> Sequence {
    match append {
        Append::Committed(head) => head.sequence,
        other => panic!("not committed but {other:?}"),
    }
}

#[test]
fn a_write_that_fails_and_cannot_be_cut_is_unknown() {
    let (runtime, disk, store) = begun(1 << 20);
    disk.at(0, Fault::Fails(ErrorKind::StorageFull, 20));
    disk.at(1, Fault::Fails(ErrorKind::Other, 0));
    assert_eq!(unknown(append(&runtime, &store, 1, &text("lost"))), ErrorKind::StorageFull);
    commit(&runtime, &store, &text("two"));
    has(&runtime, &disk, store, &["one", "two"]);
}

#[test]
fn what_is_in_doubt_is_cut_when_the_store_is_closed() {
    let (runtime, disk, store) = begun(1 << 20);
    disk.at(1, Fault::Fails(ErrorKind::Other, 0));
    disk.at(2, Fault::Fails(ErrorKind::Other, 0));
    unknown(append(&runtime, &store, 1, &text("in doubt")));
    has(&runtime, &disk, store, &["one"]);
}

#[test]
fn a_segment_that_cannot_be_made_refuses_and_is_made_by_the_next_append() {
    let large = vec![Bytes::from(vec![b'x'; 200])];
    for (step, done) in [(0, 0), (1, 0), (1, 30), (1, 56), (2, 0), (3, 0)] {
        let (runtime, disk, store) = begun(300);
        assert_eq!(disk.get(&segment_file(1)).unwrap().len(), 107);
        disk.at(step, Fault::Fails(ErrorKind::StorageFull, done));
        assert_eq!(refused(append(&runtime, &store, 1, &large)), ErrorKind::StorageFull);
        // It fits into the first segment, but the second may be there.
        commit(&runtime, &store, &text("two"));
        assert_eq!(disk.get(&segment_file(1)).unwrap().len(), 107);
        has(&runtime, &disk, store, &["one", "two"]);
    }
}

#[test]
fn a_segment_that_could_not_be_made_is_no_obstacle_to_an_open() {
    let large = vec![Bytes::from(vec![b'x'; 200])];
    for (step, done) in [(0, 0), (1, 0), (1, 30), (1, 56), (2, 0), (3, 0)] {
        for seed in 0..16 {
            let (runtime, disk, store) = begun(300);
            disk.at(step, Fault::Fails(ErrorKind::StorageFull, done));
            refused(append(&runtime, &store, 1, &large));
            drop(store);
            if seed > 0 {
                disk.power_cut(&mut fastrand::Rng::with_seed(seed));
            }
            let store = open(&disk, 300).unwrap().store;
            commit(&runtime, &store, &text("two"));
            has(&runtime, &disk, store, &["one", "two"]);
        }
    }
}

#[test]
fn a_torn_end_that_cannot_be_kept_is_not_cut() {
    let disk = SimDisk::default();
    let mut log = by_hand(&ByHand::default(), 3);
    log.bytes.extend(b"torn");
    disk.put(&segment_file(1), &log.bytes);
    for step in 0..6 {
        let disk = disk.copy();
        // The directory's; then the copy's: created, written, synced, and its directory.
        disk.at(step, Fault::Fails(ErrorKind::StorageFull, 0));
        assert!(matches!(open(&disk, 1 << 20), Err(FileError::Store(StoreError::Io { .. }))));
        assert_eq!(disk.get(&segment_file(1)).unwrap(), log.bytes);
        disk.mend();
        assert_eq!(open(&disk, 1 << 20).unwrap().torn.unwrap().bytes, 4);
    }
    assert_eq!(disk.get(&segment_file(1)).unwrap(), log.bytes);
}

/// The writer of an open log, to be led by hand.
fn writer(disk: &SimDisk) -> Writer {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let recovered = recover::recover(&disk, data(), 64 << 20).unwrap();
    let heads = tokio::sync::watch::Sender::new(recovered.appender.head());
    let (appender, newest) = (recovered.appender, recovered.newest);
    Writer { appender, newest, index: Arc::default(), heads, lock: None }
}

/// Lets the writer find all of them waiting; gives the answers.
fn serve(writer: &mut Writer, appends: &[(Sequence, Vec<Bytes>)]) -> Vec<Append> {
    let (queue, mut requests) = mpsc::channel(appends.len());
    let answers = appends.iter().map(|(expected, payloads)| {
        let (answer, answered) = oneshot::channel();
        queue.try_send(Request { expected: *expected, payloads: payloads.clone(), answer }).unwrap();
        answered
    });
    let answers: Vec<_> = answers.collect();
    drop(queue);
    while let Ok(request) = requests.try_recv() {
        writer.serve(request, &mut requests);
    }
    answers.into_iter().map(|mut answered| answered.try_recv().unwrap()).collect()
}

#[test]
fn all_that_wait_are_synced_once() {
    let disk = SimDisk::default();
    let mut writer = writer(&disk);
    let steps = disk.steps().len();
    let appends: Vec<_> = (0..100).map(|expected| (expected, text("x"))).collect();
    let answers = serve(&mut writer, &appends);
    assert!((1..).zip(answers).all(|(sequence, answer)| append_sequence(answer) == sequence));
    assert_eq!(disk.steps()[steps..], ["write", "sync data"]);
}

#[test]
fn a_group_is_bounded() {
    let disk = SimDisk::default();
    let mut writer = writer(&disk);
    let steps = disk.steps().len();
    let large = vec![Bytes::from(vec![0; 1 << 20])];
    let appends: Vec<_> = (0..9).map(|expected| (expected, large.clone())).collect();
    assert_eq!(serve(&mut writer, &appends).len(), 9);
    assert_eq!(disk.steps()[steps..], ["write", "sync data"].repeat(3));
}

#[test]
fn a_group_is_judged_in_the_order_in_which_it_came() {
    let disk = SimDisk::default();
    let mut writer = writer(&disk);
    let appends = [(1, text("early")), (0, text("one")), (0, text("late")), (1, text("two")), (2, vec![]), (1, vec![])];
    let [early, one, late, two, asks, asks_late] = serve(&mut writer, &appends).try_into().unwrap();
    assert!(matches!(early, Append::Conflict { actual: Head::EMPTY, newest: None }));
    assert_eq!(append_sequence(one), 1);
    let Append::Conflict { actual, newest: Some(newest) } = late else { panic!("{late:?}") };
    assert_eq!((actual.sequence, newest.payload), (1, Bytes::from("one")));
    assert_eq!((append_sequence(two), append_sequence(asks)), (2, 2));
    assert!(matches!(asks_late, Append::Conflict { actual: Head { sequence: 2, .. }, .. }));
}

#[test]
fn if_a_group_fails_nobody_hears_of_its_head() {
    let disk = SimDisk::default();
    let mut writer = writer(&disk);
    assert_eq!(serve(&mut writer, &[(0, text("zero"))]).len(), 1);
    let appends =
        [(1, text("one")), (1, text("lost to it")), (2, text("two")), (0, text("late")), (3, vec![]), (1, vec![])];
    for (step, written) in [(0, "refused"), (1, "unknown")] {
        disk.at(step, Fault::Fails(ErrorKind::Other, 3));
        let answers = serve(&mut writer, &appends);
        let told = answers.iter().map(|answer| match answer {
            Append::Refused(_) => "refused",
            Append::Unknown(_) => "unknown",
            Append::Conflict { actual: Head { sequence: 1, .. }, newest: Some(newest) } if newest.payload == "zero" => {
                "late"
            }
            Append::Committed(Head { sequence: 1, .. }) => "is the head",
            other => panic!("{other:?}"),
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told, [written, "refused", written, "late", "late", "is the head"]);
        assert_eq!(writer.heads.borrow().sequence, 1);
    }
    assert_eq!(
        serve(&mut writer, &appends).into_iter().filter(|answer| matches!(answer, Append::Committed(_))).count(),
        3
    );
}

#[test]
fn an_append_that_nobody_waits_for_is_stored_all_the_same() {
    let disk = SimDisk::default();
    let mut writer = writer(&disk);
    let (queue, mut requests) = mpsc::channel(1);
    let (answer, answered) = oneshot::channel();
    drop(answered);
    queue.try_send(Request { expected: 0, payloads: text("one"), answer }).unwrap();
    let request = requests.try_recv().unwrap();
    writer.serve(request, &mut requests);
    assert_eq!(writer.heads.borrow().sequence, 1);
}
