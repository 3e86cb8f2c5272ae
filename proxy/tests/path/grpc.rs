//! Calls of gRPC between tonic's client and tonic's server, each kind of them, and what patchgate itself has to say.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::Request;
use http::uri::PathAndQuery;
use patchgate_proxy::telemetry::metrics::{Count, SeriesKey};
use patchgate_testkit::http2::{Http2Client, Http2Upstream};
use tonic::metadata::MetadataValue;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::{MARKED, Running};

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

fn text(text: impl Into<String>) -> Text {
    Text { text: text.into() }
}

type Codec = ProstCodec<Text, Text>;

/// Tells when a stream of messages that it holds is let go.
struct Dropped(Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A service with a method of each kind.
#[derive(Clone)]
struct Echo {
    dropped: Sender<()>,
}

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl tower::Service<Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let mut grpc = tonic::server::Grpc::new(Codec::default());
        let dropped = self.dropped.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/test.Echo/Unary" => grpc.unary(service_fn(unary), request).await,
                "/test.Echo/Many" => grpc.server_streaming(service_fn(many), request).await,
                "/test.Echo/Collect" => grpc.client_streaming(service_fn(collect), request).await,
                "/test.Echo/Talk" => {
                    let talk = move |request| talk(request, Dropped(dropped.clone()));
                    grpc.streaming(service_fn(talk), request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// Answers with what it was told, and with the deadline that it was given.
async fn unary(request: tonic::Request<Text>) -> Result<tonic::Response<Text>, Status> {
    let deadline = request.metadata().get("grpc-timeout").cloned();
    let told = request.into_inner();
    match &*told.text {
        "missing" => return Err(Status::not_found("no \u{e9}, 100 %")),
        "broken" => return Err(Status::internal("it broke")),
        _ => {}
    }
    let mut response = tonic::Response::new(told);
    if let Some(deadline) = deadline {
        response.metadata_mut().insert("x-deadline", deadline);
    }
    Ok(response)
}

type Messages = BoxStream<'static, Result<Text, Status>>;

async fn many(request: tonic::Request<Text>) -> Result<tonic::Response<Messages>, Status> {
    let count: u32 = request.into_inner().text.parse().unwrap();
    let messages = stream::iter((0..count).map(|nth| Ok(text(nth.to_string()))));
    let end = stream::iter((count == 3).then(|| Err(Status::data_loss("after three"))));
    Ok(tonic::Response::new(messages.chain(end).boxed()))
}

async fn collect(request: tonic::Request<Streaming<Text>>) -> Result<tonic::Response<Text>, Status> {
    let mut messages = request.into_inner();
    let mut all = Vec::new();
    while let Some(message) = messages.message().await? {
        all.push(message.text);
    }
    Ok(tonic::Response::new(text(all.join(","))))
}

async fn talk(request: tonic::Request<Streaming<Text>>, dropped: Dropped) -> Result<tonic::Response<Messages>, Status> {
    let answers = request.into_inner().map(move |message| {
        let _held = &dropped;
        message.map(|message| text(message.text.to_uppercase()))
    });
    Ok(tonic::Response::new(answers.boxed()))
}

/// A server, a gateway in front of it, and a client.
struct World {
    runtime: tokio::runtime::Runtime,
    _gateway: Running,
    client: tonic::client::Grpc<Channel>,
    dropped: Receiver<()>,
}

fn serve(runtime: &tokio::runtime::Runtime) -> (SocketAddr, Receiver<()>) {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, dropped) = channel();
    let server = Server::builder().add_service(Echo { dropped: tell });
    runtime.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, dropped)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl World {
    fn start() -> Self {
        let runtime = runtime();
        let (address, dropped) = serve(&runtime);
        let gateway = Running::http2(address, "");
        let client = client(&runtime, &gateway);
        Self { runtime, _gateway: gateway, client, dropped }
    }

    fn unary(&mut self, request: tonic::Request<Text>) -> Result<tonic::Response<Text>, Status> {
        unary_call(&self.runtime, &mut self.client, request)
    }
}

fn client(runtime: &tokio::runtime::Runtime, gateway: &Running) -> tonic::client::Grpc<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", gateway.address())).unwrap();
    tonic::client::Grpc::new(runtime.block_on(endpoint.connect()).unwrap())
}

fn unary_call(
    runtime: &tokio::runtime::Runtime,
    client: &mut tonic::client::Grpc<Channel>,
    request: tonic::Request<Text>,
) -> Result<tonic::Response<Text>, Status> {
    runtime.block_on(async {
        client.ready().await.unwrap();
        client.unary(request, method("/test.Echo/Unary"), Codec::default()).await
    })
}

fn method(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

#[test]
fn a_call_of_each_kind_goes_through_whole() {
    let mut world = World::start();
    assert_eq!(world.unary(tonic::Request::new(text("hi"))).unwrap().into_inner(), text("hi"));
    let big = "x".repeat(3_000_000);
    assert_eq!(world.unary(tonic::Request::new(text(&*big))).unwrap().into_inner().text.len(), big.len());
    let World { runtime, client, .. } = &mut world;
    runtime.block_on(async {
        client.ready().await.unwrap();
        let request = tonic::Request::new(text("1000"));
        let many = client.server_streaming(request, method("/test.Echo/Many"), Codec::default()).await.unwrap();
        let got: Vec<_> = many.into_inner().map(|message| message.unwrap().text).collect().await;
        assert_eq!(got, (0..1000).map(|nth| nth.to_string()).collect::<Vec<_>>());

        client.ready().await.unwrap();
        let messages = stream::iter((0..100).map(|nth| text(nth.to_string())));
        let request = tonic::Request::new(messages);
        let all = client.client_streaming(request, method("/test.Echo/Collect"), Codec::default()).await.unwrap();
        assert_eq!(all.into_inner().text.split(',').count(), 100);

        client.ready().await.unwrap();
        // Each message is answered before the next is sent.
        let (say, said) = tokio::sync::mpsc::unbounded_channel();
        let said = stream::unfold(said, |mut said| async { said.recv().await.map(|message| (message, said)) });
        let request = tonic::Request::new(said);
        let talk = client.streaming(request, method("/test.Echo/Talk"), Codec::default()).await.unwrap();
        let mut answers: Streaming<Text> = talk.into_inner();
        for word in ["one", "two", "three"] {
            say.send(text(word)).unwrap();
            assert_eq!(answers.message().await.unwrap().unwrap(), text(word.to_uppercase()));
        }
        drop(say);
        assert_eq!(answers.message().await.unwrap(), None);
    });
}

#[test]
fn a_status_and_its_message_come_through_at_once_or_behind_messages() {
    let mut world = World::start();
    let missing = world.unary(tonic::Request::new(text("missing"))).unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "no \u{e9}, 100 %"));
    let World { runtime, client, .. } = &mut world;
    runtime.block_on(async {
        client.ready().await.unwrap();
        let request = tonic::Request::new(text("3"));
        let many = client.server_streaming(request, method("/test.Echo/Many"), Codec::default()).await.unwrap();
        let mut many: Streaming<Text> = many.into_inner();
        for nth in 0..3 {
            assert_eq!(many.message().await.unwrap().unwrap(), text(nth.to_string()));
        }
        let status = many.message().await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::DataLoss, "after three"));
    });
}

