//! The cohort hash gives what `docs/cohort-vectors.tsv` says, so that others can compute who is a canary.

use patchgate_config::snapshot::Exposure;
use patchgate_proxy::rollout::cohort::{Bucket, hash};

const VECTORS: &str = include_str!("../../docs/cohort-vectors.tsv");

#[test]
fn the_hash_is_that_of_the_vectors() {
    let rows = VECTORS.lines().filter(|line| !line.starts_with('#')).skip(1);
    let mut seen = 0;
    for row in rows {
        let [salt, key, expected_hash, expected_bucket] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("four cells: {row}");
        };
        let key = key_of(key);
        assert_eq!(format!("{:016x}", hash(salt, &key)), expected_hash, "{row}");
        let bucket = Bucket::of(salt, &key);
        assert_eq!(bucket.number().to_string(), expected_bucket, "{row}");
        assert!(bucket.is_canary(Exposure::from_millionths(bucket.number() + 1)), "{row}");
        assert!(!bucket.is_canary(Exposure::from_millionths(bucket.number())), "{row}");
        seen += 1;
    }
    assert!(seen >= 24, "{seen} vectors");
}

#[test]
fn the_first_and_the_last_hash_have_the_first_and_the_last_bucket() {
    assert_eq!(Bucket::from_hash(0).number(), 0);
    assert_eq!(Bucket::from_hash(u64::MAX).number(), 999_999);
}

/// Text, or bytes in hex behind `0x`.
fn key_of(cell: &str) -> Vec<u8> {
    let Some(digits) = cell.strip_prefix("0x") else { return cell.as_bytes().to_vec() };
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex digits")).collect()
}
