//! The log of a data directory, without a server and beside one.

use std::path::Path;

use bytes::Bytes;
use patchgate_admin::api::dto::StateHash;
use patchgate_admin::rollout::{
    Actor, Command, Context, Envelope, Millionths, Order, Origin, Plan, Role, State, codec, decide,
};
use patchgate_admin::store::file::{FileStore, Options};
use patchgate_admin::store::{Append, EventStore};
use patchgate_admin::time::parse;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scripted::{Api, Ended, json_response, patchgate, problem};

/// A log as a server would write it, an order a record batch.
pub(crate) struct Log {
    folder: TempDir,
    state: State,
    store: FileStore,
    runtime: tokio::runtime::Runtime,
}

impl Log {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = FileStore::open(folder.path(), Options::default()).unwrap().store;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder, state: State::default(), store, runtime }
    }

    /// One rollout from its creation to its abort, in four events of three orders.
    pub(crate) fn of_a_life() -> Self {
        let mut log = Self::new();
        log.create();
        log.order("14:02:00", "bob", Command::Promote { full: false });
        log.order("14:10:00", "eve", Command::Abort);
        log
    }

    /// The rollout begins, also once more.
    pub(crate) fn create(&mut self) {
        let plan: Plan = serde_json::from_value(json!({
            "group": "g", "patches": [{"service": "shop", "version": "v2", "endpoints": ["10.0.0.2:80"],
            "pin_version": false, "may_mark": false}], "assign": [{"percent": "random"}],
            "stages": [{"exposure": 10_000}, {"exposure": 250_000}], "on_fail": "rollback", "deadline_ms": 86_400_000,
            "on_withdraw": "finish",
        }))
        .unwrap();
        self.order("14:00:00", "ann", Command::Create { plan: Box::new(plan), start: true, origin: Origin::Api });
    }

    fn order(&mut self, time: &str, actor: &str, command: Command) {
        let now = parse(&format!("2026-01-31T{time}Z")).unwrap();
        let order = Order {
            id: format!("c{}", self.state.sequence),
            rollout: "fix".into(),
            command,
            actor: Actor { name: actor.into(), role: Role::Operator },
            reason: "because".into(),
            if_version: None,
        };
        let services = [("shop".to_owned(), Millionths::ALL)].into();
        let before = self.state.sequence;
        let mut payloads = Vec::new();
        for event in decide(&self.state, &order, &Context { now, services, require_reason: false }).unwrap() {
            let envelope = Envelope {
                v: Envelope::VERSION,
                clock: self.state.clock.next(now, "a"),
                cause: self.state.rollouts.get("fix").map(|rollout| rollout.version),
                command: order.id.clone(),
                request: None,
                actor: order.actor.clone(),
                reason: order.reason.clone(),
                rollout: Some("fix".into()),
                event,
            };
            payloads.push(Bytes::from(codec::encode(&envelope)));
            self.state.apply(&envelope);
        }
        let appended = self.runtime.block_on(self.store.append(before, payloads));
        assert!(matches!(appended, Append::Committed(_)), "{appended:?}");
    }

    pub(crate) fn data(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    fn hash(&self) -> StateHash {
        StateHash {
            sequence: self.state.sequence,
            head: self.store.head().hash.to_string(),
            state_hash: self.state.hash().to_string(),
        }
    }

    /// The only segment.
    fn segment(&self) -> std::path::PathBuf {
        let mut files = std::fs::read_dir(self.folder.path().join("log")).unwrap();
        files.next().unwrap().unwrap().path()
    }

    pub(crate) fn spoil(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.segment()).unwrap();
        change(&mut bytes);
        std::fs::write(self.segment(), bytes).unwrap();
    }
}

/// Where nobody answers.
const NOBODY: &str = "http://127.0.0.1:1";

pub(crate) fn log(arguments: &[&str]) -> Ended {
    patchgate(&[&["log"], arguments, &["--server", NOBODY]].concat(), &[])
}

