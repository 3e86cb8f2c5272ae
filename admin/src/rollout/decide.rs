//! Order → events, or why not. Reads, never writes.

use super::Millis;
use super::command::{Command, Context, Order, Role};
use super::event::{Entry, Event, RollbackCause};
use super::plan::{Millionths, Plan};
use super::refusal::Refusal;
use super::state::{Phase, Rollout, State};

/// What a rollout is waiting for, whose next stage could begin by its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// Its hold.
    Hold {
        /// When it is over.
        until: Millis,
    },
    /// Somebody who promotes.
    Person,
    /// What refuses its next stage.
    Refused(Refusal),
}

/// The events that carry out `order`, at least one.
///
/// # Errors
/// If the order is not in the table of [`super`], or a rule forbids it.
pub fn decide(state: &State, order: &Order, context: &Context) -> Result<Vec<Event>, Refusal> {
    if context.require_reason && order.actor.role != Role::System && order.reason.trim().is_empty() {
        return Err(Refusal::ReasonMissing);
    }
    let at = || At::find(state, order, context);
    let event = match &order.command {
        Command::Create { plan, start, origin } => {
            let began = create(state, order, plan, *start, context)?;
            let created = Event::Created { plan: plan.clone(), origin: origin.clone() };
            return Ok(std::iter::once(created).chain(began).collect());
        }
        Command::Promote { full } => at()?.promote(*full)?,
        Command::Pause => at()?.pause()?,
        Command::Resume => at()?.resume()?,
        Command::Approve => at()?.approve(order)?,
        Command::ForceStable { rules } => at()?.live(order, Event::ForceStableChanged { rules: rules.clone() })?,
        Command::Abort => at()?.live(order, Event::Aborted)?,
        Command::RollBack { cause } => at()?.live(order, Event::RolledBack { cause: cause.clone() })?,
        Command::Complete { cause } => at()?.complete(Event::Completed { cause: *cause })?,
        Command::Advance => at()?.advance()?,
        Command::Expire => at()?.expire()?,
    };
    Ok(vec![event])
}

/// When time alone will change `rollout`, if ever.
#[must_use]
pub fn due(rollout: &Rollout) -> Option<Millis> {
    let deadline = match rollout.phase {
        Phase::Pending | Phase::Canary { .. } | Phase::Paused { .. } => Some(rollout.deadline()),
        Phase::Promoted | Phase::Completed | Phase::RolledBack | Phase::Aborted => None,
    };
    [hold_over(rollout), deadline].into_iter().flatten().min()
}

/// What the next stage of a canary waits for; `None` where no stage is to come.
#[must_use]
pub fn waits_for(state: &State, name: &str, rollout: &Rollout, context: &Context) -> Option<Wait> {
    let at = At { state, name, rollout, context };
    match rollout.phase {
        Phase::Pending => Some(at.next(Entry::Promote).err().map_or(Wait::Person, Wait::Refused)),
        Phase::Paused { .. } => Some(Wait::Person),
        Phase::Canary { .. } => Some(match hold_over(rollout) {
            None => Wait::Person,
            Some(until) if context.now < until => Wait::Hold { until },
            Some(until) => at.next(Entry::HoldOver).err().map_or(Wait::Hold { until }, Wait::Refused),
        }),
        Phase::Promoted | Phase::Completed | Phase::RolledBack | Phase::Aborted => None,
    }
}

/// When the hold of the present stage is over and the next begins by itself. The last one's ends in promotion only if
/// it gave the patch to everybody: time alone never goes beyond the plan.
fn hold_over(rollout: &Rollout) -> Option<Millis> {
    let Phase::Canary { stage, since, held_ms } = rollout.phase else { return None };
    let is_last = stage as usize + 1 >= rollout.plan.stages.len();
    if is_last && rollout.plan.exposure_at(stage) != Millionths::ALL {
        return None;
    }
    let hold = rollout.plan.hold_at(stage)?;
    Some(since.saturating_add(hold.saturating_sub(held_ms)))
}

