//! What every store promises, as tests: [`conformance!`](crate::conformance) makes them for a store.
//!
//! They speak to the store through its interface alone, so what passes here can stand in for any other.

#![allow(missing_docs, reason = "the name of each test is what it tests")]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Append, ChainHash, EventStore, Head, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_RECORD_BYTES, Record, Sequence,
    StoreError,
};

/// Makes the stores of one test, which share one log.
#[async_trait]
pub trait Factory: Send + Sync {
    /// Opens the log, which is empty at first and later has what was appended. The store opened before is gone by then.
    async fn open(&self) -> Arc<dyn EventStore>;
}

/// Makes a test of every promise. The expression gives a new [`Factory`]; the tests need tokio's `macros` and
/// `rt-multi-thread`.
#[macro_export]
macro_rules! conformance {
    ($factory:expr) => {
        $crate::conformance! { $factory;
            an_empty_log_has_no_records
            what_is_appended_can_be_read
            a_batch_is_appended_as_one
            a_batch_that_conflicts_is_not_stored_in_part
            an_empty_batch_asks_whether_the_head_is_the_expected_one
            a_conflict_tells_the_head_and_its_record
            reads_keep_to_their_boundaries
            a_record_as_large_as_allowed_is_stored
            a_record_over_the_limit_is_refused_with_all_of_its_batch
            a_batch_over_the_limit_is_refused
            a_payload_may_be_empty
            the_chain_can_be_recomputed_from_the_payloads
            one_of_many_wins_an_expected_sequence
            contenders_who_try_again_all_get_in
            appends_that_build_upon_each_other_are_taken_in_order
            heads_are_told
            a_log_that_is_opened_again_goes_on
        }
    };
    ($factory:expr; $($test:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                $crate::store::conformance::$test(&$factory).await;
            }
        )+
    };
}

