//! `rollout list`, `get` and `history`.

use std::ops::ControlFlow;
use std::time::Duration;

use patchgate_admin::api::dto::{Event, Events, Rollout, Rollouts};

use super::super::follow::{News, follow};
use super::super::http::Client;
use super::super::output::Output;
use super::super::render::{self, events, tree};
use super::super::retry::pause;
use super::super::{Failure, now};
use super::{fetch, target};
use crate::cli::rollout::{GetArgs, ListArgs};
use crate::client::http::encode;

/// Items of one page.
const PAGE: usize = 200;

/// Between two looks at all rollouts.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn list(client: &Client, output: &mut Output, args: &ListArgs) -> Result<(), Failure> {
    let mut last = all(client, args.all)?;
    if !args.watch {
        return output.tell(&last, |style| render::list::rollouts(&last.items, now(), style));
    }
    let mut told = String::new();
    loop {
        if output.draws() {
            let text = render::list::rollouts(&last.items, now(), output.style);
            output.draw(&text)?;
        } else {
            // Without a screen, what has changed is a line each; so is a whole document.
            let lines: String = last.items.iter().map(tree::line).collect();
            let new = lines.lines().filter(|line| !told.lines().any(|old| old == *line));
            let new: String = new.map(|line| format!("{line}\n")).collect();
            if !new.is_empty() {
                output.tell_one_of_many(&last, |_| new)?;
            }
            told = lines;
        }
        pause(LOOK);
        match all(client, args.all) {
            Ok(new) => last = new,
            Err(failure) if failure.may_pass() => {
                if !output.draws() {
                    eprintln!("patchgate: {failure}; trying again");
                }
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// All pages as one.
fn all(client: &Client, ended: bool) -> Result<Rollouts, Failure> {
    let state = if ended { "all" } else { "live" };
    let mut all = Rollouts { items: Vec::new(), next: None, sequence: 0 };
    loop {
        let cursor = all.next.as_ref().map(|next| format!("&cursor={}", encode(next))).unwrap_or_default();
        let page: Rollouts = client.get(format!("/v1/rollouts?state={state}&limit={PAGE}{cursor}"))?;
        all.items.extend(page.items);
        all.sequence = page.sequence;
        all.next = page.next;
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

pub(super) fn get(client: &Client, output: &mut Output, args: &GetArgs) -> Result<(), Failure> {
    if !args.watch {
        let rollout = fetch(client, &args.name)?;
        return output.tell(&rollout, |style| tree::rollout(&rollout, now(), style));
    }
    let mut told = Told::default();
    follow(client, &target(&args.name), "rollout", |news| {
        match news {
            News::Now(rollout) => told.now(output, rollout)?,
            News::Lost(why) => told.lost(output, &why)?,
        }
        let ended = told.rollout.as_ref().is_some_and(|rollout| !rollout.live);
        Ok(if ended && args.exit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
}

/// What the one who follows a rollout knows.
#[derive(Debug, Default)]
struct Told {
    rollout: Option<Rollout>,
    line: String,
    /// That the server is away.
    lost: bool,
}

impl Told {
    fn now(&mut self, output: &mut Output, rollout: Rollout) -> Result<(), Failure> {
        self.lost = false;
        if output.draws() {
            let text = tree::rollout(&rollout, now(), output.style);
            output.draw(&text)?;
        } else {
            let line = tree::line(&rollout);
            if output.format != crate::cli::server::Format::Table || line != self.line {
                output.tell_one_of_many(&rollout, |_| line.clone())?;
            }
            self.line = line;
        }
        self.rollout = Some(rollout);
        Ok(())
    }

    fn lost(&mut self, output: &mut Output, why: &str) -> Result<(), Failure> {
        match &self.rollout {
            Some(rollout) if output.draws() => {
                let text = tree::rollout(rollout, now(), output.style);
                output.draw(&format!("{text}the server is away ({why}); trying again\n"))?;
            }
            _ if self.lost => {}
            _ => eprintln!("patchgate: the server is away ({why}); trying again"),
        }
        self.lost = true;
        Ok(())
    }
}

pub(super) fn history(client: &Client, output: &Output, name: &str) -> Result<(), Failure> {
    let events = pages(client, &format!("{}/history?limit={PAGE}", target(name)))?;
    output.tell(&events, |style| events::events(&events.items, style))
}

/// All pages of events as one. `target` has a query already.
pub(in crate::client) fn pages(client: &Client, target: &str) -> Result<Events, Failure> {
    let mut items: Vec<Event> = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let cursor = next.as_ref().map(|next| format!("&cursor={}", encode(next))).unwrap_or_default();
        let page: Events = client.get(format!("{target}{cursor}"))?;
        items.extend(page.items);
        next = page.next;
        if next.is_none() {
            return Ok(Events { items, next, head: page.head });
        }
    }
}
