//! Differences and quantiles.

use proptest::prelude::*;

use super::*;

fn key(backend: &str, track: &'static str) -> SeriesKey {
    SeriesKey {
        service: "shop".into(),
        backend: backend.into(),
        track,
        patch_group: String::new(),
        patch_version: "v1".into(),
    }
}

fn metrics() -> std::sync::Arc<Metrics> {
    Metrics::new(2, Default::default())
}

#[test]
fn a_rate_is_what_was_added_over_the_time() {
    let metrics = metrics();
    let series = metrics.series(key("shop/stable", "stable"));
    series.shard(0).finish(200, Duration::from_millis(3));
    series.shard(0).finish(500, Duration::from_millis(3));
    let before = metrics.traffic();
    for worker in [0, 1] {
        let shard = series.shard(worker);
        shard.finish(200, Duration::from_millis(3));
        shard.decided(Reason::Default);
        shard.finish(503, Duration::from_millis(30));
        shard.decided(Reason::Default);
        shard.finish(200, Duration::from_millis(3));
        shard.decided(Reason::Mark);
        shard.broke();
        shard.finish(404, Duration::from_secs(60));
        shard.decided(Reason::Mark);
    }
    let mut after = metrics.traffic();
    after.at = before.at + Duration::from_secs(4);
    let rates = after.since(&before);
    let [rate] = &rates.rows[..] else { panic!("{rates:?}") };
    assert_eq!((rate.sums.requests, rate.sums.errors), (8, 4));
    assert!((rate.per_second - 2.0).abs() < 1e-9 && (rate.error_ratio - 0.5).abs() < 1e-9);
    assert!((rate.sums.seconds - 2.0 * 60.036).abs() < 1e-6, "{}", rate.sums.seconds);
    assert_eq!((rate.sums.reasons.of(Reason::Default), rate.sums.reasons.of(Reason::Mark)), (4, 4));
    assert!((rate.p99 - 10.0).abs() < 1e-9, "above the last bound nothing is known: {}", rate.p99);
}

#[test]
fn a_series_that_is_new_counts_from_nothing_and_a_quiet_one_is_left_out() {
    let metrics = metrics();
    metrics.series(key("quiet", "stable")).shard(0).finish(200, Duration::ZERO);
    let before = metrics.traffic();
    metrics.series(key("new", "canary")).shard(0).finish(200, Duration::ZERO);
    let rates = metrics.traffic().since(&before);
    assert_eq!(
        rates.rows.iter().map(|rate| (rate.backend.as_str(), rate.track)).collect::<Vec<_>>(),
        [("new", "canary")]
    );
}

#[test]
fn two_reads_at_one_time_have_no_rate_and_are_no_error() {
    let metrics = metrics();
    let mut before = metrics.traffic();
    metrics.series(key("a", "stable")).shard(0).finish(200, Duration::ZERO);
    let after = metrics.traffic();
    before.at = after.at;
    assert_eq!(after.since(&before).rows[0].per_second, 0.0);
}

fn sums(buckets: &[(usize, u64)]) -> Sums {
    let mut sums = Sums::default();
    for &(bucket, count) in buckets {
        sums.buckets[bucket] = count;
    }
    sums
}

/// Buckets with their counts, the share, and the quantile in seconds.
type Case<'a> = (&'a [(usize, u64)], f64, f64);

#[test]
fn quantiles_lie_where_an_even_spread_in_their_bucket_puts_them() {
    // 0 to 5 ms, 5 to 10 ms, 10 to 25 ms.
    let cases: &[Case<'_>] = &[
        (&[(0, 10)], 0.5, 0.0025),
        (&[(0, 10)], 1.0, 0.005),
        (&[(0, 50), (2, 50)], 0.5, 0.005),
        (&[(0, 50), (2, 50)], 0.75, 0.0175),
        (&[(0, 98), (1, 2)], 0.99, 0.0075),
        (&[(14, 1)], 0.5, 10.0),
        (&[(0, 1), (14, 1)], 0.99, 10.0),
        (&[(2, 4)], 0.0, 0.01),
        (&[], 0.99, 0.0),
    ];
    for (buckets, q, expected) in cases {
        let found = sums(buckets).quantile(*q);
        assert!((found - expected).abs() < 1e-12, "{q} of {buckets:?}: {found}");
    }
}

proptest! {
    #[test]
    fn a_quantile_is_within_the_bucket_of_its_rank_and_rises(
        buckets in prop::array::uniform15(0u64..1_000), a in 0.0..=1.0f64, b in 0.0..=1.0f64,
    ) {
        let sums = Sums { buckets, ..Sums::default() };
        let (low, high) = (sums.quantile(a.min(b)), sums.quantile(a.max(b)));
        prop_assert!(low <= high && (0.0..=10.0).contains(&low));
        let rank = a * buckets.iter().sum::<u64>() as f64;
        let found = sums.quantile(a);
        // No more than the rank is in the buckets that end below what was found.
        let below: u64 = buckets.iter().zip(BOUNDS).filter(|(_, upper)| *upper < found).map(|(count, _)| count).sum();
        prop_assert!(below as f64 <= rank + 1e-6, "{} of {}", below, rank);
    }
}

#[test]
fn the_json_names_the_reasons_that_occurred() {
    let metrics = metrics();
    let before = metrics.traffic();
    let series = metrics.series(key("a", "canary"));
    series.shard(0).finish(200, Duration::ZERO);
    series.shard(0).decided(Reason::Percent);
    let json = serde_json::to_value(metrics.traffic().since(&before)).unwrap();
    assert_eq!(json["rows"][0]["reasons"], serde_json::json!({ "percent": 1 }));
    assert_eq!(json["rows"][0]["requests"], 1);
}
