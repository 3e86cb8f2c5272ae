//! As much of a Kubernetes API as Helm needs: discovery, objects in namespaces, label selectors, patches, and Helm's own
//! records, which come as protobuf.
//!
//! It runs nothing: a pod has succeeded as soon as it is there. A watch tells what is there and ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use prost::Message;
use serde_json::{Value, json};

use crate::upstream::{Seen, Upstream};

/// Kinds with their API's group and version, and their name in paths.
const KINDS: [(&str, &str, &str); 12] = [
    ("v1", "configmaps", "ConfigMap"),
    ("v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
    ("v1", "pods", "Pod"),
    ("v1", "secrets", "Secret"),
    ("v1", "serviceaccounts", "ServiceAccount"),
    ("v1", "services", "Service"),
    ("apps/v1", "deployments", "Deployment"),
    ("apps/v1", "statefulsets", "StatefulSet"),
    ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    ("networking.k8s.io/v1", "ingresses", "Ingress"),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
];

/// What the entries of workloads' and Services' lists are told apart by in a strategic patch; the first that all have.
const MERGE_KEYS: [&str; 5] = ["containerPort", "port", "mountPath", "topologyKey", "name"];

/// An API with nothing in it.
#[derive(Debug)]
pub struct Kubernetes {
    upstream: Upstream,
    state: Arc<Mutex<State>>,
}

/// Objects by their paths.
#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
}

type Answer = Result<Value, (StatusCode, &'static str)>;

const NOT_FOUND: (StatusCode, &str) = (StatusCode::NOT_FOUND, "NotFound");

impl Kubernetes {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let upstream = Upstream::start(move |seen| respond(&mut lock(&shared), &seen));
        Self { upstream, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.upstream.address
    }

    /// All objects that there are.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        lock(&self.state).objects.values().cloned().collect()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn respond(state: &mut State, seen: &Seen) -> Response<Bytes> {
    // The schemas of all kinds, as protobuf: there are none, so objects are not checked against them.
    if seen.uri.path() == "/openapi/v2" {
        return Response::new(Bytes::new());
    }
    if let Some(events) = watched(state, seen) {
        return Response::new(Bytes::from(events));
    }
    let (status, body) = match answer(state, seen) {
        Ok(value) => (if seen.method == Method::POST { StatusCode::CREATED } else { StatusCode::OK }, value),
        Err((status, reason)) => (
            status,
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(),
                    "reason": reason, "message": format!("{} {}: {reason}", seen.method, seen.uri) }),
        ),
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Bytes::from(body.to_string())).expect("a status and a text are legal")
}

/// What a watch tells: an event a line. One that asks for the list as events is refused, and asks for the list.
fn watched(state: &State, seen: &Seen) -> Option<String> {
    let query = seen.uri.query().unwrap_or_default();
    if !query.contains("watch=true") || query.contains("sendInitialEvents") {
        return None;
    }
    let objects = state.select(seen.uri.path(), query).ok()?;
    Some(objects.iter().map(|object| format!("{}\n", json!({ "type": "ADDED", "object": object }))).collect())
}

