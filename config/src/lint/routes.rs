//! Routes that never match, and redirects that lead to themselves.

use std::collections::HashMap;

use crate::problem::{Path, Problems};
use crate::raw::{Config, Redirect};
use crate::routes::covers;
use crate::rules;

/// A route of the file, whoever answers it.
struct Written<'r> {
    /// In lower case; empty: any.
    host: String,
    prefix: &'r str,
    /// The service that it leads to, and its number there; `None`: its number among those that are answered here.
    place: (Option<usize>, usize),
    redirect: Option<&'r Redirect>,
}

pub(super) fn lint(config: &Config, problems: &mut Problems) {
    let services = config.services.iter().flatten().enumerate().flat_map(|(index, service)| {
        let routes = service.routes.iter().flatten().enumerate();
        routes.map(move |(number, route)| {
            Written::new(route.host.as_deref(), route.path_prefix.as_deref(), (Some(index), number), None)
        })
    });
    let local = config.routes.iter().flatten().enumerate().map(|(number, route)| {
        Written::new(route.host.as_deref(), route.path_prefix.as_deref(), (None, number), route.redirect.as_ref())
    });
    let routes: Vec<Written<'_>> = services.chain(local).collect();
    shadowed(&routes, problems);
    loops(&routes, problems);
}

impl<'r> Written<'r> {
    fn new(
        host: Option<&str>,
        prefix: Option<&'r str>,
        place: (Option<usize>, usize),
        redirect: Option<&'r Redirect>,
    ) -> Self {
        Self { host: host.unwrap_or("").to_ascii_lowercase(), prefix: prefix.unwrap_or("/"), place, redirect }
    }

    fn report(&self, rule: &'static rules::Rule, message: &str, help: &str, problems: &mut Problems) {
        let root = Path::ROOT;
        let (service, number) = self.place;
        match service {
            Some(index) => {
                let list = root.key("services");
                problems.at(rule, &list.index(index).key("routes").index(number), message, help);
            }
            None => problems.at(rule, &root.key("routes").index(number), message, help),
        }
    }
}

fn shadowed(routes: &[Written<'_>], problems: &mut Problems) {
    let mut seen: HashMap<(&str, &str), (Option<usize>, usize)> = HashMap::new();
    for route in routes {
        let earlier = *seen.entry((&route.host, route.prefix)).or_insert(route.place);
        if earlier != route.place {
            let earlier = match earlier {
                (Some(service), number) => format!("services[{service}].routes[{number}]"),
                (None, number) => format!("routes[{number}]"),
            };
            let message = format!("this route never matches: {earlier} is the same");
            let help = "remove one of the two, or tell them apart by host or prefix";
            route.report(&rules::SHADOWED_ROUTE, &message, help, problems);
        }
    }
}

/// A redirect that changes nothing but the path loops where the new path is again its own: under its prefix, and under
/// no longer one of the same host.
fn loops(routes: &[Written<'_>], problems: &mut Problems) {
    for route in routes {
        let Some(redirect) = route.redirect else { continue };
        if redirect.scheme.is_some() || redirect.host.is_some() || redirect.port.is_some() {
            continue;
        }
        let Some(path) = redirect.path.as_deref().or(redirect.path_prefix.as_deref()) else { continue };
        let longer = |other: &Written<'_>| {
            other.host == route.host && other.prefix.len() > route.prefix.len() && covers(other.prefix, path)
        };
        if covers(route.prefix, path) && !routes.iter().any(longer) {
            let message = format!("who follows this redirect to {path} comes to it again");
            let help = "lead to a path that another route serves, or name another host, port or scheme";
            route.report(&rules::REDIRECT_LOOP, &message, help, problems);
        }
    }
}
