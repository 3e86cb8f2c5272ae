//! `explain` and `drain`: what is asked, and what is told.

use bytes::Bytes;
use http::{Method, Response};
use patchgate_testkit::upstream::RawUpstream;
use serde_json::json;

use crate::scripted::{Api, body, json_response, patchgate, problem};

fn listening() -> Api {
    Api::start(|_, _| json_response(200, &json!({"revision": 3, "listener": {"name": "web", "trusted": true}})))
}

#[test]
fn a_question_is_sent_as_it_was_asked() {
    let api = listening();
    let ended = api.run(&[
        "explain",
        "--header",
        "x-beta: 1",
        "--header",
        "cookie: uid=7",
        "--traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "--tracestate",
        "patch-group=g",
        "--client",
        "10.0.0.9",
        "--listener",
        "web",
        "--method",
        "post",
        "http://shop.example.com/checkout?x=1",
    ]);
    assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
    assert!(ended.out.contains("✓ listener") && ended.out.contains("snapshot 3"), "{ended:?}");
    assert_eq!(
        body(&api.seen()[0]),
        json!({
            "method": "POST", "url": "http://shop.example.com/checkout?x=1", "client": "10.0.0.9", "listener": "web",
            "headers": [["x-beta", "1"], ["cookie", "uid=7"],
                ["traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], ["tracestate", "patch-group=g"]],
        })
    );
}

#[test]
fn a_tracestate_gets_the_traceparent_that_it_needs_to_count() {
    let api = listening();
    let ended = api.run(&["explain", "--tracestate", "patch-group=g", "/"]);
    let sent = body(&api.seen()[0]);
    let parent = sent["headers"][1][1].as_str().unwrap();
    assert_eq!(sent["headers"][1][0], "traceparent");
    assert!(parent.len() == 55 && parent.starts_with("00-") && parent.ends_with("-01"), "{parent}");
    assert!(ended.err.contains(parent), "and that is told: {ended:?}");
}

#[test]
fn a_trace_is_asked_for_by_its_id_alone() {
    let api = listening();
    api.run(&["explain", "--trace", "4bf92f3577b34da6a3ce929d0e0e4736"]);
    assert_eq!(body(&api.seen()[0]), json!({"trace": "4bf92f3577b34da6a3ce929d0e0e4736"}));
    for arguments in [&["explain"][..], &["explain", "--trace", "4bf9"], &["explain", "--trace", &"a".repeat(32), "/"]]
    {
        assert_eq!(patchgate(arguments, &[]).code, 2, "{arguments:?}");
    }
}

#[test]
fn an_answer_without_a_story_is_shown_as_it_is() {
    let api = Api::start(|_, _| json_response(200, &json!({"steps": [{"new": "thing"}]})));
    let ended = api.run(&["explain", "/"]);
    assert!(ended.code == 0 && ended.out.contains("new: thing"), "{ended:?}");
}

fn accepted() -> Response<Bytes> {
    Response::builder().status(202).body(Bytes::new()).unwrap()
}

#[test]
fn a_drain_is_asked_for_and_its_reason_is_told() {
    let api = Api::start(|_, _| accepted());
    let ended = api.run(&["drain", "--reason", "new image"]);
    assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
    let seen = api.seen();
    assert_eq!((&seen[0].method, seen[0].uri.path()), (&Method::POST, "/v1/drain"));
    assert_eq!(body(&seen[0]), json!({"reason": "new image"}));
    let api = Api::start(|_, _| problem(403, "role_missing", "`ann` is viewer", json!({})));
    assert_eq!(api.run(&["drain", "--wait", "1s"]).code, 1);
}

#[test]
fn a_drain_that_does_not_end_in_time_is_not_called_ended() {
    let api = Api::start(|number, _| if number == 0 { accepted() } else { json_response(200, &json!({})) });
    let ended = api.run(&["drain", "--wait", "50ms"]);
    assert_eq!((ended.code, &*ended.out), (3, ""), "{ended:?}");
    assert!(ended.err.contains("has not ended in time"), "{ended:?}");
}

#[test]
fn a_drain_is_waited_for_until_nobody_listens() {
    use std::io::Write;
    let (listener, ended) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), std::sync::mpsc::channel::<()>());
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        // The order, then one look, and then the port is closed.
        for body in ["HTTP/1.1 202 Accepted", "HTTP/1.1 200 OK"] {
            let (mut stream, _) = listener.accept().unwrap();
            patchgate_testkit::upstream::read_head(&mut stream).unwrap();
            write!(stream, "{body}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        }
        drop(ended);
    });
    let drained = patchgate(&["drain", "--wait", "30s", "--server", &url], &[]);
    server.join().unwrap();
    assert_eq!(drained.code, 0, "{drained:?}");
    assert!(drained.out.contains("has ended"), "{drained:?}");
}

#[test]
fn who_answers_with_noise_is_not_believed() {
    use std::io::Write;
    let noise = RawUpstream::start(|_, mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    });
    let ended = patchgate(&["rollout", "list", "--server", &format!("http://{}", noise.address)], &[]);
    assert!(ended.code == 1 && ended.err.lines().count() == 1, "{ended:?}");
}