/// The events after `created`.
fn create(state: &State, order: &Order, plan: &Plan, start: bool, context: &Context) -> Result<Option<Event>, Refusal> {
    is_sound(plan)?;
    let name = &order.rollout;
    if let Some(before) = state.rollouts.get(name).filter(|before| before.phase.is_live()) {
        return Err(Refusal::NameTaken { name: name.clone(), state: before.phase.name() });
    }
    for patch in &plan.patches {
        if !context.services.contains_key(&patch.service) {
            let known = context.services.keys().cloned().collect();
            return Err(Refusal::UnknownService { service: patch.service.clone(), known });
        }
        let same_group = |(_, other): &(&str, &Rollout)| {
            other.plan.group == plan.group && other.plan.patches_service(&patch.service)
        };
        if let Some((other, _)) = state.live().find(same_group) {
            return Err(Refusal::GroupTaken {
                service: patch.service.clone(),
                group: plan.group.clone(),
                other: other.to_owned(),
            });
        }
    }
    let exposure = plan.exposure_at(0);
    // What needs a second person from its first stage on waits for that person in `pending`.
    if !start || plan.needs_approval(exposure) {
        return Ok(None);
    }
    fits(state, name, plan, exposure, context)?;
    Ok(Some(Event::StageEntered { stage: 0, exposure, entry: Entry::Start }))
}

fn is_sound(plan: &Plan) -> Result<(), Refusal> {
    let invalid = |what: &str| Err(Refusal::Invalid { what: what.to_owned() });
    let services: std::collections::BTreeSet<_> = plan.patches.iter().map(|patch| &patch.service).collect();
    if plan.patches.is_empty() || plan.patches.iter().any(|patch| patch.endpoints.is_empty()) {
        return invalid("a rollout patches at least one service, each with at least one endpoint");
    }
    if services.len() < plan.patches.len() {
        return invalid("a rollout patches a service once; merge the patches of the same service");
    }
    if !plan.stages.is_sorted_by(|before, after| before.exposure < after.exposure) {
        return invalid("the percentages of stages rise; order them");
    }
    if plan.stages.iter().any(|stage| stage.exposure > Millionths::ALL) {
        return invalid("a stage gives at most 100%");
    }
    if plan.deadline_ms == 0 || plan.stages.iter().any(|stage| stage.hold_ms == Some(0)) {
        return invalid("deadlines and holds last at least a millisecond; leave a hold out to wait for a person");
    }
    Ok(())
}

/// Whether `plan` may have `exposure` beside the service's other rollouts.
fn fits(state: &State, name: &str, plan: &Plan, exposure: Millionths, context: &Context) -> Result<(), Refusal> {
    if !plan.has_percent() {
        return Ok(());
    }
    for patch in &plan.patches {
        let cap = context.services.get(&patch.service).copied().unwrap_or(Millionths::ALL);
        let others: Vec<(String, Millionths)> = state
            .live()
            .filter(|(other, rollout)| *other != name && rollout.plan.patches_service(&patch.service))
            .map(|(other, rollout)| (other.to_owned(), rollout.taken()))
            .filter(|(_, taken)| taken.0 > 0)
            .collect();
        let asked = others.iter().fold(exposure.0, |sum, (_, taken)| sum.saturating_add(taken.0));
        if asked > cap.0 {
            let service = patch.service.clone();
            return Err(Refusal::ExposureCap { service, asked: Millionths(asked), cap, others });
        }
    }
    Ok(())
}

/// One rollout among the others.
struct At<'a> {
    state: &'a State,
    name: &'a str,
    rollout: &'a Rollout,
    context: &'a Context,
}

impl<'a> At<'a> {
    fn find(state: &'a State, order: &'a Order, context: &'a Context) -> Result<Self, Refusal> {
        let name = &order.rollout;
        let rollout = state.rollouts.get(name).ok_or_else(|| Refusal::NotFound { name: name.clone() })?;
        match order.if_version {
            Some(sent) if sent != rollout.version => Err(Refusal::VersionMismatch {
                name: name.clone(),
                sent,
                actual: rollout.version,
                by: rollout.changed.by.clone(),
                event: rollout.changed.event.replace('_', " "),
            }),
            _ => Ok(Self { state, name, rollout, context }),
        }
    }

