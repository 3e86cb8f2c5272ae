//! Two operators at once: of each version one of them wins, and the other is told by whom.

use std::sync::Barrier;

use patchgate_testkit::upstream::Upstream;

use super::admin::{Admin, config, rollout};
use super::start;

const ROUNDS: u64 = 200;

#[test]
fn of_two_operators_exactly_one_wins_each_version() {
    let folder = tempfile::tempdir().unwrap();
    let stable = Upstream::named("stable");
    let gateway = start(&config(stable.address, &folder.path().join("data")));
    let ann = Admin::of(&gateway, "ann");
    let created = ann.create(&rollout("fix", stable.address));
    assert_eq!(created.status, 201, "{created:?}");

    let together = Barrier::new(2);
    let operator = |name: &'static str| {
        let admin = Admin::of(&gateway, name);
        let mut answers = Vec::new();
        for _ in 0..ROUNDS {
            let seen = admin.get("/v1/rollouts/fix");
            let order = if seen["state"] == "paused" { "resume" } else { "pause" };
            let version = seen["version"].as_u64().unwrap();
            // Both have seen the same version, and neither looks again before both are answered.
            together.wait();
            answers.push((version, admin.change(&format!("/v1/rollouts/fix/{order}"), version)));
            together.wait();
        }
        answers
    };
    let (ann, bob) = std::thread::scope(|scope| {
        let bob = scope.spawn(|| operator("bob"));
        (operator("ann"), bob.join().unwrap())
    });

    let mut version = 2;
    for ((seen, one), (also, other)) in ann.into_iter().zip(bob) {
        assert_eq!((seen, also), (version, version), "each round changes the version once");
        let (winner, won, lost) = match (one.status, other.status) {
            (200, 412) => ("ann", one.body, other.body),
            (412, 200) => ("bob", other.body, one.body),
            both => panic!("at version {version}: {both:?}"),
        };
        version = won["sequence"].as_u64().unwrap();
        assert_eq!((&lost["code"], &lost["changed_by"]), (&"version_mismatch".into(), &winner.into()), "{lost:#}");
        assert_eq!(lost["version"], version);
    }
}
