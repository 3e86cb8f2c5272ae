//! What holds between pieces: unique names and addresses, references that lead somewhere.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use crate::near::suggest;
use crate::problem::{Path, Problems};
use crate::raw::Rollout;
use crate::rules;

/// Where the health endpoints are served if nothing is said.
pub(super) const DEFAULT_HEALTH: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9902);

/// Notes every name that an earlier entry of `list`, which is at `at`, has.
pub(super) fn unique<'a>(
    list: &str,
    names: impl Iterator<Item = Option<&'a str>>,
    at: &Path<'_>,
    problems: &mut Problems,
) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, name) in names.enumerate() {
        let Some(name) = name else { continue };
        let earlier = *first.entry(name).or_insert(index);
        if earlier != index {
            let message = format!("{list}[{earlier}] is already named `{name}`");
            problems.at(&rules::DUPLICATE_NAME, &at.index(index).key("name"), message, "give each a name of its own");
        }
    }
}

/// Notes every patch whose service is not one of `services`, every second one of a service and group, and every set
/// whose backend would have the name of a stable one. `services`: `None` if they are not all known.
pub(super) fn references(list: &[Rollout], services: Option<&[&str]>, at: &Path<'_>, problems: &mut Problems) {
    let mut groups: HashMap<(&str, &str), usize> = HashMap::new();
    for (index, rollout) in list.iter().enumerate() {
        let at = at.index(index);
        let name = rollout.name.as_deref();
        let shares_name = name.is_some_and(|name| services.is_some_and(|services| services.contains(&name)));
        let is_set = rollout.patches.as_ref().is_some_and(|patches| patches.len() > 1);
        rollout.each_patch(&at, |patch, place| {
            let Some(service) = patch.service.as_deref() else { return };
            if let Some(services) = services.filter(|services| !services.contains(&service)) {
                let message = format!("there is no service `{service}`");
                let help = suggest(service, services, "name one of the services");
                problems.at(&rules::UNKNOWN_SERVICE, &place.key("service"), message, help);
            }
            if let Some(name) = name.filter(|_| shares_name && is_set && service == "stable") {
                let message =
                    format!("this set's backend for `stable` has the name of `{name}`'s own, `{name}/stable`");
                problems.at(&rules::DUPLICATE_NAME, &at.key("name"), message, "give the rollout a name of its own");
            }
            let Some(group) = rollout.group.as_deref() else { return };
            let earlier = *groups.entry((service, group)).or_insert(index);
            if earlier != index {
                let message =
                    format!("service `{service}` already has a rollout in group `{group}`, rollouts[{earlier}]");
                let help =
                    "a mark names a group, so it must lead to one patch: use another group, or end the other rollout";
                problems.at(&rules::ROLLOUT_CONFLICT, &at.key("group"), message, help);
            }
        });
    }
}

/// Addresses that are listened on, and by whom.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    taken: HashMap<SocketAddr, String>,
}

impl Addresses {
    /// Takes an address, or notes who has it. Port 0, chosen by the system, is never taken.
    pub(super) fn take(&mut self, address: Option<&str>, owner: String, at: &Path<'_>, problems: &mut Problems) {
        let Some(address) = address.and_then(|text| text.parse::<SocketAddr>().ok()) else { return };
        if address.port() == 0 {
            return;
        }
        if let Some(other) = self.taken.get(&address) {
            let message = format!("{address} is also listened on by {other}");
            problems.at(&rules::ADDRESS_IN_USE, at, message, format!("give {owner} an address of its own"));
            return;
        }
        self.taken.insert(address, owner);
    }
}
