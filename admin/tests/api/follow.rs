//! Following events and rollouts.

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{Served, serve};

/// A stream being read.
struct Stream {
    body: Body,
    text: String,
}

/// One event of a stream.
#[derive(Debug)]
struct Sent {
    event: String,
    id: u64,
    data: Value,
}

pub(crate) async fn open(api: &Served, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::get(path).header("accept", "text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn follow(api: &Served, path: &str, headers: &[(&str, &str)]) -> Stream {
    let response = open(api, path, headers).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Stream { body: response.into_body(), text: String::new() }
}

impl Stream {
    /// The next event or comment.
    async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return block;
            }
            let frame = self.body.frame().await.expect("the stream goes on").unwrap();
            self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    async fn next(&mut self) -> Sent {
        loop {
            let block = self.block().await;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let Some(event) = field("event:") else { continue };
            return Sent {
                event: event.to_owned(),
                id: field("id:").unwrap().parse().unwrap(),
                data: serde_json::from_str(field("data:").unwrap()).unwrap(),
            };
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_followed_without_loss_or_doubles_over_a_reconnect() {
    let api = serve().await;
    let mut stream = follow(&api, "/v1/events", &[]).await;
    api.with_rollout("fix").await;
    let first = stream.next().await;
    assert_eq!((first.event.as_str(), first.id, &first.data["type"]), ("event", 1, &json!("created")));
    drop(stream);
    api.post("/v1/rollouts/fix/pause", &[("if-match", "*")], json!({})).await.ok();
    api.post("/v1/rollouts/fix/resume", &[("if-match", "*")], json!({})).await.ok();
    let mut stream = follow(&api, "/v1/events", &[("last-event-id", "1")]).await;
    for sequence in 2..=4 {
        assert_eq!(stream.next().await.id, sequence);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_from_the_beginning_reads_what_is_not_at_hand_any_more() {
    let api = serve().await;
    api.with_rollout("fix").await;
    for round in 0..4_200 {
        let verb = if round % 2 == 0 { "pause" } else { "resume" };
        api.post(&format!("/v1/rollouts/fix/{verb}"), &[("if-match", "*")], json!({})).await.ok();
    }
    let head = api.controller.state().sequence;
    assert!(head > 4_096, "more than are kept at hand: {head}");
    let mut stream = follow(&api, "/v1/events?from=1", &[]).await;
    for sequence in 1..=head {
        assert_eq!(stream.next().await.id, sequence);
    }
}

#[tokio::test(start_paused = true)]
async fn a_filtered_stream_has_what_was_asked_for() {
    let api = serve().await;
    let mut stream = follow(&api, "/v1/events?rollout=two&type=aborted", &[]).await;
    api.with_rollout("one").await;
    api.with_rollout("two").await;
    api.post("/v1/rollouts/one/abort", &[], json!({})).await.ok();
    api.post("/v1/rollouts/two/abort", &[], json!({})).await.ok();
    let sent = stream.next().await;
    assert_eq!((&sent.data["rollout"], sent.id), (&json!("two"), 6));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_followed_from_what_it_is_now() {
    let api = serve().await;
    api.with_rollout("fix").await;
    let mut stream = follow(&api, "/v1/rollouts/fix", &[]).await;
    let now = stream.next().await;
    assert_eq!((now.event.as_str(), now.id, &now.data["state"]), ("rollout", 2, &json!("canary")));
    api.post("/v1/rollouts/fix/abort", &[], json!({})).await.ok();
    loop {
        let next = stream.next().await;
        if next.id == 3 {
            assert_eq!((&next.data["state"], &next.data["exposure_percent"]), (&json!("aborted"), &json!(0.0)));
            break;
        }
    }
    assert_eq!(open(&api, "/v1/rollouts/none", &[]).await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_has_a_heartbeat() {
    let api = serve().await;
    let mut stream = follow(&api, "/v1/events", &[]).await;
    assert!(stream.block().await.starts_with(':'));
}

#[tokio::test]
async fn one_follower_too_many_is_told_so_and_a_place_that_is_left_is_given_again() {
    let api = serve().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(follow(&api, "/v1/events", &[]).await);
    }
    assert_eq!(open(&api, "/v1/events", &[]).await.status(), 503);
    streams.pop();
    follow(&api, "/v1/events", &[]).await;
    assert_eq!(open(&api, "/v1/events", &[("last-event-id", "x")]).await.status(), 400);
}
