//! What the layers do with a forwarder that misbehaves.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use patchgate_config::compile;
use patchgate_config::load::from_text;
use patchgate_config::publish;
use patchgate_config::rollout_table::RolloutTable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

use super::*;
use crate::commit::Contender;
use crate::connection;
use crate::listener::ListenerRef;
use crate::panics::{PanicPool, install_hook};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::{Count, Metrics};
use crate::worker::Worker;

const CONFIG: &str = r#"
listeners: [{ name: web, address: "127.0.0.1:0" }]
services: [{ name: shop, routes: [{ path_prefix: / }], stable: { version: v1, endpoints: ["127.0.0.1:9"] } }]
"#;

const REQUEST: &[u8] = b"GET /cart HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";

/// What came of one request through `stack`.
struct Outcome {
    answer: String,
    metrics: Arc<Metrics>,
    panics: Arc<PanicPool>,
}

/// Sends one request over a real connection.
fn through<S>(forward: S) -> Outcome
where
    S: Service<Call<Decided>, Response = Committed<ResponseBody>, Error = ProxyError> + Clone + 'static,
    S::Future: 'static,
{
    install_hook();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let loaded = from_text("test.yaml", CONFIG, &|_| None).unwrap();
        let snapshot = Arc::new(compile(&loaded.model, &RolloutTable::from_model(&loaded.model), 1));
        let telemetry = Telemetry::start(1, &snapshot.telemetry).unwrap();
        let panics = Arc::new(PanicPool::default());
        let (_publisher, reader) = publish::channel(Arc::clone(&snapshot));
        let worker = Worker::new(reader.cached(), telemetry.worker(0).grow(), Arc::clone(&panics));
        let listener = ListenerRef::new(Arc::clone(&snapshot.listeners[0]));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = socket.accept().await.unwrap();
        let served = tokio::task::spawn_local(connection::serve(
            Rc::clone(&worker),
            listener,
            stream.into(),
            peer,
            around(forward),
        ));
        client.write_all(REQUEST).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        served.await.unwrap();
        Outcome { answer, metrics: Arc::clone(&telemetry.metrics), panics }
    })
}

/// The exchange's own answer, spent on a permit of attempt 0.
fn answered(call: &Call<Decided>) -> Result<Committed<ResponseBody>, ProxyError> {
    let exchange = &call.exchange;
    let permit = exchange.guard.try_commit(Contender::Attempt(0)).map_err(|_| ProxyError::Abandoned)?;
    let body = ResponseBody::local(Bytes::from_static(b"fine"), Rc::clone(exchange));
    Ok(exchange.answer(permit, Response::new(body)))
}

fn winners(metrics: &Metrics) -> Vec<u64> {
    (0..7).map(|winner| metrics.total(Count::Commits, winner)).collect()
}

#[test]
fn a_forwarder_that_answers_is_relayed() {
    let outcome = through(tower::service_fn(async |call: Call<Decided>| answered(&call)));
    assert!(outcome.answer.starts_with("HTTP/1.1 200") && outcome.answer.ends_with("fine"), "{}", outcome.answer);
    assert_eq!(winners(&outcome.metrics), [1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_panic_is_answered_500_and_leaves_a_snapshot() {
    let outcome = through(tower::service_fn(async |_: Call<Decided>| -> Result<_, ProxyError> {
        tokio::task::yield_now().await;
        panic!("planted");
    }));
    assert!(outcome.answer.starts_with("HTTP/1.1 500") && outcome.answer.contains("(panic)"), "{}", outcome.answer);
    assert!(!outcome.answer.contains("planted"), "details are for the log");
    assert_eq!(winners(&outcome.metrics), [0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(outcome.metrics.total(Count::Panics, 0), 1);
    let runtime = Builder::new_current_thread().build().unwrap();
    let snapshot = runtime.block_on(outcome.panics.next());
    assert_eq!((snapshot.message.as_str(), snapshot.request_line.as_str()), ("planted", "GET /cart HTTP/1.1"));
    let decision = snapshot.decision.as_ref().unwrap();
    assert_eq!((decision.track, decision.reason, decision.backend.as_str()), ("stable", "default", "shop/stable"));
    assert!(snapshot.place.contains("tests.rs"), "{}", snapshot.place);
    assert!(snapshot.stack.to_string().contains("stack::tests"), "the stack resolves");
    let report = serde_json::to_value(outcome.panics.recent()).unwrap();
    assert_eq!(report[0]["trace_id"], snapshot.trace_id);
    assert_eq!(report[0]["decision"]["reason"], "default");
    assert!(report[0]["backtrace"].as_str().unwrap().contains("stack::tests"));
}

#[test]
fn a_permit_lost_in_a_panic_is_taken_over() {
    let outcome = through(tower::service_fn(async |call: Call<Decided>| -> Result<_, ProxyError> {
        let _permit = call.exchange.guard.try_commit(Contender::Attempt(0)).unwrap();
        panic!("between winning and answering");
    }));
    assert!(outcome.answer.starts_with("HTTP/1.1 500"), "{}", outcome.answer);
    assert_eq!(winners(&outcome.metrics), [0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn an_answer_after_another_is_not_sent() {
    let outcome = through(tower::service_fn(async |call: Call<Decided>| {
        let first = answered(&call)?;
        // A second contender is refused; the first one's answer goes.
        assert!(answered(&call).is_err());
        Ok(first)
    }));
    assert!(outcome.answer.ends_with("fine"), "{}", outcome.answer);
    assert_eq!(winners(&outcome.metrics).iter().sum::<u64>(), 1);
    assert_eq!((0..4).map(|end| outcome.metrics.total(Count::Finished, end)).sum::<u64>(), 1);
}