fn answer(state: &mut State, seen: &Seen) -> Answer {
    let path = seen.uri.path();
    if let Some(found) = discovery(path) {
        return Ok(found);
    }
    // …/namespaces/NAMESPACE/PLURAL[/NAME]
    let parts: Vec<&str> = path.split("/namespaces/").nth(1).ok_or(NOT_FOUND)?.split('/').collect();
    let group = path.trim_start_matches("/apis/").trim_start_matches("/api/").split("/namespaces/").next();
    let known = |plural: &str| KINDS.iter().find(|kind| Some(kind.0) == group && kind.1 == plural);
    match (&seen.method, parts.as_slice()) {
        (&Method::GET, [_, plural]) => {
            let kind = known(plural).ok_or(NOT_FOUND)?;
            let query = seen.uri.query().unwrap_or_default();
            if query.contains("sendInitialEvents") {
                return Err((StatusCode::UNPROCESSABLE_ENTITY, "Invalid"));
            }
            let items = state.select(path, query)?;
            let version = json!({ "resourceVersion": state.version.to_string() });
            Ok(json!({ "kind": format!("{}List", kind.2), "apiVersion": kind.0, "metadata": version, "items": items }))
        }
        (&Method::POST, [_, plural]) => {
            let kind = known(plural).ok_or(NOT_FOUND)?;
            let object = decode(seen)?;
            let name = object["metadata"]["name"].as_str().ok_or((StatusCode::BAD_REQUEST, "BadRequest"))?;
            let path = format!("{path}/{name}");
            match state.objects.contains_key(&path) {
                true => Err((StatusCode::CONFLICT, "AlreadyExists")),
                false => Ok(state.put(&path, object, kind.2)),
            }
        }
        (method, [_, plural, _]) => {
            let kind = known(plural).ok_or(NOT_FOUND)?;
            let old = state.objects.get(path).cloned();
            match *method {
                Method::GET => old.ok_or(NOT_FOUND),
                Method::DELETE => state.objects.remove(path).ok_or(NOT_FOUND),
                Method::PUT => old.ok_or(NOT_FOUND).and_then(|_| Ok(state.put(path, decode(seen)?, kind.2))),
                Method::PATCH => {
                    let new = patched(old, seen)?;
                    Ok(state.put(path, new, kind.2))
                }
                _ => Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")),
            }
        }
        _ => Err(NOT_FOUND),
    }
}

fn discovery(path: &str) -> Option<Value> {
    if path == "/version" {
        return Some(json!({ "major": "1", "minor": "33", "gitVersion": "v1.33.0" }));
    }
    if path == "/api" {
        return Some(json!({ "kind": "APIVersions", "versions": ["v1"] }));
    }
    let group = |version: &str| {
        let (name, short) = version.split_once('/').expect("all others have a group");
        let version = json!({ "groupVersion": version, "version": short });
        json!({ "name": name, "versions": [version], "preferredVersion": version })
    };
    let mut versions: Vec<&str> = KINDS.iter().map(|kind| kind.0).collect();
    versions.dedup();
    if path == "/apis" {
        let groups: Vec<Value> = versions.iter().filter(|version| **version != "v1").map(|one| group(one)).collect();
        return Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }));
    }
    let asked = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/"))?;
    versions.contains(&asked).then(|| {
        let of_it = KINDS.iter().filter(|kind| kind.0 == asked);
        let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
        let resources: Vec<Value> = of_it
            .map(|kind| json!({ "name": kind.1, "singularName": "", "namespaced": true, "kind": kind.2, "verbs": verbs }))
            .collect();
        json!({ "kind": "APIResourceList", "groupVersion": asked, "resources": resources })
    })
}

