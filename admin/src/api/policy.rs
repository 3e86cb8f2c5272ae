//! Who may do what: one row a route, and nothing without a row.

use axum::http::Method;

use crate::rollout::Role;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The least role.
    pub(super) role: Role,
}

const fn policy(method: &'static str, path: &'static str, role: Role) -> Policy {
    Policy { method, path, role }
}

/// Every route. Those under `{name}` also ask that the caller's services include all that the rollout patches.
pub(super) const POLICIES: [Policy; 22] = [
    policy("GET", "/v1/rollouts", Role::Viewer),
    policy("POST", "/v1/rollouts", Role::Operator),
    policy("GET", "/v1/rollouts/{name}", Role::Viewer),
    policy("GET", "/v1/rollouts/{name}/history", Role::Viewer),
    policy("POST", "/v1/rollouts/{name}/pause", Role::Operator),
    policy("POST", "/v1/rollouts/{name}/resume", Role::Operator),
    policy("POST", "/v1/rollouts/{name}/promote", Role::Operator),
    policy("POST", "/v1/rollouts/{name}/approve", Role::Approver),
    policy("POST", "/v1/rollouts/{name}/complete", Role::Operator),
    policy("POST", "/v1/rollouts/{name}/abort", Role::Operator),
    policy("PUT", "/v1/rollouts/{name}/force-stable", Role::Operator),
    policy("GET", "/v1/events", Role::Viewer),
    policy("POST", "/v1/explain", Role::Viewer),
    policy("GET", "/v1/gateways", Role::Viewer),
    policy("GET", "/v1/panics", Role::Admin),
    policy("GET", "/v1/config", Role::Viewer),
    policy("POST", "/v1/config/dry-run", Role::Operator),
    policy("GET", "/v1/state-hash", Role::Viewer),
    policy("POST", "/v1/verify", Role::Operator),
    policy("GET", "/v1/whoami", Role::Viewer),
    policy("POST", "/v1/drain", Role::Admin),
    policy("GET", "/openapi.json", Role::Viewer),
];

/// The row of a route; `None`: nobody may. HEAD is GET without its body.
pub(super) fn of(method: &Method, path: &str) -> Option<&'static Policy> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    POLICIES.iter().find(|policy| policy.method == method && policy.path == path)
}
