//! Records keep what was put in, and no reader sees half of one.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use patchgate_config::snapshot::{BackendId, RolloutId};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::rollout::{Decision, Reason, Track};

/// A record all of whose words follow from one number.
fn numbered(number: u64, epoch: Instant) -> Record {
    let word = |salt: u64| (number + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Record {
        trace_id: u128::from(word(1)) << 64 | u128::from(word(2)),
        revision: number,
        at: epoch + Duration::from_nanos(word(3) >> 1),
        decision: Some(Decision {
            track: Track::ALL[(word(4) % 3) as usize],
            backend: BackendId(word(5) as u32 >> 1),
            rollout: Some(RolloutId(word(6) as u32 >> 1)),
            reason: Reason::ALL[(word(7) % 11) as usize],
            assigned: word(8) & 1 == 1,
        }),
        served_by: Some(BackendId(word(9) as u32 >> 1)),
        status: Some(200 + (word(10) % 400) as u16),
        sampled: word(11) & 1 == 1,
    }
}

#[test]
fn a_reader_never_sees_a_torn_entry() {
    const READERS: usize = 3;
    const WRITES: u64 = 300_000;
    // Few entries, so that they are written over all the time.
    let ring = Arc::new(Ring::new(4));
    let (done, epoch) = (AtomicBool::new(false), ring.epoch);
    let whole: u64 = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (ring, done) = (Arc::clone(&ring), &done);
                scope.spawn(move || {
                    let mut seen = 0;
                    while !done.load(Ordering::SeqCst) {
                        for record in ring.records() {
                            assert_eq!(record, numbered(record.revision, epoch));
                            seen += 1;
                        }
                    }
                    seen
                })
            })
            .collect();
        let writer = Writer { ring: Arc::clone(&ring), next: Cell::new(0) };
        for number in 0..WRITES {
            writer.write(&numbered(number, epoch));
        }
        done.store(true, Ordering::SeqCst);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert!(whole > 0, "entries were read while they were written over");
    let last: Vec<u64> = ring.records().map(|record| record.revision).collect();
    assert_eq!(last, [WRITES - 4, WRITES - 3, WRITES - 2, WRITES - 1]);
}

#[test]
fn an_entry_that_is_being_written_is_not_there() {
    let entry = Entry::default();
    assert_eq!(entry.read(), None, "never written");
    entry.write([1; Record::WORDS]);
    assert_eq!(entry.read(), Some([1; Record::WORDS]));
    entry.version.store(3, Ordering::SeqCst);
    assert_eq!(entry.read(), None);
    entry.write([2; Record::WORDS]);
    assert_eq!((entry.read(), entry.version.load(Ordering::SeqCst)), (Some([2; Record::WORDS]), 4));
}

#[test]
fn a_trace_that_came_by_several_times_is_found_as_often_newest_first() {
    let recent = Recent::new(2);
    let (first, second) = (recent.writer(0), recent.writer(1));
    let epoch = Instant::now();
    let of =
        |trace_id, seconds| Record { trace_id, at: epoch + Duration::from_secs(seconds), ..numbered(seconds, epoch) };
    for (writer, trace_id, seconds) in [(&first, 7, 1), (&first, 8, 2), (&second, 7, 3), (&second, 9, 4)] {
        writer.write(&of(trace_id, seconds));
    }
    let found: Vec<u64> = recent.find(7).iter().map(|record| record.revision).collect();
    assert_eq!(found, [3, 1]);
    assert!(recent.find(1).is_empty());
}

#[test]
fn the_oldest_is_written_over() {
    let recent = Recent::new(1);
    let (writer, epoch) = (recent.writer(0), Instant::now());
    for number in 0..=ENTRIES as u64 {
        writer.write(&numbered(number, epoch));
    }
    assert!(recent.find(numbered(0, epoch).trace_id).is_empty());
    assert_eq!(recent.find(numbered(1, epoch).trace_id).len(), 1);
}

prop_compose! {
    fn decision()(
        track in 0usize..3, backend in 0..u32::MAX, rollout in option::of(0..u32::MAX), reason in 0usize..11,
        assigned: bool,
    ) -> Decision {
        let (track, reason) = (Track::ALL[track], Reason::ALL[reason]);
        Decision { track, backend: BackendId(backend), rollout: rollout.map(RolloutId), reason, assigned }
    }
}

proptest! {
    #[test]
    fn a_record_comes_out_as_it_went_in(
        trace_id: u128, revision: u64, nanos in 0..u64::MAX / 2, decision in option::of(decision()),
        served_by in option::of(0..u32::MAX), status in option::of(100u16..1_000), sampled: bool,
    ) {
        let epoch = Instant::now();
        let at = epoch + Duration::from_nanos(nanos);
        let served_by = served_by.map(BackendId);
        let record = Record { trace_id, revision, at, decision, served_by, status, sampled };
        prop_assert_eq!(Record::decode(record.encode(epoch), epoch), Some(record));
    }

    #[test]
    fn words_of_any_kind_are_a_record_or_none(words: [u64; Record::WORDS]) {
        let epoch = Instant::now();
        let words = words.map(|word| word >> 1);
        if let Some(record) = Record::decode(words, epoch) {
            prop_assert_eq!(Record::decode(record.encode(epoch), epoch), Some(record));
        }
    }
}
