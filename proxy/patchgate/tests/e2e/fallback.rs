//! A hot-fix backend that dies under load.

use patchgate_testkit::client;
use patchgate_testkit::eventually;
use patchgate_testkit::load::Load;
use patchgate_testkit::upstream::{Seen, Upstream, named_answer};

use super::{GROUP, MARKED, VERSION, config, start};

#[test]
fn marked_requests_fall_back_to_stable_with_their_mark_and_no_client_sees_an_error() {
    let mark = format!("patch-group={GROUP},patch-version={VERSION}");
    let stable = Upstream::start(move |seen: Seen| {
        // The mark is kept for the services behind.
        named_answer(if seen.header("tracestate").contains(&mark) { "stable, marked" } else { "stable, mark lost" })
    });
    let hot_fix = Upstream::named("hot-fix");
    let address = hot_fix.address;
    let gateway = start(&config(stable.address, address, ""));
    let load = Load::start(gateway.address("web"), 8, "/", MARKED, |reply| match (reply.status, &*reply.text()) {
        (200, "hot-fix" | "stable, marked") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    load.wait_for(500);
    hot_fix.kill();
    eventually("stable to take over", || (stable.requests() > 500).then_some(()));
    let back = Upstream::start_at(address, |_| named_answer("hot-fix"));
    eventually("the hot-fix to take over again", || (back.requests() > 500).then_some(()));
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?} beside {} answers", tally.failures, tally.fine);
    assert_eq!(gateway.sum("patchgate_fallbacks_total", &[]), stable.requests() as f64);
    let canary = gateway.sum("patchgate_requests_total", &["track=\"canary\""]);
    let fell_back = gateway.sum("patchgate_requests_total", &["track=\"stable\""]);
    assert_eq!(fell_back, stable.requests() as f64, "what stable served is not booked to the patch");
    assert_eq!((canary + fell_back) as usize, tally.fine);
    assert_eq!(gateway.sum("patchgate_commits_total", &[]), gateway.sum("patchgate_requests_finished_total", &[]));
}

#[test]
fn with_fallback_fail_a_dead_hot_fix_is_503_and_stable_gets_nothing() {
    let stable = Upstream::named("stable");
    let hot_fix = Upstream::named("hot-fix");
    let address = hot_fix.address;
    hot_fix.kill();
    let text = config(stable.address, address, "").replace("    timeouts:", "    fallback: fail\n    timeouts:");
    let gateway = start(&text);
    let reply = client::get(gateway.address("web"), "/", MARKED);
    assert_eq!((reply.status, stable.requests()), (503, 0), "{}", reply.text());
    assert!(reply.text().contains("upstream_connect_failed"), "{}", reply.text());
    assert_eq!(client::get(gateway.address("web"), "/", &[]).text(), "stable");
}