#[test]
fn a_client_that_cancels_its_call_cancels_it_at_the_server() {
    let mut world = World::start();
    let World { runtime, client, .. } = &mut world;
    let answers = runtime.block_on(async {
        client.ready().await.unwrap();
        let request = tonic::Request::new(stream::iter([text("one")]).chain(stream::pending()));
        let talk = client.streaming(request, method("/test.Echo/Talk"), Codec::default()).await.unwrap();
        let mut answers: Streaming<Text> = talk.into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap(), text("ONE"));
        answers
    });
    drop(answers);
    world.dropped.recv_timeout(Duration::from_secs(30)).expect("the server's side ends");
}

#[test]
fn a_deadline_goes_on_reduced_by_what_has_passed_and_by_what_we_would_wait() {
    let mut world = World::start();
    let mut deadline = |given: &'static str| {
        let mut request = tonic::Request::new(text("hi"));
        request.metadata_mut().insert("grpc-timeout", MetadataValue::from_static(given));
        let response = world.unary(request).unwrap();
        response.metadata().get("x-deadline").unwrap().to_str().unwrap().to_owned()
    };
    let micros = |text: String| text.strip_suffix('u').unwrap_or_else(|| panic!("{text}")).parse::<u64>().unwrap();
    let left = micros(deadline("2S"));
    assert!(left < 2_000_000 && left > 1_000_000, "{left}");
    let left = micros(deadline("1H"));
    assert!(left < 4_000_000 && left > 3_000_000, "a request takes 4 s at most here: {left}");
}

