mod random;

use super::invariants::{follows, held};
use super::*;

const NODE: &str = "test";
const MINUTE: Millis = 60_000;

/// A log being written: orders in, events applied, every invariant checked on the way.
#[derive(Debug, Clone, Default)]
struct Log {
    state: State,
    clock: Hlc,
    context: Context,
    events: Vec<Envelope>,
}

impl Log {
    fn new(services: &[(&str, u32)]) -> Self {
        let services = services.iter().map(|(name, cap)| ((*name).to_owned(), Millionths(*cap))).collect();
        Self { context: Context { now: 1_000, services, require_reason: false }, ..Self::default() }
    }

    fn order(&mut self, order: &Order) -> Result<Vec<Event>, Refusal> {
        let before = self.state.clone();
        let events = decide(&self.state, order, &self.context)?;
        assert!(!events.is_empty(), "an order that is carried out says so");
        for event in &events {
            self.clock = self.clock.next(self.context.now, NODE);
            let created = matches!(event, Event::Created { .. });
            let known = self.state.rollouts.get(&order.rollout).filter(|_| !created);
            let envelope = Envelope {
                v: Envelope::VERSION,
                clock: self.clock.clone(),
                cause: known.map(|rollout| rollout.version),
                command: order.id.clone(),
                request: None,
                actor: order.actor.clone(),
                reason: order.reason.clone(),
                rollout: Some(order.rollout.clone()),
                event: event.clone(),
            };
            let was = self.state.clone();
            follows(&was, &envelope).unwrap_or_else(|violation| panic!("{violation}: {envelope:?}"));
            self.state.apply(&envelope);
            held(&was, &envelope, &self.state).unwrap_or_else(|violation| panic!("{violation}: {envelope:?}"));
            self.events.push(envelope);
        }
        let is_end = |rollout: &Rollout| !rollout.phase.is_live();
        for (name, rollout) in before.rollouts.iter().filter(|(_, rollout)| is_end(rollout)) {
            let created = matches!(events[0], Event::Created { .. }) && *name == order.rollout;
            assert!(created || self.state.rollouts[name] == *rollout, "an end stays as it is");
        }
        Ok(events)
    }

    fn tell(&mut self, who: &str, rollout: &str, command: Command) -> Result<Vec<Event>, Refusal> {
        self.order(&order(who, rollout, command))
    }

    fn phase(&self, rollout: &str) -> Phase {
        self.state.rollouts[rollout].phase
    }

    fn exposure(&self, rollout: &str) -> Millionths {
        self.state.rollouts[rollout].exposure()
    }
}

fn order(who: &str, rollout: &str, command: Command) -> Order {
    let actor = Actor { name: who.to_owned(), role: Role::Operator };
    Order { id: "c".into(), rollout: rollout.to_owned(), command, actor, reason: String::new(), if_version: None }
}

fn plan(group: &str, services: &[&str], stages: &[(u32, Option<Millis>)]) -> Plan {
    let patch = |service: &&str| Patch {
        service: (*service).to_owned(),
        version: "v2".into(),
        endpoints: vec![([127, 0, 0, 1], 9).into()],
        pin_version: false,
        may_mark: true,
    };
    let stage = |(percent, hold_ms): &(u32, Option<Millis>)| Stage {
        exposure: Millionths(percent * 10_000),
        hold_ms: *hold_ms,
    };
    Plan {
        group: group.to_owned(),
        patches: services.iter().map(patch).collect(),
        force_stable: Vec::new(),
        assign: vec![Rule::Percent(Key::Cookie("uid".into()))],
        stages: stages.iter().map(stage).collect(),
        gates: Gates::default(),
        on_fail: OnFail::Rollback,
        deadline_ms: 7 * 24 * 60 * MINUTE,
        approval_above: None,
        on_withdraw: OnWithdraw::Finish,
    }
}

fn create(plan: Plan) -> Command {
    Command::Create { plan: Box::new(plan), start: true, origin: Origin::Api }
}

fn advance(rollout: &str) -> Order {
    Order { actor: Actor::controller(), ..order("", rollout, Command::Advance) }
}