    /// The stage after the present one, or promotion after the last.
    fn next(&self, entry: Entry) -> Result<Event, Refusal> {
        let stage = self.rollout.phase.stage().map_or(0, |stage| stage.saturating_add(1));
        let began = self.rollout.phase != Phase::Pending;
        if began && stage as usize >= self.rollout.plan.stages.len() {
            return self.everybody(false);
        }
        let exposure = self.rollout.plan.exposure_at(stage);
        self.may_have(exposure)?;
        Ok(Event::StageEntered { stage, exposure, entry })
    }

    fn everybody(&self, full: bool) -> Result<Event, Refusal> {
        self.may_have(Millionths::ALL)?;
        Ok(Event::Promoted { exposure: Millionths::ALL, full })
    }

    fn may_have(&self, exposure: Millionths) -> Result<(), Refusal> {
        let plan = &self.rollout.plan;
        if let Some(above) = plan.approval_above
            && plan.needs_approval(exposure)
            && self.rollout.approved_by.is_none()
        {
            return Err(Refusal::ApprovalNeeded {
                name: self.name.to_owned(),
                exposure,
                above,
                creator: self.rollout.created.by.name.clone(),
            });
        }
        fits(self.state, self.name, plan, exposure, self.context)
    }

    fn promote(&self, full: bool) -> Result<Event, Refusal> {
        match self.rollout.phase {
            Phase::Pending | Phase::Canary { .. } | Phase::Paused { .. } if full => self.everybody(true),
            Phase::Pending | Phase::Canary { .. } | Phase::Paused { .. } => self.next(Entry::Promote),
            _ => Err(self.wrong("promote")),
        }
    }

    fn pause(&self) -> Result<Event, Refusal> {
        let Phase::Canary { stage, since, held_ms } = self.rollout.phase else { return Err(self.wrong("pause")) };
        let held_ms = held_ms.saturating_add(self.context.now.saturating_sub(since));
        Ok(Event::Paused { stage, held_ms })
    }

    fn resume(&self) -> Result<Event, Refusal> {
        let Phase::Paused { stage, .. } = self.rollout.phase else { return Err(self.wrong("resume")) };
        Ok(Event::Resumed { stage })
    }

    fn approve(&self, order: &Order) -> Result<Event, Refusal> {
        if !self.rollout.phase.is_live() || self.rollout.phase == Phase::Promoted {
            return Err(self.wrong("approve"));
        }
        if self.rollout.created.by.name == order.actor.name {
            return Err(Refusal::OwnApproval { name: self.name.to_owned(), actor: order.actor.name.clone() });
        }
        Ok(Event::Approved)
    }

    fn live(&self, order: &Order, event: Event) -> Result<Event, Refusal> {
        if self.rollout.phase.is_live() { Ok(event) } else { Err(self.wrong(order.command.name())) }
    }

    fn complete(&self, event: Event) -> Result<Event, Refusal> {
        if self.rollout.phase == Phase::Promoted { Ok(event) } else { Err(self.wrong("complete")) }
    }

    fn advance(&self) -> Result<Event, Refusal> {
        match hold_over(self.rollout) {
            None => Err(self.wrong("advance")),
            Some(at) if self.context.now < at => Err(Refusal::NotDue { name: self.name.to_owned(), at }),
            Some(_) => self.next(Entry::HoldOver),
        }
    }

    fn expire(&self) -> Result<Event, Refusal> {
        let at = self.rollout.deadline();
        match self.rollout.phase {
            Phase::Pending | Phase::Canary { .. } | Phase::Paused { .. } if self.context.now >= at => {
                Ok(Event::RolledBack { cause: RollbackCause::Deadline })
            }
            Phase::Pending | Phase::Canary { .. } | Phase::Paused { .. } => {
                Err(Refusal::NotDue { name: self.name.to_owned(), at })
            }
            _ => Err(self.wrong("expire")),
        }
    }

    fn wrong(&self, command: &'static str) -> Refusal {
        let help = match self.rollout.phase {
            Phase::Pending => "promote begins its first stage, abort ends it",
            Phase::Canary { .. } => "promote, pause and abort are",
            Phase::Paused { .. } => "resume, promote and abort are",
            Phase::Promoted => "complete it once stable runs the patch, or abort it",
            Phase::Completed | Phase::RolledBack | Phase::Aborted => "it has ended; create a new one",
        };
        Refusal::WrongState { name: self.name.to_owned(), state: self.rollout.phase.name(), command, help }
    }
}
