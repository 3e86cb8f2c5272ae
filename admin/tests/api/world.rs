//! An API with two services behind it, and what it takes to ask it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use patchgate_admin::api::dto::{Config, ConfigChange, Effect, Gateway, Question, Track};
use patchgate_admin::api::{self, Auth};
use patchgate_admin::clock::Clock;
use patchgate_admin::controller::{Controller, Observe, Parts, World};
use patchgate_admin::log::Verifier;
use patchgate_admin::plane::{DataPlane, Traffic, Unexplained};
use patchgate_admin::store::EventStore;
use patchgate_admin::store::memory::MemoryStore;
use patchgate_config::load;
use patchgate_config::model::{AdminLimits, Model};
use patchgate_config::rollout_table::RolloutTable;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

const CONFIG: &str = r#"
listeners: [{ name: web, address: 127.0.0.1:8080 }]
services:
  - { name: shop, routes: [{ path_prefix: / }], stable: { version: v1, endpoints: [127.0.0.1:9001] } }
  - name: cart
    routes: [{ path_prefix: /cart }]
    stable: { version: v1, endpoints: [127.0.0.1:9003] }
    max_exposure: 30%
"#;

/// Answers as a data plane that has applied everything, and can be made to panic.
#[derive(Debug)]
pub(crate) struct Plane {
    model: Arc<Model>,
    states: watch::Receiver<Arc<patchgate_admin::rollout::State>>,
    pub(crate) draining: AtomicBool,
}

impl DataPlane for Plane {
    fn gateways(&self) -> Vec<Gateway> {
        let sequence = self.states.borrow().sequence;
        let text = || "test".to_owned();
        vec![Gateway { name: text(), sequence, revision: 1, config: text(), version: text() }]
    }

    fn traffic(&self) -> Vec<Traffic> {
        let track = Track {
            track: "stable".into(),
            backend: "shop/stable".into(),
            version: "v1".into(),
            requests_per_second: 40.0,
            error_percent: 0.5,
            p50_ms: Some(3.0),
            p99_ms: Some(9.0),
        };
        vec![Traffic { service: "shop".into(), rollout: None, track }]
    }

    fn time_to_zero(&self, _: &str) -> Option<f64> {
        None
    }

    fn explain(&self, question: &Question) -> Result<Value, Unexplained> {
        match question.url.as_deref() {
            Some("/panic") => panic!("asked to"),
            Some(url) => Ok(json!({ "url": url, "route": { "service": "shop" } })),
            None if question.trace.as_deref() == Some("both") => {
                Ok(json!({ "recent": [{ "service": "shop" }, { "service": "search" }] }))
            }
            None => Err(Unexplained::NotFound("no such trace".into())),
        }
    }

    fn effect(&self, rollout: &str, after: &RolloutTable) -> Vec<Effect> {
        let rows = after.rows.iter().filter(|row| *row.name == *rollout);
        let effect = |row: &patchgate_config::rollout_table::Row| Effect {
            service: row.service.to_string(),
            requests_per_second: 40.0,
            exposure_before_percent: 0.0,
            exposure_after_percent: f64::from(row.exposure.millionths()) / 1e4,
            before_percent: 0.0,
            after_percent: 0.0,
            moves_percent: 0.0,
        };
        rows.map(effect).collect()
    }

    fn panics(&self) -> Vec<Value> {
        vec![json!({ "message": "a panic" })]
    }

    fn config(&self) -> Config {
        let text = || "test".to_owned();
        Config { file: text(), digest: text(), revision: 1, since: text(), last_error: None, drift: Vec::new() }
    }

    fn dry_run(&self, text: &str) -> ConfigChange {
        ConfigChange { valid: !text.is_empty(), problems: Vec::new(), changes: Vec::new() }
    }

    fn model(&self) -> Arc<Model> {
        Arc::clone(&self.model)
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Silent;

impl Observe for Silent {
    fn appended(&self, _: std::time::Duration, _: usize) {}
    fn append_failed(&self) {}
}

impl api::Observe for Silent {
    fn answered(&self, _: &str, _: u16) {}
}

impl patchgate_admin::log::Observe for Silent {
    fn verified(&self, _: Option<u64>, _: std::time::Duration) {}
}

pub(crate) struct Served {
    pub(crate) router: Router,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) controller: Controller,
    pub(crate) plane: Arc<Plane>,
    _world: watch::Sender<Arc<World>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// Asserts that it is a problem document and returns its code.
    #[track_caller]
    pub(crate) fn problem(&self) -> &str {
        let kind = self.headers["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/problem+json", "{:?}", self.body);
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["request_id"], self.headers["x-request-id"].to_str().unwrap());
        for key in ["type", "title", "detail"] {
            assert!(self.body[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {:?}", self.body);
        }
        self.body["code"].as_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self.body
    }
}

pub(crate) fn limits() -> AdminLimits {
    AdminLimits { body_bytes: 64 << 10, requests_per_second: 100_000, watchers: 4 }
}

pub(crate) async fn serve() -> Served {
    serve_with(Auth::open(), limits()).await
}

pub(crate) async fn serve_with(auth: Auth, limits: AdminLimits) -> Served {
    let loaded = load::from_text("test.yaml", CONFIG, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    let model = loaded.model;
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let (changes, world) = watch::channel(Arc::new(World::of(&model, false)));
    let feed = Arc::default();
    let parts = Parts {
        store: Arc::clone(&store),
        snapshots: None,
        observe: Arc::new(Silent),
        feed: Arc::clone(&feed),
        node: "test".into(),
        clock: Clock::system(),
        world,
    };
    let controller = Controller::start(parts).await.unwrap();
    let auth = Arc::new(auth);
    tokio::spawn(Arc::clone(&auth).follow(controller.clone()));
    let plane = Arc::new(Plane { model, states: controller.states(), draining: AtomicBool::new(false) });
    let verifier = Arc::new(Verifier::new(Arc::clone(&store), controller.clone(), Arc::new(Silent)));
    let router = api::router(api::Parts {
        controller: controller.clone(),
        store: Arc::clone(&store),
        feed,
        plane: plane.clone(),
        verifier,
        auth,
        limits,
        observe: Arc::new(Silent),
    });
    Served { router, store, controller, plane, _world: changes }
}

impl Served {
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Sends JSON with further headers.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        self.ask("POST", path, headers, &body).await
    }

    /// A rollout of `shop` with two stages, at its first.
    pub(crate) async fn with_rollout(&self, name: &str) -> Value {
        self.post("/v1/rollouts", &[], json!({ "rollout": rollout(name), "reason": "a test" })).await.ok()
    }
}

pub(crate) fn rollout(name: &str) -> Value {
    json!({
        "name": name, "service": "shop", "version": "v2", "group": format!("group-{name}"),
        "endpoints": ["127.0.0.1:9002"],
        "assign": [{ "percent": { "key": "cookie:uid" } }],
        "stages": [{ "percent": "1%" }, { "percent": "20%" }],
    })
}