#[test]
fn a_rollout_goes_its_stages_by_time_and_is_completed_by_a_person() {
    let mut log = Log::new(&[("shop", 1_000_000)]);
    let stages = [(1, Some(5 * MINUTE)), (25, Some(10 * MINUTE)), (100, Some(MINUTE))];
    log.tell("ann", "fix", create(plan("g", &["shop"], &stages))).unwrap();
    assert_eq!(log.exposure("fix"), Millionths(10_000));
    log.context.now += 5 * MINUTE - 1;
    assert!(matches!(log.order(&advance("fix")), Err(Refusal::NotDue { .. })));
    for (wait, percent) in [(1, 25), (10 * MINUTE, 100)] {
        log.context.now += wait;
        assert_eq!(due(&log.state.rollouts["fix"]), Some(log.context.now));
        log.order(&advance("fix")).unwrap();
        assert_eq!(log.exposure("fix"), Millionths(percent * 10_000));
    }
    log.context.now += MINUTE;
    log.order(&advance("fix")).unwrap();
    assert_eq!(log.phase("fix"), Phase::Promoted);
    assert_eq!(due(&log.state.rollouts["fix"]), None, "what everybody has is not withdrawn by time");
    log.tell("ann", "fix", Command::Complete { cause: Completion::Told }).unwrap();
    assert_eq!((log.phase("fix"), log.exposure("fix")), (Phase::Completed, Millionths(0)));
}

#[test]
fn time_alone_never_goes_beyond_the_plan() {
    let mut log = Log::new(&[("shop", 1_000_000)]);
    log.tell("ann", "fix", create(plan("g", &["shop"], &[(10, Some(MINUTE)), (25, Some(MINUTE))]))).unwrap();
    log.context.now += MINUTE;
    log.order(&advance("fix")).unwrap();
    log.context.now += 100 * MINUTE;
    assert!(matches!(log.order(&advance("fix")), Err(Refusal::WrongState { .. })));
    let rollout = &log.state.rollouts["fix"];
    assert_eq!(waits_for(&log.state, "fix", rollout, &log.context), Some(Wait::Person));
    log.tell("ann", "fix", Command::Promote { full: false }).unwrap();
    assert_eq!(log.exposure("fix"), Millionths::ALL);
}

#[test]
fn a_pause_stops_the_hold_and_a_resume_goes_on_with_it() {
    let mut log = Log::new(&[("shop", 1_000_000)]);
    log.tell("ann", "fix", create(plan("g", &["shop"], &[(1, Some(10 * MINUTE)), (50, None)]))).unwrap();
    log.context.now += 4 * MINUTE;
    log.tell("ann", "fix", Command::Pause).unwrap();
    log.context.now += 60 * MINUTE;
    assert!(matches!(log.order(&advance("fix")), Err(Refusal::WrongState { .. })));
    assert_eq!(log.exposure("fix"), Millionths(10_000));
    log.tell("ann", "fix", Command::Resume).unwrap();
    assert_eq!(due(&log.state.rollouts["fix"]), Some(log.context.now + 6 * MINUTE));
}

#[test]
fn abort_is_accepted_in_every_state_that_is_not_an_end_and_in_no_other() {
    let begun = |steps: &[Command]| {
        let mut log = Log::new(&[("shop", 1_000_000)]);
        let plan = plan("g", &["shop"], &[(1, None), (50, None)]);
        log.tell("ann", "fix", Command::Create { plan: Box::new(plan), start: false, origin: Origin::Api }).unwrap();
        for step in steps {
            log.tell("ann", "fix", step.clone()).unwrap();
        }
        log
    };
    let promote = Command::Promote { full: false };
    let full = Command::Promote { full: true };
    let live: [&[Command]; 5] = [
        &[],
        std::slice::from_ref(&promote),
        &[promote.clone(), Command::Pause],
        &[promote.clone(), promote.clone()],
        std::slice::from_ref(&full),
    ];
    for steps in live {
        let mut log = begun(steps);
        log.tell("bob", "fix", Command::Abort).unwrap();
        assert_eq!((log.phase("fix"), log.exposure("fix")), (Phase::Aborted, Millionths(0)));
    }
    let verdict = RollbackCause::Verdict { finding: "errors".into() };
    let complete = Command::Complete { cause: Completion::Told };
    for end in [vec![Command::Abort], vec![Command::RollBack { cause: verdict }], vec![full, complete]] {
        let mut log = begun(&end);
        let refused = log.tell("bob", "fix", Command::Abort).unwrap_err();
        assert!(matches!(refused, Refusal::WrongState { .. }), "{refused}");
    }
}

