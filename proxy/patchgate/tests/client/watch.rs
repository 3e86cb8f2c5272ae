//! Following: a line a change where nothing can be drawn, and no change lost when the server comes and goes.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use patchgate_admin::api::dto::Rollout;
use patchgate_testkit::upstream::{RawUpstream, read_head};
use serde_json::{Value, json};

use crate::scripted::{Api, ended, json_response, patchgate, problem, rollout};

fn at(version: u64, state: &str) -> Rollout {
    let mut rollout = rollout(state);
    rollout.version = version;
    rollout.changed.reason = format!("to {version}");
    rollout
}

fn begin(stream: &mut TcpStream) {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hello\n\n")
        .unwrap();
}

fn send(stream: &mut TcpStream, rollout: &Rollout) {
    let data = serde_json::to_string(rollout).unwrap();
    write!(stream, "event: rollout\nid: {}\ndata: {data}\n\n", rollout.version).unwrap();
}

fn get(stream: &mut TcpStream, rollout: &Rollout) {
    let body = serde_json::to_string(rollout).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    write!(stream, "{head}connection: close\r\n\r\n{body}").unwrap();
}

/// A server that does with its connections what `script` says, by their number; and the heads that it got.
fn server(script: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> (RawUpstream, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let server = RawUpstream::start(move |number, mut stream| {
        let Some(head) = read_head(&mut stream) else { return };
        kept.lock().unwrap().push(head.to_ascii_lowercase());
        script(number, &mut stream);
    });
    (server, heads)
}

#[test]
fn a_stream_that_breaks_off_goes_on_where_it_was() {
    let (server, heads) = server(|number, stream| match number {
        0 => {
            begin(stream);
            send(stream, &at(1, "canary"));
            send(stream, &at(1, "canary"));
            // The next one is half sent.
            stream.write_all(b"event: rollout\nid: 2\ndata: {").unwrap();
        }
        // The look between two streams.
        1 => get(stream, &at(2, "paused")),
        2 => {
            begin(stream);
            send(stream, &at(3, "canary"));
            send(stream, &at(4, "aborted"));
        }
        _ => panic!("nobody needs to ask again"),
    });
    let url = format!("http://{}", server.address);
    let followed = patchgate(&["rollout", "get", "fix", "-w", "--exit", "--server", &url], &[]);
    assert_eq!(followed.code, 0, "{followed:?}");
    let reasons: Vec<&str> =
        followed.out.lines().filter_map(|line| line.rsplit_once(": ")).map(|(_, why)| why).collect();
    assert_eq!(reasons, ["to 1", "to 2", "to 3", "to 4"], "each change once, none lost: {followed:?}");
    assert!(!followed.out.contains('\x1b'), "{followed:?}");
    let heads = heads.lock().unwrap();
    assert!(heads[0].contains("accept: text/event-stream") && !heads[0].contains("last-event-id"), "{heads:?}");
    assert!(heads[2].contains("accept: text/event-stream") && heads[2].contains("last-event-id: 1\r\n"), "{heads:?}");
}

#[test]
fn without_streams_it_is_asked_again_and_again() {
    let api = Api::start(|number, _| match number {
        0..4 => json_response(200, &at(1, "canary")),
        _ => json_response(200, &at(2, "completed")),
    });
    let followed = api.run(&["rollout", "get", "fix", "-w", "--exit", "-o", "json"]);
    assert_eq!(followed.code, 0, "{followed:?}");
    let states: Vec<Value> =
        followed.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].clone()).collect();
    assert_eq!(states.last(), Some(&json!("completed")), "{followed:?}");
}

#[test]
fn too_slow_a_reader_asks_for_what_is_now() {
    let (server, _) = server(|number, stream| match number {
        0 => {
            begin(stream);
            send(stream, &at(1, "canary"));
            stream.write_all(b"event: resync\nid: 8\ndata: {\"head\":8}\n\n").unwrap();
        }
        _ => get(stream, &at(8, "rolled_back")),
    });
    let url = format!("http://{}", server.address);
    let followed = patchgate(&["rollout", "get", "fix", "-w", "--exit", "--server", &url], &[]);
    assert_eq!((followed.code, followed.out.lines().count()), (0, 2), "{followed:?}");
    assert!(followed.out.contains("to 8"), "{followed:?}");
}

#[test]
fn what_is_not_there_cannot_be_followed() {
    let api = Api::start(|_, _| problem(404, "rollout_not_found", "there is no rollout `fix`", json!({})));
    let followed = api.run(&["rollout", "get", "fix", "-w"]);
    assert!(followed.code == 1 && followed.err.contains("there is no rollout"), "{followed:?}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let followed = patchgate(&["rollout", "get", "fix", "-w", "--server", &format!("http://{nobody}")], &[]);
    assert!(followed.code == 1 && followed.err.contains("cannot reach"), "{followed:?}");
}

#[test]
fn a_follower_ends_when_its_reader_does() {
    let api = Api::start(|number, _| json_response(200, &at(number as u64, "canary")));
    let mut child = crate::scripted::command(&["rollout", "get", "fix", "-w", "--server", &api.url])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut reader, &mut first).unwrap();
    drop(reader);
    let followed = ended(child.wait_with_output().unwrap());
    assert!(first.contains("canary") && followed.code == 0 && followed.err.is_empty(), "{first}{followed:?}");
}
