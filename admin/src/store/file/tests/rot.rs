//! A log that is not what was appended: an open refuses it, names the place and changes nothing.

use super::*;
use crate::store::file::{Damage, Fault};

/// Two segments; the batch in the middle of the second has two records.
fn two_segments() -> [(Sequence, ByHand); 2] {
    let mut one = ByHand::after(&ByHand::default());
    one.batch(&[b"one".to_vec()]);
    one.batch(&[b"two".to_vec()]);
    let mut other = ByHand::after(&one);
    other.batch(&[b"three".to_vec()]);
    other.batch(&[b"four".to_vec(), b"five".to_vec()]);
    other.batch(&[b"six".to_vec()]);
    [(1, one), (3, other)]
}

fn disk(segments: &[(Sequence, ByHand)]) -> SimDisk {
    let disk = SimDisk::default();
    segments.iter().for_each(|(first, segment)| disk.put(&segment_file(*first), &segment.bytes));
    disk
}

/// An open and a scan find the same damage; the scan gives all before it; nothing is changed.
#[track_caller]
fn refused(disk: &SimDisk) -> Damage {
    let before = disk.contents();
    let Err(FileError::Damaged(damage)) = open(disk, 1 << 20) else { panic!("it opened") };
    assert_eq!(disk.contents(), before);
    assert!(!damage.torn);
    let mut seen: Vec<_> = scan(disk).collect();
    let scanned = seen.pop().unwrap().unwrap_err();
    assert_eq!(scanned.to_string(), damage.to_string());
    let seen: Vec<_> = seen.into_iter().map(|record| record.unwrap().sequence).collect();
    assert_eq!(seen, (1..damage.lost).collect::<Vec<_>>());
    damage
}

#[test]
fn every_bit_counts() {
    let runtime = runtime();
    let segments = two_segments();
    let whole = payloads(&runtime, &open(&disk(&segments), 1 << 20).unwrap().store);
    for (first, segment) in &segments {
        for bit in 0..segment.bytes.len() * 8 {
            let mut bytes = segment.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let disk = disk(&segments);
            disk.put(&segment_file(*first), &bytes);
            let place = segment.frames.iter().rposition(|&frame| frame <= bit / 8);
            if *first == 3 && place == Some(3) {
                // The last frame of the log: no crash leaves less behind, so nobody can tell.
                let opened = open(&disk, 1 << 20).unwrap();
                let torn = opened.torn.unwrap();
                assert_eq!((torn.file, torn.offset), (segment_file(3), segment.frames[3] as u64));
                assert_eq!(disk.get(&torn.kept.unwrap()).unwrap(), bytes[segment.frames[3]..]);
                assert_eq!(payloads(&runtime, &opened.store), whole[..5]);
                continue;
            }
            let damage = refused(&disk);
            let offset = place.map_or(0, |place| segment.frames[place] as u64);
            let lost = match (first, place) {
                (_, None) => *first,
                // The second of a batch takes the first with it.
                (3, Some(2)) => 4,
                (_, Some(place)) => first + place as u64,
            };
            assert_eq!((damage.file, damage.offset, damage.lost), (segment_file(*first), offset, lost), "bit {bit}");
        }
    }
}

#[test]
fn the_last_batch_is_lost_with_any_bit_of_it_and_kept_as_bytes() {
    let runtime = runtime();
    let mut log = ByHand::after(&ByHand::default());
    log.batch(&[b"one".to_vec()]);
    let batch = log.bytes.len();
    log.batch(&[b"two".to_vec(), b"three".to_vec()]);
    // In the last frame. One in the first of the batch has a whole frame after it.
    for bit in log.frames[2] * 8..log.bytes.len() * 8 {
        let mut bytes = log.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let disk = SimDisk::default();
        disk.put(&segment_file(1), &bytes);
        let opened = open(&disk, 1 << 20).unwrap();
        assert_eq!(payloads(&runtime, &opened.store), ["one"]);
        let torn = opened.torn.unwrap();
        assert_eq!((torn.offset, disk.get(&torn.kept.unwrap()).unwrap()), (batch as u64, bytes[batch..].to_vec()));
    }
}