#[test]
fn the_log_is_shown_without_a_server() {
    let book = Log::of_a_life();
    let shown = log(&["show", "--data", book.data()]);
    assert_eq!((shown.code, &*shown.err, shown.out.lines().count()), (0, "", 5), "{shown:?}");
    assert!(shown.out.contains("stage 2 at 25%: promoted"), "{shown:?}");
    assert_eq!(log(&["show", "--data", book.data(), "--from", "3"]).out.lines().count(), 3);
    assert_eq!(log(&["show", "--data", book.data(), "--rollout", "other"]).out, "no events\n");
    let json: Value = serde_json::from_str(&log(&["show", "--data", book.data(), "-o", "json"]).out).unwrap();
    assert_eq!(
        (&json["head"], &json["items"][3]["type"], &json["items"][3]["actor"]),
        (&json!(4), &json!("aborted"), &json!("eve"))
    );
    assert_eq!(json["items"][3]["hash"], book.hash().head, "the chain's hash of the last event is its head");
}

#[test]
fn a_moment_is_shown_without_a_server() {
    let book = Log::of_a_life();
    let shown = log(&["show", "--data", book.data(), "--at", "2026-01-31T14:03:00Z"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let line = shown.out.lines().last().unwrap();
    for part in ["fix", "canary", "25%", "2026-01-31T14:02:00.000Z", "3 stage_entered", "bob", "because"] {
        assert!(line.contains(part), "{part} in {shown:?}");
    }
    let before = log(&["show", "--data", book.data(), "--at", "2026-01-31T13:59:59Z"]);
    assert!(before.out.contains("there was no rollout"), "{before:?}");
    let other = log(&["show", "--data", book.data(), "--at", "1s", "--rollout", "other"]);
    assert!(other.out.contains("there was no rollout"), "{other:?}");
}

#[test]
fn a_log_is_verified_without_a_server_and_beside_one() {
    let book = Log::of_a_life();
    let alone = log(&["verify", "--data", book.data()]);
    assert_eq!(alone.code, 0, "{alone:?}");
    assert!(alone.out.contains("4 events folded") && alone.out.contains(&book.hash().state_hash), "{alone:?}");
    assert!(alone.err.contains("compared with no server"), "{alone:?}");

    let beside = |hash: StateHash| {
        let api = Api::start(move |_, _| json_response(200, &hash));
        api.run(&["log", "verify", "--data", book.data()])
    };
    let same = beside(book.hash());
    assert_eq!((same.code, &*same.err), (0, ""), "{same:?}");
    assert!(same.out.contains("serves by the same, at 4"), "{same:?}");
    for other in [
        StateHash { state_hash: "0".repeat(64), ..book.hash() },
        StateHash { head: "0".repeat(64), ..book.hash() },
        StateHash { sequence: 9, ..book.hash() },
        StateHash { sequence: 2, ..book.hash() },
    ] {
        let differs = beside(other);
        assert_eq!(differs.code, 1, "{differs:?}");
        assert!(differs.err.contains("is not what the server at"), "{differs:?}");
    }
}

#[test]
fn a_server_that_is_ahead_of_itself_is_compared_where_it_was() {
    let mut book = Log::of_a_life();
    let then = book.hash();
    let plan = (*book.state.rollouts["fix"].plan).clone();
    book.order("15:00:00", "ann", Command::Create { plan: Box::new(plan), start: false, origin: Origin::Api });
    let api = Api::start(move |_, _| json_response(200, &then));
    let verified = api.run(&["log", "verify", "--data", book.data()]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.out.contains("5 events folded") && verified.out.contains("the same, at 4"), "{verified:?}");
    let api = Api::start(|_, _| problem(401, "unauthenticated", "who are you", json!({})));
    let verified = api.run(&["log", "verify", "--data", book.data()]);
    assert!(verified.code == 0 && verified.err.contains("who are you"), "{verified:?}");
}

#[test]
fn damage_is_named_and_what_is_before_it_can_be_saved() {
    let book = Log::of_a_life();
    // Somewhere in the second order's only event.
    let promoted = "promote";
    book.spoil(|bytes| {
        let at = bytes.windows(promoted.len()).position(|window| window == promoted.as_bytes()).unwrap();
        bytes[at] ^= 1;
    });
    for arguments in [&["verify"][..], &["show"], &["prove"]] {
        let ended = log(&[arguments, &["--data", book.data()]].concat());
        assert_eq!((ended.code, &*ended.out), (1, ""), "{ended:?}");
        assert!(
            ended.err.contains("the log is whole up to record 2") && ended.err.contains("export --until 2"),
            "{ended:?}"
        );
    }
    let out = book.folder.path().join("rescued");
    let out = out.to_str().unwrap();
    let saved = log(&["export", "--data", book.data(), "--until", "2", out]);
    assert_eq!(saved.code, 0, "{saved:?}");
    assert!(saved.out.starts_with("events 1 to 2 are in "), "{saved:?}");
    let verified = log(&["verify", "--data", out]);
    assert!(verified.code == 0 && verified.out.contains("2 events folded"), "{verified:?}");
    let again = log(&["export", "--data", book.data(), out]);
    assert!(again.code == 1 && again.err.contains("already has a log"), "{again:?}");
}

#[test]
fn a_torn_end_is_told_and_is_no_damage() {
    let book = Log::of_a_life();
    book.spoil(|bytes| bytes.truncate(bytes.len() - 3));
    let verified = log(&["verify", "--data", book.data(), "-o", "json"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let json: Value = serde_json::from_str(&verified.out).unwrap();
    assert_eq!((&json["torn"], &json["events"]), (&json!(true), &json!(3)));
    assert!(verified.err.contains("the end of the log is torn"), "{verified:?}");
}

#[test]
fn reading_changes_nothing() {
    let book = Log::of_a_life();
    let listing = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut entries: Vec<_> = entries.map(|path| (path.clone(), path.metadata().unwrap().len())).collect();
        entries.sort();
        entries
    };
    let (before, bytes) = (listing(book.folder.path()), std::fs::read(book.segment()).unwrap());
    for arguments in [&["verify"][..], &["show"], &["show", "--at", "1s"], &["prove"]] {
        assert_eq!(log(&[arguments, &["--data", book.data()]].concat()).code, 0, "a log in use is read, too");
    }
    assert_eq!((listing(book.folder.path()), std::fs::read(book.segment()).unwrap()), (before, bytes));
}

#[test]
fn a_proof_has_what_an_auditor_needs() {
    let book = Log::of_a_life();
    let printed: Value = serde_json::from_str(&log(&["prove", "--data", book.data()]).out).unwrap();
    let hash = book.hash();
    assert_eq!((&printed["head"], &printed["state_hash"]), (&json!(hash.head), &json!(hash.state_hash)));
    assert_eq!((&printed["first"], &printed["last"]), (&json!(1), &json!(4)));
    assert_eq!(printed["counts"], json!({"created": 1, "stage_entered": 2, "aborted": 1}));
    let file = book.folder.path().join("proof.json");
    let written = log(&["prove", "--data", book.data(), "-f", file.to_str().unwrap()]);
    assert!(written.code == 0 && written.out.contains("events 1 to 4"), "{written:?}");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(written, printed);
}

#[test]
fn a_directory_without_a_log_is_told() {
    let folder = TempDir::new().unwrap();
    for arguments in [&["verify"][..], &["show"], &["prove"]] {
        let ended = log(&[arguments, &["--data", folder.path().to_str().unwrap()]].concat());
        assert!(ended.code == 1 && ended.err.contains("--data"), "{ended:?}");
    }
}
