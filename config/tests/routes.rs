//! The compiled table finds what a linear search over all routes finds.

use patchgate_config::routes::{End, HostPattern, RouteTable};
use patchgate_config::snapshot::ServiceId;
use proptest::prelude::*;

type Route = (HostPattern, String);

/// How well a route fits: how specific its host is, then how long its prefix.
fn fit((host, prefix): &Route, to_host: &str, path: &str) -> Option<(usize, usize)> {
    let host = match host {
        HostPattern::Exact(host) => (host == to_host).then_some(usize::MAX)?,
        HostPattern::Suffix(suffix) => to_host.ends_with(suffix.as_str()).then_some(suffix.len())?,
        HostPattern::Any => 0,
    };
    let rest = path.strip_prefix(prefix.as_str())?;
    let whole = rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/');
    whole.then_some((host, prefix.len()))
}

/// The best fit, and of equal ones the first.
fn naive(routes: &[Route], host: &str, path: &str) -> Option<u32> {
    let fits = routes.iter().zip(0..).filter_map(|(route, id)| Some((fit(route, host, path)?, id)));
    fits.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, id)| id)
}

fn host() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]", 1..4).prop_map(|labels| labels.join("."))
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{0,2}", 0..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn pattern() -> impl Strategy<Value = HostPattern> {
    prop_oneof![
        host().prop_map(HostPattern::Exact),
        host().prop_map(|host| HostPattern::Suffix(format!(".{host}"))),
        Just(HostPattern::Any),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn it_agrees_with_a_linear_search(
        routes in prop::collection::vec((pattern(), path()), 0..40),
        requests in prop::collection::vec((host(), path()), 1..40),
    ) {
        let table = RouteTable::build(
            routes.iter().cloned().zip(0..).map(|((host, prefix), id)| (host, prefix, End::Service(ServiceId(id), None))),
        );
        for (host, path) in requests {
            let found = table.find(&host, &path).and_then(|found| found.service).map(|service| service.0);
            prop_assert_eq!(found, naive(&routes, &host, &path), "{} {}", host, path);
        }
    }
}
