//! Health checks: who is asked and how, what is left out for it, and where requests go then.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use patchgate_testkit::eventually;
use patchgate_testkit::pki::Authority;
use patchgate_testkit::upstream::{Upstream, named_answer};

use super::{MARKED, Running, hot_fix, service};

/// Quick, so that tests need not wait; three in a row make it ill, two well.
const QUICK: &str = "interval: 10ms, timeout: 2s";

/// A backend that is as well as it is told to be, and says at `/healthz`.
fn patient(name: &'static str) -> (Upstream, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&well);
    let upstream = Upstream::start(move |seen| match seen.uri.path() {
        "/healthz" if told.load(Ordering::SeqCst) => Response::new(Bytes::new()),
        "/healthz" => {
            let mut ill = Response::new(Bytes::new());
            *ill.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            ill
        }
        _ => named_answer(name),
    });
    (upstream, well)
}

fn config(endpoints: &[SocketAddr], fix: SocketAddr, policy: &str) -> String {
    service(endpoints, &format!("load_balancing: {{ policy: round_robin }}\n    {policy}")) + &hot_fix(fix)
}

fn http(more: &str) -> String {
    format!("health_check: {{ http: {{ path: /healthz }}, {QUICK} }}\n    {more}")
}

/// A line of `/metrics`, once it says `value`.
fn told(gateway: &Running, line: &str, value: &str) {
    eventually(line, || {
        let text = gateway.telemetry.metrics.encode().expect("metrics are text");
        text.lines().any(|known| known.starts_with(line) && known.ends_with(&format!(" {value}"))).then_some(())
    });
}

fn healthy(gateway: &Running, backend: &str, endpoint: SocketAddr, is: bool) {
    let line = format!("patchgate_endpoint_healthy{{backend=\"{backend}\",endpoint=\"{endpoint}\"}}");
    told(gateway, &line, if is { "1" } else { "0" });
}

fn asked(gateway: &Running, times: usize) -> Vec<String> {
    (0..times).map(|_| gateway.get("/", &[]).text()).collect()
}

#[test]
fn an_endpoint_that_says_it_is_ill_is_left_out_until_it_is_well() {
    let ((one, _), (two, ill), (fix, _)) = (patient("one"), patient("two"), patient("fix"));
    let gateway = Running::start(&config(&[one.address, two.address], fix.address, &http("")));
    healthy(&gateway, "shop/stable", two.address, true);
    assert!(asked(&gateway, 10).contains(&"two".to_owned()));
    ill.store(false, Ordering::SeqCst);
    healthy(&gateway, "shop/stable", two.address, false);
    assert_eq!(asked(&gateway, 10), ["one"; 10]);
    ill.store(true, Ordering::SeqCst);
    healthy(&gateway, "shop/stable", two.address, true);
    assert!(asked(&gateway, 10).contains(&"two".to_owned()));
}

#[test]
fn a_hot_fix_that_is_ill_is_not_even_tried() {
    let ((stable, _), (fix, well)) = (patient("stable"), patient("fix"));
    let gateway = Running::start(&config(&[stable.address], fix.address, &http("")));
    healthy(&gateway, "fix", fix.address, true);
    assert_eq!(gateway.get("/", MARKED).text(), "fix");
    well.store(false, Ordering::SeqCst);
    healthy(&gateway, "fix", fix.address, false);
    let before = gateway.sum(patchgate_proxy::telemetry::metrics::Count::AttemptsStarted);
    assert_eq!(gateway.get("/", MARKED).text(), "stable");
    assert_eq!(gateway.sum(patchgate_proxy::telemetry::metrics::Count::AttemptsStarted), before + 1);
    assert_eq!(gateway.sum(patchgate_proxy::telemetry::metrics::Count::Fallbacks), 1);
}

#[test]
fn a_hot_fix_that_is_ill_and_must_not_fall_back_is_503_for_that_reason() {
    let ((stable, _), (fix, well)) = (patient("stable"), patient("fix"));
    let gateway = Running::start(&config(&[stable.address], fix.address, &http("fallback: fail")));
    well.store(false, Ordering::SeqCst);
    healthy(&gateway, "fix", fix.address, false);
    let reply = gateway.get("/", MARKED);
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("no_healthy_endpoint"), "{}", reply.text());
}

