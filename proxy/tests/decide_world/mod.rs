//! A small configuration by hand, and requests to it in plain words.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use patchgate_config::routes::RouteTable;
use patchgate_config::snapshot::{
    AssignRule, Backend, BackendId, BackendProtocol, Drain, Exposure, Fallback, RequestMatch, Rollout, RolloutId,
    Service, ServiceId, Snapshot, Telemetry, Timeouts,
};
use patchgate_proxy::rollout::Decision;
use patchgate_proxy::rollout::decide::{Input, decide};

/// The two services of every world.
pub(crate) const CHECKOUT: ServiceId = ServiceId(0);
pub(crate) const SEARCH: ServiceId = ServiceId(1);

/// A rollout of `service` that marks with `group` and `version`, and says nothing else yet.
pub(crate) fn rollout(name: &str, service: ServiceId, group: &str, version: &str) -> Rollout {
    Rollout {
        name: name.into(),
        service,
        version: version.into(),
        group: group.into(),
        backend: BackendId(0),
        pin_version: false,
        force_stable: vec![],
        assign: vec![],
        exposure: Exposure::NONE,
    }
}

pub(crate) fn header(name: &'static str, value: Option<&str>) -> RequestMatch {
    RequestMatch::Header(HeaderName::from_static(name), value.map(str::to_owned))
}

pub(crate) fn when(condition: RequestMatch) -> AssignRule {
    AssignRule::Match(condition)
}

/// The snapshot of these rollouts: a stable backend for each service, one more for each rollout.
pub(crate) fn world(rollouts: Vec<Rollout>) -> Snapshot {
    let mut backends = vec![backend("checkout/stable", CHECKOUT, None), backend("search/stable", SEARCH, None)];
    let mut services = vec![service("checkout", 0), service("search", 1)];
    let rollouts = rollouts
        .into_iter()
        .zip(0..)
        .map(|(rollout, at)| {
            let id = BackendId(backends.len() as u32);
            backends.push(backend(&rollout.name, rollout.service, Some(&rollout.group)));
            services[rollout.service.0 as usize].rollouts.push(RolloutId(at));
            Rollout { backend: id, ..rollout }
        })
        .collect();
    Snapshot {
        revision: 1,
        digest: String::new(),
        workers: None,
        listeners: vec![],
        routes: RouteTable::default(),
        services,
        backends,
        rollouts,
        telemetry: Telemetry {
            service_name: "patchgate".to_owned(),
            sample_default: 0.0,
            sample_canary: 1.0,
            clear_random_flag: false,
            otlp: None,
            canary_otlp: None,
            response_marks_per_second: 0,
            access_log: false,
        },
        mark_signing: None,
        health: None,
        drain: Drain { delay: Duration::ZERO, timeout: Duration::ZERO },
    }
}

fn service(name: &str, stable: u32) -> Service {
    let second = Duration::from_secs(1);
    Service {
        name: name.into(),
        stable: BackendId(stable),
        fallback: Fallback::Stable,
        timeouts: Timeouts { connect: second, first_byte: second, idle: second, total: second },
        balancing: Arc::default(),
        retry: None,
        hedge: None,
        mirror: None,
        headers: None,
        upgrades: Vec::new(),
        protocol: BackendProtocol::Http1,
        proxy_protocol: None,
        tls: None,
        rate_limit: None,
        circuit_breaker: None,
        rollouts: vec![],
    }
}

fn backend(name: &str, service: ServiceId, group: Option<&Arc<str>>) -> Backend {
    Backend {
        name: name.into(),
        service,
        version: "v".into(),
        group: group.cloned(),
        endpoints: vec![([127, 0, 0, 1], 9000).into()],
        may_mark: true,
    }
}

/// A request to `checkout` at an edge, from nowhere in particular.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) service: ServiceId,
    pub(crate) mark: Option<(String, String)>,
    pub(crate) assign: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    pub(crate) client: IpAddr,
    pub(crate) random: u64,
}

/// 64 bits that are neither canary nor control, whatever the exposure up to a third.
pub(crate) const MIDDLE: u64 = 1 << 63;

impl Request {
    pub(crate) fn new() -> Self {
        Self {
            service: CHECKOUT,
            mark: None,
            assign: true,
            headers: HeaderMap::new(),
            query: None,
            client: Ipv4Addr::new(192, 0, 2, 1).into(),
            random: MIDDLE,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, HeaderValue::from_str(value).expect("a field value"));
        self
    }

    pub(crate) fn decide(&self, snapshot: &Snapshot) -> Decision {
        decide(&self.input(), snapshot)
    }

    fn input(&self) -> Input<'_> {
        Input {
            service: self.service,
            mark: self.mark.as_ref().map(|(group, version)| (group.as_str(), version.as_str())),
            assign: self.assign,
            headers: &self.headers,
            query: self.query.as_deref(),
            client: self.client,
            random: self.random,
        }
    }
}