/// A payload that tells which it is.
fn payload(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

#[track_caller]
fn committed(append: Append) -> Head {
    match append {
        Append::Committed(head) => head,
        other => panic!("not committed but {other:?}"),
    }
}

#[track_caller]
fn conflict(append: Append) -> (Head, Option<Record>) {
    match append {
        Append::Conflict { actual, newest } => (actual, newest),
        other => panic!("no conflict but {other:?}"),
    }
}

async fn read(store: &dyn EventStore, from: Sequence, limit: usize) -> Vec<Record> {
    store.read(from, limit).await.expect("the store can be read")
}

async fn sequences(store: &dyn EventStore, from: Sequence, limit: usize) -> Vec<Sequence> {
    read(store, from, limit).await.iter().map(|record| record.sequence).collect()
}

/// Appends records `1..=count`, each alone.
async fn fill(store: &dyn EventStore, count: u64) {
    for expected in 0..count {
        committed(store.append(expected, vec![payload(format!("record {}", expected + 1))]).await);
    }
}

/// All records, after a look at whether they are chained and end with the head.
async fn chained(store: &dyn EventStore) -> Vec<Record> {
    let records = read(store, 1, usize::MAX).await;
    let mut head = Head::EMPTY;
    for record in &records {
        head = head.next(&record.payload);
        assert_eq!((record.sequence, record.hash), (head.sequence, head.hash));
    }
    assert_eq!(store.head(), head);
    records
}

pub async fn an_empty_log_has_no_records(factory: &dyn Factory) {
    let store = factory.open().await;
    assert_eq!(store.head(), Head { sequence: 0, hash: ChainHash::ZERO });
    assert_eq!(read(&*store, 0, 10).await, []);
    assert_eq!(read(&*store, 1, 10).await, []);
    let (actual, newest) = conflict(store.append(1, vec![payload("too early")]).await);
    assert_eq!((actual, newest), (Head::EMPTY, None));
}

pub async fn what_is_appended_can_be_read(factory: &dyn Factory) {
    let store = factory.open().await;
    let head = committed(store.append(0, vec![payload("first")]).await);
    assert_eq!((head.sequence, head), (1, store.head()));
    assert_eq!(read(&*store, 1, 10).await, [Record { sequence: 1, hash: head.hash, payload: payload("first") }]);
}

pub async fn a_batch_is_appended_as_one(factory: &dyn Factory) {
    let store = factory.open().await;
    let head = committed(store.append(0, vec![payload("a"), payload("b"), payload("c")]).await);
    assert_eq!((head.sequence, head), (3, store.head()));
    let payloads: Vec<_> = chained(&*store).await.into_iter().map(|record| record.payload).collect();
    assert_eq!(payloads, [payload("a"), payload("b"), payload("c")]);
}

pub async fn a_batch_that_conflicts_is_not_stored_in_part(factory: &dyn Factory) {
    let store = factory.open().await;
    fill(&*store, 2).await;
    for expected in [0, 1, 3, Sequence::MAX] {
        conflict(store.append(expected, vec![payload("x"), payload("y")]).await);
    }
    assert_eq!(chained(&*store).await.len(), 2);
}

pub async fn an_empty_batch_asks_whether_the_head_is_the_expected_one(factory: &dyn Factory) {
    let store = factory.open().await;
    assert_eq!(committed(store.append(0, vec![]).await), Head::EMPTY);
    fill(&*store, 2).await;
    assert_eq!(committed(store.append(2, vec![]).await), store.head());
    assert_eq!(conflict(store.append(1, vec![]).await).0, store.head());
    assert_eq!(chained(&*store).await.len(), 2);
}

pub async fn a_conflict_tells_the_head_and_its_record(factory: &dyn Factory) {
    let store = factory.open().await;
    committed(store.append(0, vec![payload("a"), payload("b")]).await);
    let (actual, newest) = conflict(store.append(0, vec![payload("late")]).await);
    assert_eq!(actual, store.head());
    assert_eq!(newest, Some(Record { sequence: 2, hash: actual.hash, payload: payload("b") }));
}

pub async fn reads_keep_to_their_boundaries(factory: &dyn Factory) {
    let store = factory.open().await;
    fill(&*store, 5).await;
    for from in 0..=7 {
        for limit in [0, 1, 2, 4, 5, 6, usize::MAX] {
            let all = (from.max(1)..=5).take(limit).collect::<Vec<_>>();
            assert_eq!(sequences(&*store, from, limit).await, all, "from {from}, limit {limit}");
        }
    }
    assert_eq!(sequences(&*store, Sequence::MAX, usize::MAX).await, Vec::<Sequence>::new());
}

pub async fn a_record_as_large_as_allowed_is_stored(factory: &dyn Factory) {
    let store = factory.open().await;
    let large = Bytes::from(vec![7; MAX_RECORD_BYTES]);
    committed(store.append(0, vec![large.clone(), payload("after"), large.clone()]).await);
    let records = chained(&*store).await;
    assert!(records[0].payload == large && records[1].payload == "after" && records[2].payload == large);
}

pub async fn a_record_over_the_limit_is_refused_with_all_of_its_batch(factory: &dyn Factory) {
    let store = factory.open().await;
    fill(&*store, 1).await;
    let large = Bytes::from(vec![7; MAX_RECORD_BYTES + 1]);
    match store.append(1, vec![payload("small"), large]).await {
        Append::Refused(StoreError::TooLarge { bytes, limit }) => assert_eq!(bytes, limit + 1),
        other => panic!("not refused but {other:?}"),
    }
    assert_eq!(chained(&*store).await.len(), 1);
    committed(store.append(1, vec![payload("next")]).await);
}

pub async fn a_batch_over_the_limit_is_refused(factory: &dyn Factory) {
    let store = factory.open().await;
    let large = Bytes::from(vec![7; MAX_RECORD_BYTES]);
    let too_much = vec![large; MAX_BATCH_BYTES / MAX_RECORD_BYTES + 1];
    let too_many = vec![payload("x"); MAX_BATCH_RECORDS + 1];
    for batch in [too_much, too_many] {
        match store.append(0, batch).await {
            Append::Refused(StoreError::BatchTooLarge { .. }) => {}
            other => panic!("not refused but {other:?}"),
        }
    }
    let head = committed(store.append(0, vec![payload("x"); MAX_BATCH_RECORDS]).await);
    assert_eq!(chained(&*store).await.len() as u64, head.sequence);
}

pub async fn a_payload_may_be_empty(factory: &dyn Factory) {
    let store = factory.open().await;
    committed(store.append(0, vec![Bytes::new(), payload("x"), Bytes::new()]).await);
    committed(store.append(3, vec![Bytes::new()]).await);
    assert_eq!(chained(&*store).await.len(), 4);
}

pub async fn the_chain_can_be_recomputed_from_the_payloads(factory: &dyn Factory) {
    let store = factory.open().await;
    committed(store.append(0, vec![payload("a"), payload("b")]).await);
    committed(store.append(2, vec![payload("c")]).await);
    let mut hash = [0; 32];
    for record in chained(&*store).await {
        hash = *blake3::hash(&[&hash[..], &record.payload[..]].concat()).as_bytes();
        assert_eq!(record.hash.as_bytes(), &hash);
    }
}

pub async fn one_of_many_wins_an_expected_sequence(factory: &dyn Factory) {
    let store = factory.open().await;
    fill(&*store, 1).await;
    let contenders = (0..16).map(|contender| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { (contender, store.append(1, vec![payload(format!("by {contender}"))]).await) })
    });
    let (mut winners, mut lost) = (Vec::new(), Vec::new());
    for contender in contenders.collect::<Vec<_>>() {
        match contender.await.expect("an append does not panic") {
            (contender, Append::Committed(head)) => winners.push((contender, head)),
            (_, Append::Conflict { actual, newest }) => lost.push((actual, newest)),
            (contender, other) => panic!("{contender}: neither committed nor a conflict but {other:?}"),
        }
    }
    let [(winner, head)] = winners[..] else { panic!("{} won", winners.len()) };
    let newest = Record { sequence: 2, hash: head.hash, payload: payload(format!("by {winner}")) };
    assert_eq!(lost, vec![(head, Some(newest.clone())); 15]);
    assert_eq!(chained(&*store).await.last(), Some(&newest));
}