#[test]
fn a_patch_set_changes_in_one_event_and_takes_of_every_service() {
    let mut log = Log::new(&[("shop", 1_000_000), ("cart", 300_000)]);
    log.tell("ann", "set", create(plan("g", &["shop", "cart"], &[(20, None), (50, None)]))).unwrap();
    let refused = log.tell("ann", "set", Command::Promote { full: false }).unwrap_err();
    let Refusal::ExposureCap { service, asked, cap, others } = refused else { panic!("{refused}") };
    assert_eq!((service.as_str(), asked, cap, others.len()), ("cart", Millionths(500_000), Millionths(300_000), 0));
    let refused = log.tell("ann", "other", create(plan("h", &["cart"], &[(11, None)]))).unwrap_err();
    assert!(refused.to_string().contains("`set` 20%"), "{refused}");
    assert_eq!(log.tell("bob", "set", Command::Abort).unwrap(), [Event::Aborted]);
}

#[test]
fn a_group_of_a_service_is_one_rollouts_and_the_refusal_names_it() {
    let mut log = Log::new(&[("shop", 1_000_000), ("cart", 1_000_000)]);
    log.tell("ann", "one", create(plan("g", &["shop"], &[(1, None)]))).unwrap();
    let refused = log.tell("ann", "two", create(plan("g", &["cart", "shop"], &[(1, None)]))).unwrap_err();
    assert_eq!(refused, Refusal::GroupTaken { service: "shop".into(), group: "g".into(), other: "one".into() });
    log.tell("ann", "two", create(plan("g", &["cart"], &[(1, None)]))).unwrap();
    log.tell("ann", "one", Command::Abort).unwrap();
    log.tell("ann", "one", create(plan("g", &["shop"], &[(2, None)]))).unwrap();
    assert_eq!(log.exposure("one"), Millionths(20_000));
}

#[test]
fn stages_above_the_share_need_somebody_other_than_the_creator() {
    let mut log = Log::new(&[("shop", 1_000_000)]);
    let mut asked = plan("g", &["shop"], &[(1, Some(MINUTE)), (50, None)]);
    asked.approval_above = Some(Millionths(100_000));
    log.tell("ann", "fix", create(asked.clone())).unwrap();
    log.context.now += MINUTE;
    assert!(matches!(log.order(&advance("fix")), Err(Refusal::ApprovalNeeded { .. })));
    let waits = waits_for(&log.state, "fix", &log.state.rollouts["fix"], &log.context);
    assert!(matches!(waits, Some(Wait::Refused(Refusal::ApprovalNeeded { .. }))), "{waits:?}");
    assert!(matches!(log.tell("ann", "fix", Command::Promote { full: true }), Err(Refusal::ApprovalNeeded { .. })));
    assert!(matches!(log.tell("ann", "fix", Command::Approve), Err(Refusal::OwnApproval { .. })));
    log.tell("bob", "fix", Command::Approve).unwrap();
    log.order(&advance("fix")).unwrap();
    assert_eq!(log.exposure("fix"), Millionths(500_000));

    asked.approval_above = Some(Millionths(0));
    asked.group = "h".into();
    log.tell("ann", "careful", create(asked)).unwrap();
    assert_eq!(log.phase("careful"), Phase::Pending, "its very first stage needs the second person");
}

