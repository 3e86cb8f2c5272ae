//! What a long log costs: opening it, a start that folds all of it, a start from a snapshot, and a verification from the
//! first event. A million events, as rollouts that live and end make them.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has no result")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use patchgate_admin::clock::Clock;
use patchgate_admin::controller::{self, Controller, Snapshots, World};
use patchgate_admin::log::{self, Verifier};
use patchgate_admin::rollout::{
    Actor, Command, Context, Envelope, Event, Millionths, Order, Origin, Plan, Role, State, codec, decide,
};
use patchgate_admin::store::file::{FileStore, Options};
use patchgate_admin::store::{Append, EventStore, MAX_BATCH_RECORDS};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

const EVENTS: u64 = 1_000_000;
const SERVICES: u64 = 100;

/// A log as a controller would write it, before it is stored.
struct Writer {
    state: State,
    context: Context,
    payloads: Vec<Bytes>,
}

impl Writer {
    fn order(&mut self, service: u64, command: Command) {
        let name = format!("fix-{service}");
        let order = Order {
            id: format!("key:{}", self.state.sequence),
            rollout: name.clone(),
            command,
            actor: Actor { name: "ann".into(), role: Role::Operator },
            reason: "an ordinary reason, as people write them".into(),
            if_version: None,
        };
        self.context.now += 250;
        for event in decide(&self.state, &order, &self.context).unwrap() {
            let known = self.state.rollouts.get(&name).filter(|_| !matches!(event, Event::Created { .. }));
            let envelope = Envelope {
                v: Envelope::VERSION,
                clock: self.state.clock.next(self.context.now, "gateway"),
                cause: known.map(|rollout| rollout.version),
                command: order.id.clone(),
                request: Some("0123456789abcdef0123456789abcdef".into()),
                actor: order.actor.clone(),
                reason: order.reason.clone(),
                rollout: Some(name.clone()),
                event,
            };
            self.payloads.push(codec::encode(&envelope).into());
            self.state.apply(&envelope);
        }
    }

    /// A rollout's life.
    fn life(&mut self, service: u64) {
        let plan: Plan = serde_json::from_value(json!({
            "group": "backend-canary", "patches": [{"service": format!("service-{service}"), "version": "v2.1.3",
            "endpoints": ["10.0.0.2:80"], "pin_version": false, "may_mark": false}], "assign": [{"percent": "random"}],
            "stages": [{"exposure": 10_000}, {"exposure": 250_000}], "on_fail": "rollback",
            "deadline_ms": 604_800_000, "on_withdraw": "finish",
        }))
        .unwrap();
        self.order(service, Command::Create { plan: Box::new(plan), start: true, origin: Origin::Api });
        for command in [Command::Pause, Command::Resume, Command::Promote { full: false }, Command::Pause] {
            self.order(service, command);
        }
        self.order(service, Command::Abort);
    }
}

async fn write(data: &Path) -> u64 {
    let store = FileStore::open(data, Options::default()).unwrap().store;
    let services = (0..SERVICES).map(|service| (format!("service-{service}"), Millionths::ALL)).collect();
    let context = Context { now: 1_790_000_000_000, services, require_reason: false };
    let mut writer = Writer { state: State::default(), context, payloads: Vec::new() };
    let mut bytes = 0;
    for service in (0..SERVICES).cycle() {
        writer.life(service);
        let done = writer.state.sequence >= EVENTS;
        if done || writer.payloads.len() > MAX_BATCH_RECORDS - 10 {
            let payloads = std::mem::take(&mut writer.payloads);
            bytes += payloads.iter().map(Bytes::len).sum::<usize>() as u64;
            assert!(matches!(store.append(store.head().sequence, payloads).await, Append::Committed(_)));
        }
        if done {
            break;
        }
    }
    bytes
}

#[derive(Debug)]
struct Nobody;

impl controller::Observe for Nobody {
    fn appended(&self, _: Duration, _: usize) {}
    fn append_failed(&self) {}
}

impl log::Observe for Nobody {
    fn verified(&self, events: Option<u64>, _: Duration) {
        assert!(events.is_some(), "the log is good");
    }
}

async fn start(store: &Arc<FileStore>, snapshots: Option<Snapshots>) -> Controller {
    let (worlds, world) = watch::channel(Arc::new(World { services: [].into(), require_reason: false }));
    let parts = controller::Parts {
        store: Arc::clone(store) as Arc<dyn EventStore>,
        snapshots,
        observe: Arc::new(Nobody),
        feed: Arc::default(),
        node: "gateway".into(),
        clock: Clock::system(),
        world,
    };
    let controller = Controller::start(parts).await.unwrap();
    // It would end with the world.
    std::mem::forget(worlds);
    controller
}

fn main() {
    let (runtime, folder) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let bytes = runtime.block_on(write(folder.path()));
    println!("{EVENTS} events, {} bytes a piece", bytes / EVENTS);
    let began = Instant::now();
    let store = Arc::new(FileStore::open(folder.path(), Options::default()).unwrap().store);
    println!("open, every checksum and hash: {:.2?}", began.elapsed());
    let snapshots = folder.path().join("snapshots");
    let timed = |what: &str, snapshots: Option<Snapshots>| {
        let began = Instant::now();
        let controller = runtime.block_on(start(&store, snapshots));
        println!("{what}: {:.2?}", began.elapsed());
        controller
    };
    timed("start, all events folded", None);
    timed("start, all events folded, and a snapshot begun", Some(Snapshots::new(snapshots.clone())));
    while std::fs::read_dir(&snapshots)
        .map_or(0, |files| files.flatten().filter(|file| file.file_name() != "new").count())
        == 0
    {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let controller = timed("start from the snapshot", Some(Snapshots::new(snapshots)));
    let verifier = Verifier::new(Arc::clone(&store) as Arc<dyn EventStore>, controller, Arc::new(Nobody));
    let began = Instant::now();
    let verified = runtime.block_on(verifier.verify()).unwrap();
    println!("verify {} events, {}: {:.2?}", verified.events, verified.matches_server, began.elapsed());
}
