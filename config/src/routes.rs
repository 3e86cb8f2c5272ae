//! Host and path to service, or to an answer of our own: the compiled route table and its look-up.
//!
//! Exact host, else the longest `*.suffix`, else the routes of any host; then the longest path prefix, by whole
//! segments (`/pay` matches `/pay` and `/pay/now`, not `/payments`), as the Gateway API's `PathPrefix` does. A look-up
//! costs one hash per label of the host and one binary search, whatever the number of hosts.

use std::collections::HashMap;

use crate::snapshot::{LocalAnswer, PathChange, ServiceId};

/// All routes of a snapshot.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: HashMap<Box<str>, PathTable>,
    /// Keyed by what follows `*`, with its dot: `.example.com`.
    suffixes: HashMap<Box<str>, PathTable>,
    any: PathTable,
    entries: Vec<Entry>,
}

/// What is known of a route.
#[derive(Debug)]
struct Entry {
    name: Box<str>,
    end: End,
}

/// What becomes of a route's requests.
#[derive(Debug, Clone)]
pub enum End {
    /// They go to a service's backends, under another path if one is given.
    Service(ServiceId, Option<PathChange>),
    /// They are answered here.
    Local(Box<LocalAnswer>),
}

/// A route of one [`RouteTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteId(u32);

/// What a route matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteMatch {
    /// Where the route leads; `None`: it is answered here.
    pub service: Option<ServiceId>,
    /// Which route it was.
    pub route: RouteId,
}

/// A host pattern of the configuration, lower case and without port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This very host.
    Exact(String),
    /// Every host that ends in this text, which begins with a dot.
    Suffix(String),
    /// Every host.
    Any,
}

/// The prefixes of one host, sorted; each knows the longest other that is a prefix of it.
#[derive(Debug, Default)]
struct PathTable {
    entries: Vec<PathEntry>,
}

#[derive(Debug)]
struct PathEntry {
    prefix: Box<str>,
    parent: Option<u32>,
    found: RouteMatch,
}

// === impl RouteTable ===

impl RouteTable {
    /// Builds the table. Of several routes with one host and prefix the first wins.
    #[must_use]
    pub fn build(routes: impl IntoIterator<Item = (HostPattern, String, End)>) -> Self {
        let mut table = Self::default();
        for (host, prefix, end) in routes {
            let name = match &host {
                HostPattern::Exact(host) => format!("{host}{prefix}"),
                HostPattern::Suffix(suffix) => format!("*{suffix}{prefix}"),
                HostPattern::Any => prefix.clone(),
            };
            let paths = match host {
                HostPattern::Exact(host) => table.exact.entry(host.into()).or_default(),
                HostPattern::Suffix(suffix) => table.suffixes.entry(suffix.into()).or_default(),
                HostPattern::Any => &mut table.any,
            };
            let service = match end {
                End::Service(service, _) => Some(service),
                End::Local(_) => None,
            };
            let found = RouteMatch { service, route: RouteId(table.entries.len() as u32) };
            paths.entries.push(PathEntry { prefix: prefix.into(), parent: None, found });
            table.entries.push(Entry { name: name.into(), end });
        }
        table.exact.values_mut().chain(table.suffixes.values_mut()).for_each(PathTable::finish);
        table.any.finish();
        table
    }

    /// Finds the route of a request. `host` is lower case and without port; `path` without query.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<RouteMatch> {
        if let Some(found) = self.exact.get(host).and_then(|paths| paths.find(path)) {
            return Some(found);
        }
        if !self.suffixes.is_empty() {
            // Left to right, so the longest suffix is tried first.
            for (dot, _) in host.match_indices('.') {
                if let Some(found) = self.suffixes.get(&host[dot..]).and_then(|paths| paths.find(path)) {
                    return Some(found);
                }
            }
        }
        self.any.find(path)
    }

    /// A route as configured, `HOST/PREFIX`: low cardinality, fit for `http.route`.
    #[must_use]
    pub fn name(&self, route: RouteId) -> &str {
        &self.entries[route.0 as usize].name
    }

    /// How a route changes the path for its backends.
    #[must_use]
    pub fn rewrite(&self, route: RouteId) -> Option<&PathChange> {
        match &self.entries[route.0 as usize].end {
            End::Service(_, rewrite) => rewrite.as_ref(),
            End::Local(_) => None,
        }
    }

    /// What a route is answered with here.
    #[must_use]
    pub fn answer(&self, route: RouteId) -> Option<&LocalAnswer> {
        match &self.entries[route.0 as usize].end {
            End::Service(..) => None,
            End::Local(answer) => Some(answer),
        }
    }
}