#[test]
fn a_deadline_that_passes_here_is_told_as_such() {
    let upstream = Http2Upstream::start(100, |request, respond| async move {
        // Never answered.
        let _held = (request, respond);
        std::future::pending().await
    });
    let mut gateway = Running::http2(upstream.address, "");
    let mut client = Http2Client::connect(gateway.address());
    let call = |timeout: &str| {
        let request = Request::post("http://test/test.Echo/Unary").header("content-type", "application/grpc");
        request.header("grpc-timeout", timeout).body(()).unwrap()
    };
    for timeout in ["50m", "0n"] {
        let (answer, _) = client.open(call(timeout), true);
        let (head, whole) = client.answer(answer).unwrap();
        assert_eq!((head.status().as_u16(), &head.headers()["grpc-status"]), (200, &"4".parse().unwrap()), "{timeout}");
        assert_eq!(head.headers()["content-type"], "application/grpc");
        assert_eq!(head.headers()["grpc-message"], "the request took too long (total_timeout)");
        assert!(whole.body.is_empty());
    }
    drop(client);
    gateway.stop();
    assert_eq!(gateway.count(Count::Commits, "timeout"), 2);
}

#[test]
fn what_patchgate_answers_is_a_status_of_grpc() {
    let (runtime, dead) = (runtime(), super::retry::dead());
    let gateway = Running::http2(dead, "");
    let mut grpc = client(&runtime, &gateway);
    let status = unary_call(&runtime, &mut grpc, tonic::Request::new(text("hi"))).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("upstream_connect_failed"), "{status:?}");
}

#[test]
fn calls_of_a_patch_that_fail_are_seen_in_its_metrics() {
    let runtime = runtime();
    let (stable, _held) = serve(&runtime);
    let (hot_fix, _held_too) = serve(&runtime);
    let mut gateway = Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - {{ name: shop, routes: [{{ path_prefix: / }}], protocol: http2, stable: {{ version: v1, endpoints: ["{stable}"] }} }}
rollouts:
  - {{ name: fix, service: shop, version: v2, group: lane, endpoints: ["{hot_fix}"], stages: [{{ percent: 0 }}] }}
"#
    ));
    let mut grpc = client(&runtime, &gateway);
    let mut call = |told: &str, fields: &[(&'static str, &str)]| {
        let mut request = tonic::Request::new(text(told));
        for (name, value) in fields {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        unary_call(&runtime, &mut grpc, request).map_err(|status| status.code())
    };
    assert!(call("hi", &[]).is_ok());
    assert!(call("hi", MARKED).is_ok());
    assert_eq!(call("broken", MARKED).unwrap_err(), Code::Internal);
    assert_eq!(call("missing", MARKED).unwrap_err(), Code::NotFound);
    drop(grpc);
    gateway.stop();
    let text = gateway.telemetry.metrics.encode().unwrap();
    let calls: Vec<_> = text.lines().filter(|line| line.starts_with("patchgate_grpc_requests_total")).collect();
    let count = |track: &str, status: &str| {
        let labelled = |line: &&&str| {
            line.contains(&format!("track=\"{track}\"")) && line.contains(&format!("grpc_status=\"{status}\""))
        };
        calls.iter().find(labelled).and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!(count("stable", "0").as_deref(), Some("1"), "{calls:#?}");
    assert_eq!(
        ["0", "5", "13"].map(|status| count("canary", status)),
        [(); 3].map(|()| Some("1".to_owned())),
        "{calls:#?}"
    );
    let key = SeriesKey {
        service: "shop".to_owned(),
        backend: "fix".to_owned(),
        track: "canary",
        patch_group: "lane".to_owned(),
        patch_version: "v2".to_owned(),
    };
    let errors = gateway.telemetry.metrics.series(key).sums().errors;
    assert_eq!(errors, 1, "NOT_FOUND is the caller's");
}
