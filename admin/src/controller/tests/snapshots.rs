//! Starts from snapshots: the same as from the first event, whatever became of the files.

use std::path::PathBuf;
use std::time::Instant;

use tempfile::TempDir;

use super::super::snapshot::Kept;
use super::*;
use crate::log::{self, Verifier};

/// Events between two snapshots.
const EVERY: u64 = 5;

struct Lived {
    store: Arc<MemoryStore>,
    folder: TempDir,
    node: &'static str,
}

/// A log of two rollouts in 24 events, and the snapshots that starts wrote meanwhile: the last two are of 15 and 20.
async fn lived() -> Lived {
    lived_at("here").await
}

async fn lived_at(node: &'static str) -> Lived {
    let world = Lived { store: Arc::new(MemoryStore::new()), folder: TempDir::new().unwrap(), node };
    let running = world.start(false).await;
    let give = async |id: &str, rollout: &str, command| {
        let done = running.carry_out(wanted(order(id, rollout, command))).await.unwrap();
        if done.sequence.is_multiple_of(EVERY) {
            world.start(true).await;
            world.written(done.sequence).await;
        }
    };
    give("one", "fix", create("g", &[(1, None), (50, None)])).await;
    give("two", "other", create("h", &[(1, None)])).await;
    for number in 0..10 {
        give(&format!("pause-{number}"), "fix", Command::Pause).await;
        give(&format!("resume-{number}"), "fix", Command::Resume).await;
    }
    assert_eq!(running.state().sequence, 24);
    world
}

impl Lived {
    fn snapshots(&self) -> Snapshots {
        let mut snapshots = Snapshots::new(self.folder.path().join("snapshots"));
        snapshots.every = EVERY;
        snapshots
    }

    fn file(&self, sequence: u64) -> PathBuf {
        self.folder.path().join(format!("snapshots/state-{sequence:020}.json"))
    }

    /// Waits until the snapshot that a start writes is there, and the third one is removed.
    async fn written(&self, sequence: u64) {
        let begun = Instant::now();
        while !self.file(sequence).exists() || self.file(sequence.saturating_sub(2 * EVERY)).exists() {
            assert!(begun.elapsed().as_secs() < 30, "no snapshot of record {sequence}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn start(&self, with_snapshots: bool) -> Controller {
        self.start_with(self.store.clone(), Arc::default(), with_snapshots).await
    }

    async fn start_with(&self, store: Arc<MemoryStore>, feed: Arc<Feed>, with_snapshots: bool) -> Controller {
        let services = ["shop", "cart"].map(|name| (name.to_owned(), Millionths::ALL)).into();
        let (world, seen) = watch::channel(Arc::new(World { services, require_reason: false }));
        // The controller ends with its world: it stays for as long as the process.
        std::mem::forget(world);
        let parts = Parts {
            store,
            snapshots: with_snapshots.then(|| self.snapshots()),
            observe: Arc::new(Counts::default()),
            feed,
            node: self.node.into(),
            clock: Clock::starting_at(2_000_000),
            world: seen,
        };
        Controller::start(parts).await.unwrap()
    }

    /// The same log, with a copy of the files: a start writes one more.
    fn copy(&self) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("snapshots")).unwrap();
        for file in std::fs::read_dir(self.folder.path().join("snapshots")).into_iter().flatten().flatten() {
            std::fs::copy(file.path(), folder.path().join("snapshots").join(file.file_name())).unwrap();
        }
        Self { store: self.store.clone(), folder, node: self.node }
    }