pub async fn contenders_who_try_again_all_get_in(factory: &dyn Factory) {
    const CONTENDERS: usize = 8;
    const EACH: usize = 5;
    let store = factory.open().await;
    let contenders = (0..CONTENDERS).map(|contender| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut expected = store.head().sequence;
            for number in 0..EACH {
                let batch =
                    || vec![payload(format!("{contender} {number} a")), payload(format!("{contender} {number} b"))];
                while let Append::Conflict { actual, .. } = store.append(expected, batch()).await {
                    assert_ne!(actual.sequence, expected);
                    expected = actual.sequence;
                }
                expected += 2;
            }
        })
    });
    for contender in contenders.collect::<Vec<_>>() {
        contender.await.expect("a contender gets in");
    }
    let records = chained(&*store).await;
    assert_eq!(records.len(), CONTENDERS * EACH * 2);
    for contender in 0..CONTENDERS {
        let own = format!("{contender} ");
        let own: Vec<_> = records.iter().filter(|record| record.payload.starts_with(own.as_bytes())).collect();
        let numbers = (0..EACH).flat_map(|number| ["a", "b"].map(|half| format!("{contender} {number} {half}")));
        assert!(own.iter().map(|record| &record.payload[..]).eq(numbers.map(String::into_bytes)));
        assert!(own.chunks(2).all(|batch| batch[0].sequence + 1 == batch[1].sequence), "a batch was divided");
    }
}

pub async fn appends_that_build_upon_each_other_are_taken_in_order(factory: &dyn Factory) {
    let store = factory.open().await;
    let (first, second, third) = tokio::join!(
        store.append(0, vec![payload("1"), payload("2")]),
        store.append(2, vec![payload("3")]),
        store.append(3, vec![payload("4")]),
    );
    assert_eq!([first, second, third].map(|append| committed(append).sequence), [2, 3, 4]);
    assert_eq!(chained(&*store).await.len(), 4);
}

pub async fn heads_are_told(factory: &dyn Factory) {
    let store = factory.open().await;
    let mut heads = store.watch();
    assert_eq!(*heads.borrow_and_update(), Head::EMPTY);
    let head = committed(store.append(0, vec![payload("x")]).await);
    heads.changed().await.expect("the store is open");
    assert_eq!(*heads.borrow_and_update(), head);
    conflict(store.append(0, vec![payload("y")]).await);
    assert!(!heads.has_changed().expect("the store is open"));
}

pub async fn a_log_that_is_opened_again_goes_on(factory: &dyn Factory) {
    let mut expected = 0;
    let mut before = Vec::new();
    for opened in 0..4 {
        let store = factory.open().await;
        assert_eq!(chained(&*store).await, before);
        let (actual, newest) = conflict(store.append(Sequence::MAX, vec![]).await);
        assert_eq!((actual.sequence, newest.as_ref()), (expected, before.last()));
        let batch = (0..=opened).map(|number| payload(format!("{opened} {number}"))).collect();
        expected = committed(store.append(expected, batch).await).sequence;
        before = chained(&*store).await;
        assert_eq!(before.len() as u64, expected);
    }
}
