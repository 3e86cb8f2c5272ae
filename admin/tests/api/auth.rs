//! Who may do what.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::BodyExt;
use patchgate_admin::api::{self, Auth};
use patchgate_admin::rollout::Role;
use patchgate_admin::tokens::{self, NewToken};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::follow::open;
use crate::world::{Served, limits, rollout, serve, serve_with};

struct Tokens {
    _folder: TempDir,
    path: PathBuf,
}

impl Tokens {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("tokens.json");
        Self { _folder: folder, path }
    }

    /// The header's value of a new token.
    fn create(&self, name: &str, role: Role, services: &str) -> String {
        let bytes = std::array::from_fn(|index| name.as_bytes()[index % name.len()] ^ index as u8);
        let new = NewToken { name: name.into(), role, services: vec![services.into()], expires_ms: None };
        let secret = tokens::create(&self.path, new, bytes, 1_000).unwrap();
        format!("Bearer {}", secret.reveal())
    }

    async fn serve(&self) -> Served {
        serve_with(Auth::tokens(self.path.clone()).unwrap(), limits()).await
    }
}

/// Every route of the document, with its path filled in.
fn routes() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, item): (&String, &Value)| {
        let methods: Vec<_> =
            item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())).collect();
        methods
    };
    paths.iter().flat_map(methods).collect()
}

