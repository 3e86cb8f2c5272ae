//! A gateway that is killed again and again while it is given orders: what it acknowledged is what it knows afterwards,
//! and what it did not acknowledge happened wholly or not at all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use patchgate_admin::rollout::codec;
use patchgate_admin::store::file::scan;
use patchgate_testkit::eventually;
use patchgate_testkit::upstream::Upstream;
use serde_json::{Value, json};

use super::admin::{Admin, Answer, config, folded, rollout};
use super::start;

const KILLS: u64 = 50;

/// An order, as it is sent and, if need be, sent again.
#[derive(Debug)]
struct Order {
    key: String,
    path: String,
    method: &'static str,
    version: u64,
    body: String,
}

impl Order {
    /// The next one in a rollout's life, by chance: it begins, goes to and fro, and ends in one of two ways.
    fn next(number: u64, chance: u64, seen: Option<&Value>, hot_fix: SocketAddr) -> Self {
        let state = seen.and_then(|rollout| rollout["state"].as_str()).unwrap_or("none");
        let command = match (state, chance % 5) {
            ("none" | "aborted" | "completed", _) => "create",
            ("paused", 0..=2) => "resume",
            ("canary" | "paused", 3) => "promote",
            ("promoted", 0..=2) => "complete",
            ("canary", 0 | 1) => "pause",
            ("canary", 2) => "force-stable",
            _ => "abort",
        };
        let (method, path, body) = match command {
            "create" => ("POST", "/v1/rollouts".to_owned(), json!({ "rollout": rollout("fix", hot_fix) })),
            "force-stable" => {
                let rule = json!({ "header": { "name": format!("x-{number}") } });
                ("PUT", "/v1/rollouts/fix/force-stable".to_owned(), json!({ "force_stable": [rule] }))
            }
            command => ("POST", format!("/v1/rollouts/fix/{command}"), json!({ "reason": format!("order {number}") })),
        };
        let version = seen.map_or(0, |rollout| rollout["version"].as_u64().unwrap());
        Self { key: format!("order-{number}"), path, method, version, body: body.to_string() }
    }

    /// The answer; none if the connection broke before it was whole.
    fn send(&self, admin: &Admin) -> Option<Answer> {
        let version = format!("\"{}\"", self.version);
        let mut fields = vec![("idempotency-key", &*self.key)];
        if self.path != "/v1/rollouts" {
            fields.push(("if-match", &version));
        }
        let answer = admin.ask(self.method, &self.path, &fields, &self.body).ok()?;
        assert!(matches!(answer.status, 200 | 201), "{self:?}: {answer:?}");
        Some(answer)
    }
}

/// What a client knows.
#[derive(Debug, Default)]
struct Known {
    /// Orders so far.
    number: u64,
    /// Acknowledged: the last sequence of each order, by its key.
    acknowledged: BTreeMap<String, u64>,
    /// The rollout after the last one of these.
    rollout: Option<Value>,
    /// Sent, and not acknowledged.
    open: Option<Order>,
    /// Of these, how many were carried out all the same.
    carried_out: u64,
}

impl Known {
    fn acknowledge(&mut self, order: &Order, answer: &Answer) {
        self.acknowledged.insert(order.key.clone(), answer.body["sequence"].as_u64().unwrap());
        self.rollout = Some(answer.body["rollout"].clone());
    }
}

/// What was told of a rollout but what time changes by itself.
fn lasting(rollout: &Value) -> Value {
    let mut rollout = rollout.clone();
    for field in ["convergence", "time_to_zero_canary_seconds", "patches", "waits_for"] {
        rollout.as_object_mut().unwrap().remove(field);
    }
    rollout["stages"].as_array_mut().unwrap().iter_mut().for_each(|stage| drop(stage["held_ms"].take()));
    rollout
}

/// The last sequence of each order in a data directory, by its key, with how many events it has there.
fn orders(data: &Path) -> BTreeMap<String, (u64, usize)> {
    let mut orders = BTreeMap::new();
    for record in scan(data).unwrap() {
        let record = record.unwrap();
        let envelope = codec::decode(&record.payload).unwrap();
        let key = envelope.command.strip_prefix("key:").expect("nobody else gives orders").to_owned();
        let (last, events) = orders.entry(key).or_insert((0, 0));
        (*last, *events) = (record.sequence, *events + 1);
    }
    orders
}

#[test]
fn what_was_acknowledged_is_known_after_every_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let stable = Upstream::named("stable");
    let config = config(stable.address, &data);
    let seed =
        std::env::var("PATCHGATE_SEED").map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("PATCHGATE_SEED={seed}");
    let mut chance = Chance(seed);
    let mut known = Known::default();
    for _ in 0..KILLS {
        let gateway = start(&config);
        let admin = Admin::of(&gateway, "ann");
        look(&admin, &data, &mut known);
        let (sent, after, wait) = (AtomicU64::new(0), chance.next() % 12, Duration::from_micros(chance.next() % 4_000));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                eventually("orders", || (sent.load(Ordering::SeqCst) > after).then_some(()));
                std::thread::park_timeout(wait);
                gateway.signal("KILL");
            });
            loop {
                let order = Order::next(known.number, chance.next(), known.rollout.as_ref(), stable.address);
                known.number += 1;
                sent.fetch_add(1, Ordering::SeqCst);
                let Some(answer) = order.send(&admin) else {
                    known.open = Some(order);
                    return;
                };
                known.acknowledge(&order, &answer);
            }
        });
    }
    let gateway = start(&config);
    look(&Admin::of(&gateway, "ann"), &data, &mut known);
    println!("{} of {KILLS} orders that nobody acknowledged were carried out", known.carried_out);
    assert!(known.acknowledged.len() as u64 > KILLS, "only {} orders", known.acknowledged.len());
}

/// Compares what a server knows after its start with what was acknowledged before, and settles what was not.
fn look(admin: &Admin, data: &Path, known: &mut Known) {
    let fold = folded(data);
    let told = admin.get("/v1/state-hash");
    assert_eq!(told["sequence"], fold.state().sequence);
    assert_eq!(told["head"], fold.chain().to_string());
    assert_eq!(told["state_hash"], fold.state().hash().to_string());

    let there = orders(data);
    for (key, sequence) in &known.acknowledged {
        assert_eq!(there.get(key).map(|(last, _)| last), Some(sequence), "{key} was acknowledged");
    }
    let open = known.open.take();
    let is_there = open.as_ref().is_some_and(|order| there.contains_key(&order.key));
    known.carried_out += u64::from(is_there);
    assert_eq!(there.len(), known.acknowledged.len() + usize::from(is_there), "orders that nobody gave");
    if let Some(order) = &open {
        // A new rollout is two events, everything else is one.
        let whole = if order.path == "/v1/rollouts" { 2 } else { 1 };
        assert!(there.get(&order.key).is_none_or(|(_, events)| *events == whole), "{order:?} is there in part");
    }
    if !is_there && let Some(rollout) = &known.rollout {
        assert_eq!(lasting(&admin.get("/v1/rollouts/fix")), lasting(rollout));
    }
    if let Some(order) = open {
        // The same key again: it is carried out now, or it was, and the answer is the same.
        let answer = order.send(admin).expect("nobody kills it now");
        if let Some((last, _)) = there.get(&order.key) {
            assert_eq!(answer.body["sequence"], *last);
        }
        known.acknowledge(&order, &answer);
        assert_eq!(lasting(&admin.get("/v1/rollouts/fix")), lasting(known.rollout.as_ref().unwrap()));
    }
}

/// Numbers by chance, the same for the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