impl State {
    /// Keeps an object as the API would.
    fn put(&mut self, path: &str, mut object: Value, kind: &str) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["uid"] = format!("{:032x}", self.version).into();
        if kind == "Pod" {
            object["status"] = json!({ "phase": "Succeeded" });
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    /// Those of a collection that a query names, by labels or by the one field that is asked for.
    fn select(&self, collection: &str, query: &str) -> Result<Vec<Value>, (StatusCode, &'static str)> {
        let mut wanted = Vec::new();
        for (selector, place) in [("labelSelector=", "labels/"), ("fieldSelector=metadata.", "")] {
            let query = query.replace("%3D", "=").replace("%2C", ",");
            let text = query.split('&').find_map(|part| part.strip_prefix(selector)).unwrap_or_default().to_owned();
            for part in text.split(',').filter(|part| !part.is_empty()) {
                let (name, value) = part.split_once('=').filter(|(name, _)| !name.contains('!')).ok_or(NOT_FOUND)?;
                wanted.push((format!("/metadata/{place}{}", name.replace('/', "~1")), value.to_owned()));
            }
        }
        let below = |path: &str| path.strip_prefix(collection).is_some_and(|rest| rest.starts_with('/'));
        let fits = |object: &Value| {
            wanted.iter().all(|(place, value)| object.pointer(place).is_some_and(|found| found == value.as_str()))
        };
        let objects = self.objects.iter().filter(|(path, object)| below(path) && fits(object));
        Ok(objects.map(|(_, object)| object.clone()).collect())
    }
}

fn patched(old: Option<Value>, seen: &Seen) -> Answer {
    let patch = decode(seen)?;
    match seen.header("content-type").as_str() {
        // Its one manager says all that the object is to have.
        "application/apply-patch+yaml" => Ok(patch),
        "application/merge-patch+json" => old.map(|old| merged(old, &patch, false)).ok_or(NOT_FOUND),
        "application/strategic-merge-patch+json" => old.map(|old| merged(old, &patch, true)).ok_or(NOT_FOUND),
        _ => Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType")),
    }
}

/// A JSON merge patch (RFC 7386); a strategic one merges lists, too, by what tells their entries apart.
fn merged(old: Value, patch: &Value, strategic: bool) -> Value {
    match (old, patch) {
        (Value::Object(mut old), Value::Object(patch)) => {
            for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
                let before = old.remove(name).unwrap_or_default();
                if !value.is_null() {
                    let mut after = merged(before, value, strategic);
                    if let Some(Value::Array(order)) = patch.get(&format!("$setElementOrder/{name}")) {
                        reorder(&mut after, order);
                    }
                    old.insert(name.clone(), after);
                }
            }
            Value::Object(old)
        }
        (Value::Array(old), Value::Array(patch)) if strategic => match merge_key(patch) {
            Some(key) => merged_list(old, patch, key),
            None => Value::Array(patch.clone()),
        },
        (_, Value::Object(patch)) => merged(json!({}), &Value::Object(patch.clone()), strategic),
        (_, value) => value.clone(),
    }
}

fn merge_key(list: &[Value]) -> Option<&'static str> {
    MERGE_KEYS.into_iter().find(|key| list.iter().all(|entry| !entry[*key].is_null()))
}

fn merged_list(mut old: Vec<Value>, patch: &[Value], key: &str) -> Value {
    for entry in patch {
        let at = old.iter().position(|one| one[key] == entry[key]);
        match (at, entry["$patch"] == "delete") {
            (Some(at), true) => drop(old.remove(at)),
            (None, true) => {}
            (Some(at), false) => old[at] = merged(old[at].take(), entry, true),
            (None, false) => old.push(merged(json!({}), entry, true)),
        }
    }
    Value::Array(old)
}

fn reorder(list: &mut Value, order: &[Value]) {
    let (Some(list), Some(key)) = (list.as_array_mut(), merge_key(order)) else { return };
    list.sort_by_key(|entry| order.iter().position(|one| one[key] == entry[key]).unwrap_or(order.len()));
}

/// A request's object: JSON, which is YAML, too, or a Secret as protobuf.
fn decode(seen: &Seen) -> Answer {
    let bad = (StatusCode::BAD_REQUEST, "BadRequest");
    let Some(protobuf) = seen.body.strip_prefix(b"k8s\0") else {
        return serde_json::from_slice(&seen.body).map_err(|_| bad);
    };
    let unknown = Unknown::decode(protobuf).map_err(|_| bad)?;
    if unknown.type_meta.is_none_or(|of| of.kind != "Secret") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"));
    }
    let secret = Secret::decode(&*unknown.raw).map_err(|_| bad)?;
    let metadata = secret.metadata.unwrap_or_default();
    let data: BTreeMap<String, String> =
        secret.data.into_iter().map(|(name, bytes)| (name, STANDARD.encode(bytes))).collect();
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": secret.kind, "data": data,
        "metadata": { "name": metadata.name, "namespace": metadata.namespace, "labels": metadata.labels },
    }))
}

/// What Kubernetes wraps an object in.
#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct Secret {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(btree_map = "string, bytes", tag = "2")]
    data: BTreeMap<String, Vec<u8>>,
    #[prost(string, tag = "3")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
}