#[test]
fn a_bit_in_the_header_of_a_last_segment_without_records_costs_nothing() {
    let runtime = runtime();
    let one = by_hand(&ByHand::default(), 2);
    let empty = ByHand::after(&one);
    for bit in 0..empty.bytes.len() * 8 {
        let mut bytes = empty.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let disk = disk(&[]);
        disk.put(&segment_file(1), &one.bytes);
        disk.put(&segment_file(one.sequence + 1), &bytes);
        let opened = open(&disk, 1 << 20).unwrap();
        assert_eq!((opened.store.head(), opened.torn.unwrap().bytes), (one.head(), 56));
        commit(&runtime, &opened.store, &[Bytes::from_static(b"next")]);
    }
}

#[test]
fn a_missing_segment_is_missed() {
    let [one, two] = two_segments();
    let three = (two.1.sequence + 1, by_hand(&two.1, 1));
    let segments = [one, two, three];

    let middle = disk(&segments);
    middle.delete(&segment_file(3));
    let damage = refused(&middle);
    assert_eq!((damage.file, damage.offset, damage.lost), (segment_file(1), segments[0].1.bytes.len() as u64, 3));
    assert!(matches!(damage.fault, Fault::Gap(7)));

    let first = disk(&segments);
    first.delete(&segment_file(1));
    let damage = refused(&first);
    assert_eq!((damage.file, damage.offset, damage.lost), (segment_file(1), 0, 1));
    assert!(matches!(damage.fault, Fault::Gap(3)));
}

#[test]
fn a_segment_under_another_name_is_found_out() {
    let [one, two] = two_segments();
    let three = (two.1.sequence + 1, by_hand(&two.1, 1));
    let disk = disk(&[one, (3, three.1)]);
    let damage = refused(&disk);
    assert_eq!((damage.file, damage.lost), (segment_file(3), 3));
    assert!(matches!(damage.fault, Fault::HeaderSequence(7)));
}

#[test]
fn a_segment_of_another_log_is_found_out() {
    let [one, _] = two_segments();
    let mut other = ByHand::after(&ByHand::default());
    other.batch(&[b"one".to_vec()]);
    other.batch(&[b"different".to_vec()]);
    let damage = refused(&disk(&[one, (3, by_hand(&other, 2))]));
    assert_eq!((damage.file, damage.lost), (segment_file(3), 3));
    assert!(matches!(damage.fault, Fault::HeaderChain));
}

#[test]
fn a_record_that_was_changed_with_its_checksum_breaks_the_chain() {
    let mut log = ByHand::after(&ByHand::default());
    log.batch(&[b"one".to_vec()]);
    let before = (log.sequence, log.hash);
    log.batch(&[b"25 %".to_vec()]);
    let hash = log.hash;
    (log.sequence, log.hash) = before;
    log.bytes.truncate(log.frames[1]);
    log.batch(&[b"75 %".to_vec()]);
    // As if only the payload and the checksum were written anew.
    let at = log.frames[2];
    log.bytes[at + 16..at + 48].copy_from_slice(&hash);
    let crc = crc32c::crc32c(&[&log.bytes[at..at + 4], &log.bytes[at + 8..]].concat());
    log.bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
    let damage = refused(&disk(&[(1, log)]));
    assert_eq!((damage.offset, damage.lost), (at as u64, 2));
    assert!(matches!(damage.fault, Fault::Chain));
}

#[test]
fn a_record_that_is_there_twice_is_found_out() {
    let mut log = ByHand::after(&ByHand::default());
    log.batch(&[b"one".to_vec()]);
    let frame = log.bytes[log.frames[0]..].to_vec();
    log.bytes.extend(frame);
    let damage = refused(&disk(&[(1, log)]));
    assert!(matches!(damage.fault, Fault::Sequence(1)));
}