#[test]
fn a_stale_version_is_refused_with_who_was_first() {
    let mut log = Log::new(&[("shop", 1_000_000)]);
    log.tell("ann", "fix", create(plan("g", &["shop"], &[(1, None), (2, None)]))).unwrap();
    let seen = log.state.rollouts["fix"].version;
    log.tell("bob", "fix", Command::Pause).unwrap();
    let stale = Order { if_version: Some(seen), ..order("ann", "fix", Command::Resume) };
    let refused = log.order(&stale).unwrap_err().to_string();
    assert!(refused.contains("`bob` paused it") && refused.contains("you sent 2"), "{refused}");
}

#[test]
fn nobody_ends_it_so_the_deadline_does_unless_it_is_promoted() {
    let mut log = Log::new(&[("shop", 1_000_000)]);
    log.tell("ann", "fix", create(plan("g", &["shop"], &[(1, None)]))).unwrap();
    let at = log.state.rollouts["fix"].deadline();
    assert_eq!(due(&log.state.rollouts["fix"]), Some(at));
    let expire = Order { actor: Actor::controller(), ..order("", "fix", Command::Expire) };
    assert!(matches!(log.order(&expire), Err(Refusal::NotDue { .. })));
    log.context.now = at;
    assert_eq!(log.order(&expire).unwrap(), [Event::RolledBack { cause: RollbackCause::Deadline }]);
    assert_eq!(log.phase("fix"), Phase::RolledBack);
}

#[test]
fn a_reason_can_be_demanded_of_people_and_is_not_of_patchgate_itself() {
    let mut log = Log::new(&[("shop", 1_000_000)]);
    log.context.require_reason = true;
    let mut order = order("ann", "fix", create(plan("g", &["shop"], &[(1, Some(1)), (2, None)])));
    assert_eq!(log.order(&order).unwrap_err(), Refusal::ReasonMissing);
    order.reason = "NPE at checkout".into();
    log.order(&order).unwrap();
    log.context.now += 1;
    log.order(&advance("fix")).unwrap();
}

#[test]
fn an_event_with_a_clock_or_a_cause_that_contradicts_the_log_is_refused() {
    let mut log = Log::new(&[("shop", 1_000_000)]);
    log.tell("ann", "fix", create(plan("g", &["shop"], &[(1, None), (2, None)]))).unwrap();
    let good = Envelope {
        clock: log.clock.next(log.context.now, NODE),
        cause: Some(2),
        event: Event::Paused { stage: 0, held_ms: 0 },
        ..log.events[1].clone()
    };
    assert_eq!(follows(&log.state, &good), Ok(()));
    let number = |envelope: Envelope| follows(&log.state, &envelope).unwrap_err().number;
    assert_eq!(number(Envelope { clock: log.clock.clone(), ..good.clone() }), 1);
    assert_eq!(number(Envelope { cause: Some(1), ..good.clone() }), 2);
    assert_eq!(number(Envelope { event: Event::Resumed { stage: 0 }, ..good.clone() }), 3);
    assert_eq!(number(Envelope { event: Event::Paused { stage: 1, held_ms: 0 }, ..good.clone() }), 3);
    let early = Event::StageEntered { stage: 1, exposure: Millionths(30_000), entry: Entry::Promote };
    assert_eq!(number(Envelope { event: early, ..good.clone() }), 4);
    log.tell("ann", "fix", Command::Abort).unwrap();
    let late = Envelope { cause: Some(3), clock: log.clock.next(log.context.now, NODE), ..good };
    assert_eq!(follows(&log.state, &late).unwrap_err().number, 5);
}

#[test]
fn large_numbers_survive_the_bytes() {
    let mut log = Log::new(&[("shop", 1_000_000)]);
    let mut long = plan("g", &["shop"], &[(1, Some((1 << 53) + 1))]);
    long.deadline_ms = u64::MAX;
    log.tell("ann", "fix", create(long)).unwrap();
    for envelope in &log.events {
        assert_eq!(codec::decode(&codec::encode(envelope)).unwrap(), *envelope);
    }
    assert_eq!(log.state.rollouts["fix"].deadline(), u64::MAX);
}
