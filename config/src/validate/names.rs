//! What holds between pieces: unique names and addresses, references that lead somewhere.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use crate::near::suggest;
use crate::problem::{Path, Problems};
use crate::raw::Config;
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

/// Notes every rollout whose service is not in the file, and every second one of a service and group.
pub(super) fn references(config: &Config, problems: &mut Problems) {
    let services = config.services.as_deref().unwrap_or_default();
    let names: Option<Vec<&str>> = services.iter().map(|service| service.name.as_deref()).collect();
    let list = Path::ROOT.key("rollouts");
    let mut groups: HashMap<(&str, &str), usize> = HashMap::new();
    for (index, rollout) in config.rollouts.iter().flatten().enumerate() {
        let Some(service) = rollout.service.as_deref() else { continue };
        // Where a service has no name yet, it may be the one that is meant.
        if let Some(names) = names.as_ref().filter(|names| !names.is_empty())
            && !names.contains(&service)
        {
            let message = format!("there is no service `{service}`");
            let help = suggest(service, names, "name one of the services");
            problems.at(&rules::UNKNOWN_SERVICE, &list.index(index).key("service"), message, help);
        }
        let Some(group) = rollout.group.as_deref() else { continue };
        let earlier = *groups.entry((service, group)).or_insert(index);
        if earlier != index {
            let message = format!("service `{service}` already has a rollout in group `{group}`, rollouts[{earlier}]");
            let help =
                "a mark names a group, so it must lead to one patch: use another group, or end the other rollout";
            problems.at(&rules::ROLLOUT_CONFLICT, &list.index(index).key("group"), message, help);
        }
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
