//! Random orders and events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Any order about any of a few rollouts, most of them at least possible.
fn any_order() -> impl Strategy<Value = (Order, Millis)> {
    let names = prop::sample::select(vec!["a", "b", "c"]);
    let who = prop::sample::select(vec!["ann", "bob", "controller"]);
    let stages = prop::collection::btree_map(0u32..=100, prop::option::of(1u64..20), 0..4);
    let services = prop::sample::subsequence(vec!["shop", "cart", "mail"], 1..=3);
    let planned = (prop::sample::select(vec!["g", "h"]), services, stages, any::<bool>(), prop::option::of(0u32..60))
        .prop_map(|(group, services, stages, percent, above)| {
            let stages: Vec<_> = stages.into_iter().collect();
            let mut plan = plan(group, &services, &stages);
            plan.deadline_ms = 200;
            plan.approval_above = above.map(|percent| Millionths(percent * 10_000));
            if !percent {
                plan.assign.clear();
            }
            plan
        });
    let command = prop_oneof![
        4 => (planned, any::<bool>()).prop_map(|(plan, start)| Command::Create {
            plan: Box::new(plan), start, origin: Origin::Api
        }),
        4 => prop::bool::weighted(0.2).prop_map(|full| Command::Promote { full }),
        2 => Just(Command::Pause),
        2 => Just(Command::Resume),
        2 => Just(Command::Approve),
        1 => Just(Command::ForceStable { rules: vec![Condition::Address("10.0.0.0/8".into())] }),
        1 => Just(Command::Abort),
        1 => Just(Command::Complete { cause: Completion::Told }),
        4 => Just(Command::Advance),
        1 => Just(Command::RollBack { cause: RollbackCause::Verdict { finding: "errors".into() } }),
        2 => Just(Command::Expire),
    ];
    (names, who, command, 0u64..40, prop::option::weighted(0.1, 0u64..30)).prop_map(
        |(rollout, who, command, wait, if_version)| (Order { if_version, ..order(who, rollout, command) }, wait),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Every invariant is checked by `Log::order` after every event.
    #[test]
    fn random_orders_keep_every_invariant_and_any_prefix_replays_alike(
        orders in prop::collection::vec(any_order(), 1..40),
        back in prop::collection::vec(0u64..100, 0..3),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut log = Log::new(&[("shop", 1_000_000), ("cart", 600_000), ("mail", 1_000_000)]);
        let mut states = vec![log.state.clone()];
        let caps: BTreeMap<String, Millionths> = log.context.services.clone();
        for (index, (order, wait)) in orders.iter().enumerate() {
            log.context.now += wait;
            // A wall clock that steps back now and then.
            if let Some(back) = back.get(index % 7) {
                log.context.now = log.context.now.saturating_sub(*back);
            }
            let before = log.events.len();
            let _ = log.order(order);
            for envelope in &log.events[before..] {
                let mut next = states.last().unwrap().clone();
                next.apply(envelope);
                states.push(next);
            }
            for (service, cap) in &caps {
                let taken: u32 = log.state.live()
                    .filter(|(_, rollout)| rollout.plan.patches_service(service))
                    .map(|(_, rollout)| rollout.taken().0)
                    .sum();
                prop_assert!(taken <= cap.0, "{service} gives {taken}");
            }
        }
        let cut = cut.index(states.len());
        let mut replayed = State::default();
        for envelope in &log.events[..cut] {
            replayed.apply(&codec::decode(&codec::encode(envelope)).unwrap());
        }
        prop_assert_eq!(&replayed, &states[cut]);
        prop_assert_eq!(replayed.hash(), states[cut].hash());
    }

    /// `apply` is total: events in any order, fitting or not, never panic, and an end never gets exposure back.
    #[test]
    fn apply_takes_any_events_in_any_order(picks in prop::collection::vec(any_order(), 1..30), swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..20)) {
        let mut log = Log::new(&[("shop", 1_000_000), ("cart", 1_000_000), ("mail", 1_000_000)]);
        for (order, wait) in &picks {
            log.context.now += wait;
            let _ = log.order(order);
        }
        let mut events = log.events.clone();
        if !events.is_empty() {
            for (from, to) in &swaps {
                let (from, to) = (from.index(events.len()), to.index(events.len()));
                events.swap(from, to);
            }
        }
        let mut state = State::default();
        for envelope in &events {
            let before = state.clone();
            state.apply(envelope);
            prop_assert!(held(&before, envelope, &state).is_ok());
        }
        prop_assert_eq!(state.sequence, events.len() as u64);
    }
}