    /// The record that a start begins to fold after, and whether all that it shows is what a start without snapshots
    /// shows.
    async fn begins_at(&self) -> u64 {
        let begins = self.snapshots().newest(&*self.store).await.map_or(0, |kept| kept.fold.state().sequence);
        let feeds: [Arc<Feed>; 2] = [Arc::default(), Arc::default()];
        let plain = self.start_with(self.store.clone(), feeds[0].clone(), false).await;
        let files = self.copy();
        let quick = files.start_with(self.store.clone(), feeds[1].clone(), true).await;
        assert_eq!(quick.state(), plain.state());
        let seen = feeds.each_ref().map(|feed| {
            let entries = feed.after(0, usize::MAX).unwrap();
            let entries: Vec<_> = entries.iter().map(|entry| (entry.record.hash, entry.envelope.clone())).collect();
            (entries, feed.of_rollout("fix", 0, 100), feed.of_rollout("other", 0, 100), *feed.heads().borrow())
        });
        assert_eq!(seen[0], seen[1]);
        for id in ["one", "two", "pause-0", "resume-9"] {
            let rollout = if id == "two" { "other" } else { "fix" };
            let again = Wanted::Order(order(id, rollout, Command::Pause), None);
            assert!(quick.carry_out(again).await.unwrap().replayed, "{id} was carried out");
        }
        begins
    }
}

#[tokio::test]
async fn a_start_from_a_snapshot_shows_what_a_start_from_the_first_event_shows() {
    let world = lived().await;
    assert_eq!(world.begins_at().await, 20);
    assert!(world.file(15).exists() && !world.file(10).exists(), "two are kept");
    std::fs::remove_dir_all(world.folder.path().join("snapshots")).unwrap();
    assert_eq!(world.begins_at().await, 0);
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over_for_the_one_before() {
    let world = lived().await;
    std::fs::write(world.folder.path().join("snapshots/new"), "half writ").unwrap();
    std::fs::write(world.file(20), "{}\n").unwrap();
    assert_eq!(world.begins_at().await, 15);
    std::fs::write(world.file(15), "").unwrap();
    assert_eq!(world.begins_at().await, 0);
}

#[tokio::test]
async fn every_bit_of_a_snapshot_counts() {
    let world = lived().await;
    let bytes = std::fs::read(world.file(20)).unwrap();
    let whole = Kept::decode(&bytes).unwrap();
    assert_eq!(whole.fold.state().sequence, 20);
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Kept::decode(&flipped).is_err(), "bit {bit}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    for end in 0..bytes.len() {
        assert!(Kept::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[tokio::test]
async fn a_snapshot_of_another_log_or_of_what_was_cut_is_passed_over() {
    let (world, other) = (lived().await, lived_at("elsewhere").await);
    std::fs::copy(other.file(20), world.file(20)).unwrap();
    std::fs::copy(other.file(15), world.file(15)).unwrap();
    // The same orders by another clock: another chain.
    assert_ne!(world.store.head().hash, other.store.head().hash);
    assert_eq!(world.begins_at().await, 0);

    // A log that ends before the snapshot, as after a torn end was cut.
    let short = Arc::new(MemoryStore::new());
    let records = other.store.read(1, 17).await.unwrap();
    let payloads = records.into_iter().map(|record| record.payload).collect();
    assert!(matches!(short.append(0, payloads).await, Append::Committed(_)));
    assert_eq!(world.snapshots().newest(&*short).await.map(|kept| kept.fold.state().sequence), Some(15));
}

#[tokio::test]
async fn a_snapshot_that_lies_is_found_out_by_the_verification() {
    #[derive(Debug, Default)]
    struct Found(AtomicU64);
    impl log::Observe for Found {
        fn verified(&self, events: Option<u64>, _: Duration) {
            self.0.fetch_add(u64::from(events.is_none()), Ordering::Relaxed);
        }
    }

    let world = lived().await;
    let mut kept = Kept::decode(&std::fs::read(world.file(20)).unwrap()).unwrap();
    let mut fold = serde_json::to_value(&kept.fold).unwrap();
    fold["state"]["rollouts"]["fix"]["plan"]["stages"][0]["exposure"] = 990_000.into();
    kept.fold = serde_json::from_value(fold).unwrap();
    world.snapshots().write(&kept).unwrap();
    let controller = world.start(true).await;
    assert_eq!(controller.state().rollouts["fix"].exposure(), Millionths(990_000));
    let found = Arc::new(Found::default());
    let verifier = Verifier::new(world.store.clone(), controller, found.clone());
    assert!(!verifier.verify().await.unwrap().matches_server);
    assert_eq!(found.0.load(Ordering::Relaxed), 1);
}