#[test]
fn when_too_few_are_well_all_are_asked_unless_there_is_to_be_no_panic() {
    let ((one, ill_one), (two, ill_two)) = (patient("one"), patient("two"));
    for (panic, served) in [("panic_threshold: 50%", true), ("panic_threshold: 0%", false)] {
        let gateway = Running::start(&config(&[one.address, two.address], one.address, &http(panic)));
        for ill in [&ill_one, &ill_two] {
            ill.store(false, Ordering::SeqCst);
        }
        for address in [one.address, two.address] {
            healthy(&gateway, "shop/stable", address, false);
        }
        let replies: Vec<_> = (0..10).map(|_| gateway.get("/", &[])).collect();
        match served {
            true => assert!(["one", "two"].iter().all(|name| replies.iter().any(|reply| reply.text() == *name))),
            false => assert!(replies.iter().all(|reply| reply.text().contains("no_healthy_endpoint"))),
        }
    }
}

#[test]
fn a_connection_is_enough_where_nothing_more_is_asked() {
    let (stable, held) = (Upstream::named("stable"), TcpListener::bind("127.0.0.1:0").unwrap());
    let gone = held.local_addr().unwrap();
    let service = format!("health_check: {{ tcp: {{}}, {QUICK} }}\n    panic_threshold: 10%");
    let gateway = Running::start(&config(&[stable.address, gone], stable.address, &service));
    healthy(&gateway, "shop/stable", gone, true);
    drop(held);
    healthy(&gateway, "shop/stable", gone, false);
    assert_eq!(asked(&gateway, 10), ["stable"; 10]);
}

#[test]
fn what_is_known_outlives_a_reload_and_ends_with_the_checks() {
    let ((one, _), (two, ill), (fix, _)) = (patient("one"), patient("two"), patient("fix"));
    let of = |service: &str| config(&[one.address, two.address], fix.address, service);
    let mut gateway = Running::start(&of(&http("")));
    ill.store(false, Ordering::SeqCst);
    healthy(&gateway, "shop/stable", two.address, false);
    gateway.apply(&of(&http("fallback: fail")), 2);
    assert_eq!(asked(&gateway, 10), ["one"; 10]);
    // Another way to check: what is known counts until that says otherwise.
    gateway.apply(&of("health_check: { http: { path: /healthz }, interval: 100s }"), 3);
    assert_eq!(asked(&gateway, 10), ["one"; 10]);
    gateway.apply(&of(""), 4);
    eventually("the other endpoint", || asked(&gateway, 10).contains(&"two".to_owned()).then_some(()));
}

#[test]
fn checks_are_under_tls_where_the_service_is() {
    let (authority, plain) = (Authority::new(), Upstream::named("plain"));
    let service = format!(
        "health_check: {{ tcp: {{}}, {QUICK} }}\n    tls: {{ ca_file: \"{}\" }}\n    panic_threshold: 0%",
        authority.file.display()
    );
    let gateway = Running::start(&config(&[plain.address], plain.address, &service));
    healthy(&gateway, "shop/stable", plain.address, false);
    assert!(gateway.get("/", &[]).text().contains("no_healthy_endpoint"));
}

/// A server of `grpc.health.v1.Health` that answers with this status, and says what it was asked for.
fn grpc_health(status: Arc<AtomicU64>, asked: Arc<std::sync::Mutex<Vec<u8>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (status, asked) = (Arc::clone(&status), Arc::clone(&asked));
                let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (status, asked) = (Arc::clone(&status), Arc::clone(&asked));
                    async move {
                        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                        *asked.lock().unwrap() = request.into_body().collect().await.unwrap().to_bytes().to_vec();
                        let message = vec![0, 0, 0, 0, 2, 8, status.load(Ordering::SeqCst) as u8];
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", HeaderValue::from_static("0"));
                        let frames = [Frame::data(Bytes::from(message)), Frame::trailers(trailers)];
                        let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
                        let answer = Response::builder().header("content-type", "application/grpc").body(body);
                        Ok::<_, Infallible>(answer.unwrap())
                    }
                });
                let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { serving.serve_connection(TokioIo::new(stream), service).await });
            }
        });
    });
    address
}

#[test]
fn grpc_servers_are_asked_by_their_own_protocol() {
    let (status, asked) = (Arc::new(AtomicU64::new(1)), Arc::default());
    let address = grpc_health(Arc::clone(&status), Arc::clone(&asked));
    let service = format!("health_check: {{ grpc: {{ service: shop.Cart }}, {QUICK} }}");
    let gateway = Running::start(&config(&[address], address, &service));
    healthy(&gateway, "shop/stable", address, true);
    assert_eq!(*asked.lock().unwrap(), b"\0\0\0\0\x0b\x0a\x09shop.Cart");
    status.store(2, Ordering::SeqCst);
    healthy(&gateway, "shop/stable", address, false);
    status.store(1, Ordering::SeqCst);
    healthy(&gateway, "shop/stable", address, true);
}