#[test]
fn bytes_that_were_taken_out_or_put_in_are_found_out() {
    let mut log = ByHand::after(&ByHand::default());
    (0..5).for_each(|number| log.batch(&[vec![number; 20]]));
    let (from, to) = (log.frames[1], log.frames[3]);
    for (at, len) in (from..to).flat_map(|at| [(at, 1), (at, 7), (at, to - at)]) {
        let mut less = log.bytes.clone();
        less.drain(at..at + len);
        let less_disk = SimDisk::default();
        less_disk.put(&segment_file(1), &less);
        assert!(refused(&less_disk).lost > 1);

        let mut more = log.bytes.clone();
        more.splice(at..at, vec![9; len]);
        let more_disk = SimDisk::default();
        more_disk.put(&segment_file(1), &more);
        assert!(refused(&more_disk).lost > 1);
    }
}

#[test]
fn a_whole_frame_far_behind_the_damage_is_found() {
    let mut log = ByHand::after(&ByHand::default());
    log.batch(&[b"one".to_vec()]);
    for _ in 0..5 {
        log.batch(&[vec![0xff; 1 << 20]]);
    }
    let last = log.frames[5];
    // All between is noise that no frame begins in.
    log.bytes[log.frames[1]..last].fill(0xff);
    let damage = refused(&disk(&[(1, log)]));
    assert_eq!((damage.offset, damage.lost), (56 + 48 + 3, 2));
    assert!(matches!(damage.fault, Fault::Length));
}

#[test]
fn the_smallest_frame_behind_the_damage_is_found() {
    let mut log = ByHand::after(&ByHand::default());
    log.batch(&[b"one".to_vec()]);
    log.batch(&[b"two".to_vec()]);
    log.batch(&[vec![]]);
    log.bytes[log.frames[1] + 48] ^= 1;
    assert_eq!(refused(&disk(&[(1, log)])).lost, 2);
}

#[test]
fn a_newer_format_is_left_to_a_newer_patchgate() {
    let log = by_hand(&ByHand::default(), 0);
    let mut bytes = log.bytes;
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..52]);
    bytes[52..].copy_from_slice(&crc.to_le_bytes());
    let disk = SimDisk::default();
    disk.put(&segment_file(1), &bytes);
    let damage = refused(&disk);
    assert!(matches!(damage.fault, Fault::Version(2)));
    assert!(damage.to_string().ends_with("run the patchgate that wrote it"), "{damage}");
}

#[test]
fn files_of_other_names_are_left_alone() {
    let disk = disk(&two_segments());
    for name in ["1.log", "00000000000000000099.log.bak", "x0000000000000000001.log", "+0000000000000000009.log"] {
        disk.put(&segment::log_dir(data()).join(name), b"something else");
    }
    let before = disk.contents();
    assert_eq!(open(&disk, 1 << 20).unwrap().store.head().sequence, 6);
    assert_eq!(disk.contents(), before);
}

#[test]
fn rot_that_comes_while_the_log_is_open_fails_the_read() {
    let runtime = runtime();
    let disk = SimDisk::default();
    let store = open(&disk, 1 << 20).unwrap().store;
    for payload in ["one", "two", "three"] {
        commit(&runtime, &store, &[Bytes::from(payload)]);
    }
    let frame = 48 + 3;
    disk.flip(&segment_file(1), 56 + frame + 48);
    assert_eq!(runtime.block_on(store.read(1, 1)).unwrap().len(), 1);
    let error = runtime.block_on(store.read(1, 2)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert!(error.to_string().contains("the first lost is 2"), "{error}");
}

#[test]
fn damage_says_where_it_is_and_what_to_do() {
    let [one, mut other] = two_segments();
    other.1.bytes[56 + 50] ^= 1;
    assert_eq!(
        refused(&disk(&[one, other])).to_string(),
        "/data/log/00000000000000000003.log: byte 56: the frame's checksum is wrong; the log is whole up to record 2, \
         the first lost is 3; `patchgate log verify` checks it again, `patchgate log export --until 2` saves what is \
         whole into a new directory"
    );
}
