//! SIGTERM: not ready, then no request fails, then exit 0.

use std::io::Write;
use std::sync::atomic::Ordering;

use patchgate_testkit::client::{self, Client};
use patchgate_testkit::eventually;
use patchgate_testkit::load::Load;
use patchgate_testkit::otlp::Collector;
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};

use super::{MARKED, config, start};

#[test]
fn sigterm_under_load_fails_no_request_and_loses_no_span() {
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    let collector = Collector::start();
    let telemetry = format!("telemetry: {{ otlp: {{ endpoint: \"{}\" }} }}", collector.url());
    let mut gateway = start(&config(stable.address, hot_fix.address, &telemetry));
    let load = Load::start(gateway.address("web"), 8, "/", MARKED, |reply| match (reply.status, &*reply.text()) {
        (200, "hot-fix") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    load.wait_for(500);
    load.expect_end();
    gateway.signal("TERM");
    let tally = load.join();
    assert!(tally.failures.is_empty(), "{:?} beside {} answers", tally.failures, tally.fine);
    assert_eq!(tally.turned_away, 8);
    assert!(gateway.wait().success(), "{:#?}", gateway.log());
    let servers = collector.spans().iter().filter(|span| span.kind == 2).count();
    assert_eq!(servers, tally.fine, "every marked request's span was shipped before the end");
}

#[test]
fn a_draining_gateway_is_alive_and_not_ready_and_finishes_what_it_began() {
    let gate = std::sync::Arc::new(std::sync::Barrier::new(2));
    let held = std::sync::Arc::clone(&gate);
    let arrived = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&arrived);
    let slow = RawUpstream::start(move |_, mut stream| {
        while let Some(head) = read_head(&mut stream) {
            if head.starts_with("GET /slow") {
                seen.store(true, Ordering::SeqCst);
                held.wait();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow").unwrap();
        }
    });
    // Long enough to look at the probes meanwhile.
    let text = config(slow.address, slow.address, "").replace("delay: 200ms", "delay: 3s");
    let mut gateway = start(&text);
    let (web, health) = (gateway.address("web"), gateway.address("health"));
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(client::get(health, probe, &[]).status, 200, "{probe}");
    }
    let mut idle = Client::connect(web).unwrap();
    assert_eq!(idle.get("/", &[]).unwrap().status, 200);
    let mut busy = Client::connect(web).unwrap();
    busy.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    eventually("the slow request", || arrived.load(Ordering::SeqCst).then_some(()));

    gateway.signal("TERM");
    eventually("readiness to end", || (client::get(health, "/readyz", &[]).status == 503).then_some(()));
    assert_eq!(client::get(health, "/livez", &[]).status, 200);
    assert_eq!(idle.get("/", &[]).unwrap().status, 200, "during the delay it serves on");
    eventually("the drain proper", || client::Client::connect(web).is_err().then_some(()));
    gate.wait();
    let last = busy.reply().unwrap();
    assert_eq!((last.status, last.text().as_str(), last.closes()), (200, "slow", true));
    assert_eq!(idle.rest().unwrap(), b"", "an idle connection is closed without a reset");
    assert!(gateway.wait().success());
}

#[test]
fn what_outlasts_the_drain_is_answered_503() {
    let never = RawUpstream::start(|_, mut stream| while read_head(&mut stream).is_some() {});
    let text = config(never.address, never.address, "").replace("delay: 200ms, timeout: 10s", "delay: 0s, timeout: 1s");
    let mut gateway = start(&text);
    let mut client = Client::connect(gateway.address("web")).unwrap();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    eventually("the request to arrive", || {
        (gateway.sum("patchgate_connections_opened_total", &[]) > 0.0).then_some(())
    });
    gateway.signal("TERM");
    let reply = client.reply().unwrap();
    assert_eq!((reply.status, reply.closes()), (503, true), "{}", reply.text());
    assert!(gateway.wait().success());
}