#[test]
fn every_route_has_a_policy_and_every_policy_a_route() {
    let routes: BTreeSet<_> = routes().into_iter().collect();
    let policies: BTreeSet<_> = api::policies().map(|(method, path, _)| (method.to_owned(), path.to_owned())).collect();
    let extra: BTreeSet<_> = policies.difference(&routes).cloned().collect();
    assert_eq!(extra, [("GET".to_owned(), "/openapi.json".to_owned())].into());
    assert_eq!(routes.difference(&policies).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
}

#[tokio::test]
async fn every_route_refuses_lesser_roles_and_nobody_and_takes_the_others() {
    let tokens = Tokens::new();
    let roles = [Role::Viewer, Role::Operator, Role::Approver, Role::Admin];
    let secrets = roles.map(|role| tokens.create(role.as_str(), role, "*"));
    let api = tokens.serve().await;
    for (method, path, least) in api::policies() {
        let path = path.replace("{name}", "none");
        let unknown = api.ask(method, &path, &[], &json!({})).await;
        assert_eq!((unknown.status.as_u16(), unknown.problem()), (401, "unauthenticated"), "{method} {path}");
        assert!(unknown.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        for (role, secret) in roles.iter().zip(&secrets) {
            let headers = [("authorization", secret.as_str()), ("if-match", "*")];
            let answer = api.ask(method, &path, &headers, &json!({})).await;
            if *role < least {
                assert_eq!(
                    (answer.status.as_u16(), answer.problem()),
                    (403, "role_missing"),
                    "{method} {path} {role:?}"
                );
            } else {
                assert!(
                    ![401, 403, 500].contains(&answer.status.as_u16()),
                    "{method} {path} {role:?}: {}",
                    answer.body
                );
            }
        }
    }
}

#[tokio::test]
async fn a_token_sees_and_changes_the_rollouts_of_its_services_alone() {
    let tokens = Tokens::new();
    let all = tokens.create("all", Role::Admin, "*");
    let shop = tokens.create("shop-team", Role::Operator, "sho?");
    let cart = tokens.create("cart-team", Role::Operator, "cart*");
    let api = tokens.serve().await;
    let with =
        |secret: &str| [("authorization".to_owned(), secret.to_owned()), ("if-match".to_owned(), "*".to_owned())];
    let ask = async |secret: &str, method: &str, path: &str, body: Value| {
        let headers = with(secret);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        api.ask(method, path, &headers, &body).await
    };
    ask(&shop, "POST", "/v1/rollouts", json!({ "rollout": rollout("fix") })).await.ok();
    let foreign = ask(&cart, "POST", "/v1/rollouts", json!({ "rollout": rollout("mine") })).await;
    assert_eq!((foreign.status.as_u16(), foreign.problem()), (403, "foreign_service"));
    let set = json!({ "rollout": {
        "name": "set", "group": "g", "patches": [
            { "service": "shop", "version": "v2", "endpoints": ["127.0.0.1:1"] },
            { "service": "cart", "version": "v2", "endpoints": ["127.0.0.1:2"] },
        ],
    }});
    assert_eq!(ask(&shop, "POST", "/v1/rollouts", set.clone()).await.problem(), "foreign_service");
    ask(&all, "POST", "/v1/rollouts", set).await.ok();

    for path in ["/v1/rollouts/fix", "/v1/rollouts/fix/history"] {
        assert_eq!(ask(&cart, "GET", path, json!({})).await.problem(), "rollout_not_found");
        ask(&shop, "GET", path, json!({})).await.ok();
    }
    assert_eq!(ask(&cart, "POST", "/v1/rollouts/fix/abort", json!({})).await.problem(), "rollout_not_found");
    let seen = |answer: Value| answer["items"].as_array().unwrap().len();
    assert_eq!(seen(ask(&all, "GET", "/v1/rollouts", json!({})).await.ok()), 2);
    assert_eq!(seen(ask(&shop, "GET", "/v1/rollouts", json!({})).await.ok()), 1);
    assert_eq!(seen(ask(&cart, "GET", "/v1/rollouts", json!({})).await.ok()), 0);
    assert_eq!(seen(ask(&cart, "GET", "/v1/events?type=created", json!({})).await.ok()), 0);
    assert_eq!(seen(ask(&shop, "GET", "/v1/events?type=created", json!({})).await.ok()), 1);
    ask(&shop, "POST", "/v1/rollouts/fix/abort", json!({})).await.ok();

    let explain = async |secret: &str, question: Value| ask(secret, "POST", "/v1/explain", question).await;
    explain(&shop, json!({ "url": "/" })).await.ok();
    assert_eq!(explain(&cart, json!({ "url": "/" })).await.problem(), "foreign_service");
    let recent = async |secret: &str| explain(secret, json!({ "trace": "both" })).await;
    assert_eq!(recent(&all).await.ok()["recent"].as_array().unwrap().len(), 2);
    assert_eq!(recent(&shop).await.ok()["recent"], json!([{ "service": "shop" }]));
    assert_eq!(recent(&cart).await.status, 404);
}

#[tokio::test]
async fn a_second_person_approves_what_its_creator_cannot() {
    let tokens = Tokens::new();
    let ann = tokens.create("ann", Role::Approver, "*");
    let bob = tokens.create("bob", Role::Approver, "*");
    let api = tokens.serve().await;
    let mut careful = rollout("fix");
    careful["approval"] = json!({ "above": "10%" });
    api.post("/v1/rollouts", &[("authorization", &ann)], json!({ "rollout": careful })).await.ok();
    let as_ann = [("authorization", ann.as_str()), ("if-match", "*")];
    let as_bob = [("authorization", bob.as_str()), ("if-match", "*")];
    let needed = api.post("/v1/rollouts/fix/promote", &as_ann, json!({})).await;
    assert_eq!((needed.status.as_u16(), needed.problem()), (409, "approval_needed"));
    let own = api.post("/v1/rollouts/fix/approve", &as_ann, json!({})).await;
    assert_eq!((own.status.as_u16(), own.problem()), (403, "own_approval"));
    api.post("/v1/rollouts/fix/approve", &as_bob, json!({})).await.ok();
    let promoted = api.post("/v1/rollouts/fix/promote", &as_ann, json!({})).await.ok();
    assert_eq!(promoted["rollout"]["approved_by"], "bob");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_refused_its_streams_end_and_the_log_has_it() {
    let tokens = Tokens::new();
    let ann = tokens.create("ann", Role::Viewer, "*");
    let bob = tokens.create("bob", Role::Admin, "*");
    let api = tokens.serve().await;
    let (as_ann, as_bob) = ([("authorization", ann.as_str())], [("authorization", bob.as_str())]);
    assert_eq!(api.post("/v1/rollouts", &as_bob, json!({ "rollout": rollout("fix") })).await.status, 201);
    let streams = [open(&api, "/v1/events", &as_ann).await, open(&api, "/v1/rollouts/fix", &as_ann).await];
    let mut goes_on = open(&api, "/v1/events", &as_bob).await.into_body();
    tokens::revoke(&tokens.path, "ann").unwrap();
    for stream in streams {
        assert_eq!(stream.status(), 200);
        let end = tokio::time::timeout(Duration::from_secs(60), stream.into_body().collect()).await;
        end.expect("it ends").unwrap();
    }
    assert_eq!(api.ask("GET", "/v1/whoami", &as_ann, &json!({})).await.status, 401);
    let told = goes_on.frame().await.unwrap().unwrap().into_data().unwrap();
    let told = String::from_utf8(told.to_vec()).unwrap();
    assert!(told.contains("tokens_changed") && told.contains(r#""revoked":["ann"]"#), "{told}");
    assert!(!told.contains(ann.trim_start_matches("Bearer ")));
}

#[tokio::test]
async fn denied_and_failed_changes_are_in_the_log_and_a_flood_of_them_is_one_event() {
    let api = serve().await;
    api.with_rollout("fix").await;
    for _ in 0..20 {
        api.post("/v1/rollouts/fix/resume", &[("if-match", "*"), ("x-patchgate-actor", "eve")], json!({})).await;
    }
    api.controller.states().wait_for(|state| state.sequence == 3).await.unwrap();
    let events = api.get("/v1/events?type=denied").await.ok();
    let [denied] = &events["items"].as_array().unwrap()[..] else { panic!("{events}") };
    assert_eq!(denied["actor"], "eve");
    assert_eq!(denied["event"]["code"], "wrong_state");
    assert_eq!(denied["event"]["request"], "POST /v1/rollouts/fix/resume");
}

#[tokio::test]
async fn strangers_do_not_fill_the_log_whatever_they_send() {
    let tokens = Tokens::new();
    let root = tokens.create("root", Role::Admin, "*");
    let api = tokens.serve().await;
    let before = api.controller.state().sequence;
    for number in 0..50 {
        let answer = api.post(&format!("/v1/rollouts/{number}/abort"), &[], json!({})).await;
        assert_eq!(answer.status, 401);
        api.ask(&format!("METHOD{number}"), &format!("/{}", "x".repeat(number)), &[], &json!({})).await;
    }
    let path = format!("/v1/rollouts/{}/abort", "x".repeat(1_000));
    api.post(&path, &[("authorization", &root)], json!({})).await;
    api.controller.states().wait_for(|state| state.sequence == before + 3).await.unwrap();
    let events = api.ask("GET", "/v1/events", &[("authorization", &root)], &json!({})).await.ok();
    let told = events["items"].as_array().unwrap().iter().map(|event| event["event"]["request"].as_str().unwrap());
    let mut told: Vec<_> = told.map(|request| request.chars().take(25).collect::<String>()).collect();
    told.sort_unstable();
    assert_eq!(told, ["/v1/rollouts/{name}/abort", "POST /v1/rollouts/xxxxxxx", "unknown"]);
}

#[tokio::test]
async fn without_tokens_only_loopback_is_answered_and_no_page_of_a_browser() {
    let api = serve().await;
    for host in ["127.0.0.1:9901", "localhost", "[::1]:9901", "127.0.0.9"] {
        api.ask("GET", "/v1/whoami", &[("host", host)], &json!({})).await.ok();
    }
    for host in ["evil.example", "127.0.0.1.evil.example:9901", "10.0.0.1"] {
        let answer = api.ask("GET", "/v1/whoami", &[("host", host)], &json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (403, "foreign_host"), "{host}");
    }
    let page = api.ask("GET", "/v1/whoami", &[("origin", "http://localhost:3000")], &json!({})).await;
    assert_eq!(page.problem(), "foreign_origin");
}

#[tokio::test]
async fn draining_is_the_admins() {
    let api = serve().await;
    let answer = api.post("/v1/drain", &[], json!({ "reason": "maintenance" })).await;
    assert_eq!(answer.status.as_u16(), 202);
    assert!(api.plane.draining.load(std::sync::atomic::Ordering::SeqCst));
}
