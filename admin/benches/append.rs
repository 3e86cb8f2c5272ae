//! What the file store costs: an append until it is durable, many at once, and the verification of a million records.
//!
//! Durability is that of the disk under the temporary directory; `TMPDIR` chooses another.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no result")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use patchgate_admin::store::file::{FileStore, Options, scan};
use patchgate_admin::store::{Append, EventStore, MAX_BATCH_RECORDS, Sequence};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Bytes of a payload.
const RECORD: usize = 300;
const APPENDERS: u64 = 64;
const RECORDS: u64 = 1_000_000;

criterion_group!(benches, latency, group_commit, verification, reads);
criterion_main!(benches);

fn record() -> Bytes {
    Bytes::from(vec![b'x'; RECORD])
}

fn open(data: &Path) -> Arc<FileStore> {
    Arc::new(FileStore::open(data, Options::default()).unwrap().store)
}

async fn commit(store: &FileStore, expected: Sequence, records: usize) -> Sequence {
    match store.append(expected, vec![record(); records]).await {
        Append::Committed(head) => head.sequence,
        other => panic!("{other:?}"),
    }
}

/// One after the other: each waits for its sync.
fn latency(criterion: &mut Criterion) {
    let (runtime, data) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let store = open(data.path());
    for records in [1, 8] {
        criterion.bench_function(&format!("append/latency/{records}"), |bencher| {
            bencher.iter(|| runtime.block_on(commit(&store, store.head().sequence, records)));
        });
    }
}

/// Many at once. Either each builds upon the one before without waiting for it, or all contend for the same place and
/// those who lose try again.
fn group_commit(criterion: &mut Criterion) {
    let (runtime, data) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let store = open(data.path());
    let mut group = criterion.benchmark_group("append/64_appenders");
    group.throughput(Throughput::Elements(APPENDERS)).sampling_mode(SamplingMode::Flat);
    group.bench_function("pipelined", |bencher| {
        bencher.iter(|| {
            let head = store.head().sequence;
            let appends = (head..head + APPENDERS).map(|expected| {
                let store = Arc::clone(&store);
                // Polled once on this thread, in order, so that they are queued in order.
                let mut append = Box::pin(async move { commit(&store, expected, 1).await });
                let polled = runtime.block_on(async {
                    std::future::poll_fn(|context| std::task::Poll::Ready(append.as_mut().poll(context))).await
                });
                assert!(polled.is_pending());
                append
            });
            let appends: Vec<_> = appends.collect();
            runtime.block_on(async {
                for append in appends {
                    append.await;
                }
            });
        });
    });
    group.sample_size(10);
    group.bench_function("contending", |bencher| {
        bencher.iter(|| {
            let appends = (0..APPENDERS).map(|_| {
                let store = Arc::clone(&store);
                runtime.spawn(async move {
                    let mut expected = store.head().sequence;
                    while let Append::Conflict { actual, .. } = store.append(expected, vec![record()]).await {
                        expected = actual.sequence;
                    }
                })
            });
            let appends: Vec<_> = appends.collect();
            runtime.block_on(async {
                for append in appends {
                    append.await.unwrap();
                }
            });
        });
    });
}

/// A log of a million records.
fn large(runtime: &Runtime) -> TempDir {
    let data = TempDir::new().unwrap();
    let store = open(data.path());
    let mut head = 0;
    while head < RECORDS {
        head = runtime.block_on(commit(&store, head, MAX_BATCH_RECORDS));
    }
    data
}

/// Header, checksum, sequence and chain of all of it.
fn verification(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let data = large(&runtime);
    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function(BenchmarkId::new("scan", RECORDS), |bencher| {
        bencher.iter(|| scan(data.path()).unwrap().map(Result::unwrap).count());
    });
    group.bench_function(BenchmarkId::new("open", RECORDS), |bencher| {
        // Without the close that follows.
        bencher.iter_custom(|times| {
            let open_once = |_| {
                let begun = Instant::now();
                let store = open(data.path());
                let took = begun.elapsed();
                drop(store);
                took
            };
            (0..times).map(open_once).sum()
        });
    });
}

/// Reads from anywhere in a large log.
fn reads(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let data = large(&runtime);
    let store = open(data.path());
    let mut rng = fastrand::Rng::with_seed(1);
    for limit in [1, 100] {
        criterion.bench_function(&format!("read/{limit}"), |bencher| {
            bencher.iter(|| runtime.block_on(store.read(rng.u64(1..RECORDS - 100), limit)).unwrap().len());
        });
    }
}