// === impl PathTable ===

impl PathTable {
    fn finish(&mut self) {
        // A stable sort keeps the first of two equal routes in front; the later ones can never match.
        self.entries.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        self.entries.dedup_by(|later, first| later.prefix == first.prefix);
        let mut open: Vec<u32> = Vec::new();
        for at in 0..self.entries.len() {
            while let Some(&top) = open.last() {
                if self.entries[at].prefix.starts_with(&*self.entries[top as usize].prefix) {
                    break;
                }
                open.pop();
            }
            self.entries[at].parent = open.last().copied();
            open.push(at as u32);
        }
    }

    fn find(&self, path: &str) -> Option<RouteMatch> {
        // Every entry that is a prefix of `path` sorts at or before it, and is the entry found here or one of its
        // ancestors: it begins both `path` and all that sorts between the two.
        let after = self.entries.partition_point(|entry| *entry.prefix <= *path);
        let mut at = after.checked_sub(1).map(|at| at as u32);
        while let Some(index) = at {
            let entry = &self.entries[index as usize];
            if covers(&entry.prefix, path) {
                return Some(entry.found);
            }
            at = entry.parent;
        }
        None
    }
}

/// Whether `prefix` begins `path` and ends at a segment's border.
pub(crate) fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[(&str, &str, u32)]) -> RouteTable {
        RouteTable::build(routes.iter().map(|&(host, prefix, service)| {
            let host = match host {
                "" => HostPattern::Any,
                host if host.starts_with('*') => HostPattern::Suffix(host[1..].to_owned()),
                host => HostPattern::Exact(host.to_owned()),
            };
            (host, prefix.to_owned(), End::Service(ServiceId(service), None))
        }))
    }

    fn service(table: &RouteTable, host: &str, path: &str) -> Option<u32> {
        table.find(host, path).and_then(|found| found.service).map(|service| service.0)
    }

    #[test]
    fn longest_prefix_wins_by_whole_segments() {
        let table = table(&[("", "/a", 1), ("", "/a/b", 2), ("", "/a-b", 3), ("", "/ab", 4)]);
        assert_eq!(service(&table, "h", "/a"), Some(1));
        assert_eq!(service(&table, "h", "/a/x"), Some(1));
        assert_eq!(service(&table, "h", "/a/b"), Some(2));
        assert_eq!(service(&table, "h", "/a/bc"), Some(1));
        assert_eq!(service(&table, "h", "/a/b/c"), Some(2));
        assert_eq!(service(&table, "h", "/a-b/c"), Some(3));
        assert_eq!(service(&table, "h", "/abc"), None);
        assert_eq!(service(&table, "h", "/"), None);
    }

    #[test]
    fn exact_host_beats_suffix_beats_any() {
        let table =
            table(&[("a.example.com", "/", 1), ("*.example.com", "/", 2), ("*.b.example.com", "/", 3), ("", "/", 4)]);
        assert_eq!(service(&table, "a.example.com", "/x"), Some(1));
        assert_eq!(service(&table, "c.example.com", "/x"), Some(2));
        assert_eq!(service(&table, "a.b.example.com", "/x"), Some(3));
        assert_eq!(service(&table, "example.com", "/x"), Some(4));
        assert_eq!(service(&table, "other", "/x"), Some(4));
    }

    #[test]
    fn a_host_without_a_fitting_path_falls_through_to_any_host() {
        let table = table(&[("a.com", "/only", 1), ("", "/", 2)]);
        assert_eq!(service(&table, "a.com", "/else"), Some(2));
    }

    #[test]
    fn first_of_two_equal_routes_wins() {
        let table = table(&[("", "/a", 7), ("", "/a", 8)]);
        assert_eq!(service(&table, "h", "/a"), Some(7));
    }
}
