//! A log that ends anywhere: every batch that is whole is there after an open, and nothing else.

use super::*;

/// Opens a log of which the segment after `before` is `bytes`, which end with `whole` of `log`'s batches and some bytes
/// more; looks at what is there, and whether it goes on.
fn opens_to(before: &[&ByHand], log: &ByHand, bytes: &[u8], runtime: &Runtime) {
    let disk = SimDisk::default();
    for segment in before {
        disk.put(&segment_file(first(segment)), &segment.bytes);
    }
    let file = segment_file(first(log));
    disk.put(&file, bytes);

    let whole = log.batches.iter().take_while(|&&(end, _)| end <= bytes.len()).last();
    let header = if bytes.len() < segment::HEADER { 0 } else { segment::HEADER };
    let &(offset, head) = whole.unwrap_or(&(header, first(log) - 1));

    let opened = open(&disk, 1 << 20).unwrap();
    let torn = &bytes[offset..];
    if torn.is_empty() && header > 0 {
        assert_eq!(opened.torn, None);
    } else {
        let told = opened.torn.unwrap();
        assert_eq!((&told.file, told.offset, told.bytes), (&file, offset as u64, torn.len() as u64));
        assert_eq!(told.kept.map(|kept| disk.get(&kept).unwrap()).unwrap_or_default(), torn);
    }
    let left = disk.get(&file).unwrap_or_default();
    assert!(if header > 0 { left == bytes[..offset] } else { left.is_empty() || left.len() == segment::HEADER });
    assert_eq!(records(runtime, &opened.store).len() as u64, head);
    let next = commit(runtime, &opened.store, &[Bytes::from_static(b"next")]);
    assert_eq!(next.sequence, head + 1);
    drop(opened.store);
    let again = open(&disk, 1 << 20).unwrap();
    assert_eq!((again.store.head(), again.torn), (next, None));
}

fn first(log: &ByHand) -> Sequence {
    log.sequence + 1 - log.frames.len() as u64
}

#[test]
fn a_log_by_hand_is_read_as_it_was_meant() {
    let runtime = runtime();
    let log = by_hand(&ByHand::default(), 100);
    let disk = SimDisk::default();
    disk.put(&segment_file(1), &log.bytes);
    let opened = open(&disk, 1 << 20).unwrap();
    assert_eq!((opened.store.head(), opened.torn), (log.head(), None));
    let payloads = payloads(&runtime, &opened.store);
    for (index, (&at, payload)) in log.frames.iter().zip(&payloads).enumerate() {
        assert_eq!(payload, &log.bytes[at + 48..][..payload.len()], "record {}", index + 1);
    }
    assert_eq!(payloads.len(), 199);
}

#[test]
fn a_log_by_the_store_is_the_one_by_hand() {
    let runtime = runtime();
    let disk = SimDisk::default();
    let store = open(&disk, 1 << 20).unwrap().store;
    let mut log = ByHand::after(&ByHand::default());
    for batch in [vec!["a"], vec!["b", "", "c"], vec![""], vec!["de"; 9]] {
        let batch: Vec<_> = batch.into_iter().map(|payload| payload.as_bytes().to_vec()).collect();
        log.batch(&batch);
        commit(&runtime, &store, &batch.into_iter().map(Bytes::from).collect::<Vec<_>>());
    }
    assert_eq!(disk.contents(), [(segment_file(1), log.bytes)].into());
}

#[test]
fn a_log_of_200_records_that_is_cut_at_any_byte_recovers_to_its_last_whole_batch() {
    let runtime = runtime();
    let mut log = by_hand(&ByHand::default(), 100);
    log.batch(&[b"200".to_vec()]);
    assert_eq!(log.sequence, 200);
    for len in 0..=log.bytes.len() {
        opens_to(&[], &log, &log.bytes[..len], &runtime);
    }
}

#[test]
fn a_last_segment_that_is_cut_at_any_byte_loses_nothing_of_those_before() {
    let runtime = runtime();
    let before = by_hand(&ByHand::default(), 3);
    let log = by_hand(&before, 4);
    for len in 0..=log.bytes.len() {
        opens_to(&[&before], &log, &log.bytes[..len], &runtime);
    }
}

#[test]
fn an_end_that_is_zeros_or_noise_is_torn() {
    let runtime = runtime();
    let log = by_hand(&ByHand::default(), 5);
    let mut rng = fastrand::Rng::with_seed(1);
    for len in [1, 47, 48, 49, 5_000] {
        opens_to(&[], &log, &[&log.bytes[..], &vec![0; len]].concat(), &runtime);
        let noise: Vec<_> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
        opens_to(&[], &log, &[&log.bytes[..], &noise].concat(), &runtime);
    }
}

#[test]
fn an_end_may_be_torn_at_the_same_byte_twice_and_both_are_kept() {
    let disk = SimDisk::default();
    let log = by_hand(&ByHand::default(), 2);
    for torn in [&b"one"[..], b"another"] {
        disk.put(&segment_file(1), &[&log.bytes[..], torn].concat());
        let kept = open(&disk, 1 << 20).unwrap().torn.unwrap().kept.unwrap();
        assert_eq!(disk.get(&kept).unwrap(), torn);
    }
    let kept = disk.contents().into_keys().filter(|path| path.starts_with(data().join("torn")));
    assert_eq!(kept.count(), 2);
}

#[test]
fn a_segment_before_the_last_that_is_cut_at_any_byte_is_refused() {
    let one = by_hand(&ByHand::default(), 2);
    let two = by_hand(&one, 2);
    let three = by_hand(&two, 2);
    let all = [&one, &two, &three];
    for (index, cut) in all[..2].iter().enumerate() {
        for len in 0..cut.bytes.len() {
            let disk = SimDisk::default();
            all.iter().for_each(|segment| disk.put(&segment_file(first(segment)), &segment.bytes));
            disk.put(&segment_file(first(cut)), &cut.bytes[..len]);
            let before = disk.contents();
            let Err(FileError::Damaged(damage)) = open(&disk, 1 << 20) else { panic!("segment {index} at {len}") };
            let whole = cut.batches.iter().take_while(|&&(end, _)| end <= len).last();
            let &(_, head) = whole.unwrap_or(&(0, first(cut) - 1));
            assert_eq!((&damage.file, damage.lost, damage.torn), (&segment_file(first(cut)), head + 1, false));
            assert_eq!(disk.contents(), before);
        }
    }
}
