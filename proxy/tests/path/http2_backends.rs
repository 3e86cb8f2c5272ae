//! Backends that speak HTTP/2, by a real library, for clients of either protocol.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::client::head;
use patchgate_testkit::http2::{Http2Client, Http2Upstream, whole};
use patchgate_testkit::pki::Authority;
use patchgate_testkit::upstream::Upstream;

use super::Running;

/// Tells what it got of a request, line by line, in its answer's body.
fn echo() -> Http2Upstream {
    Http2Upstream::answering(|request, whole| {
        let mut told = format!("{} {}\n", request.method(), request.uri());
        let mut fields: Vec<_> = request.headers().iter().collect();
        fields.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in fields.into_iter().filter(|(name, _)| !name.as_str().starts_with("trace")) {
            told.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        told.push_str(&format!("{}\n", String::from_utf8_lossy(&whole.body)));
        for (name, value) in whole.trailers.iter().flatten() {
            told.push_str(&format!("trailer {}: {}\n", name, value.to_str().unwrap()));
        }
        Response::new(told.into())
    })
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://test{path}")).body(()).unwrap()
}

#[test]
fn a_request_of_http1_goes_on_as_one_of_http2() {
    let upstream = echo();
    let gateway = Running::http2(upstream.address, "");
    let mut client = gateway.client();
    client
        .send(
            head(
                "POST",
                "/pay/now?a=1",
                &[
                    ("connection", "keep-alive, x-secret, te"),
                    ("keep-alive", "timeout=5"),
                    ("x-secret", "1"),
                    ("te", "trailers, deflate"),
                    ("upgrade", "h2c"),
                    ("proxy-connection", "keep-alive"),
                    ("expect", "100-continue"),
                    ("cookie", "a=1; b=2"),
                    ("x-request-id", "r1"),
                    ("transfer-encoding", "chunked"),
                ],
            ) + "\r\n4\r\nbody\r\n0\r\nx-sum: 7\r\ncontent-length: 9\r\n\r\n",
        )
        .unwrap();
    let reply = client.reply().unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.text(),
        "POST http://test/pay/now?a=1\ncookie: a=1; b=2\nte: trailers\nvia: 1.1 patchgate\nx-forwarded-for: \
         127.0.0.1\nx-forwarded-host: test\nx-forwarded-proto: http\nx-request-id: r1\nbody\ntrailer x-sum: 7\n"
    );
    let reply = client.get("/again", &[]).unwrap();
    assert!(reply.text().starts_with("GET http://test/again\n"), "{}", reply.text());
}

#[test]
fn what_frames_an_answer_to_http1_is_said_anew() {
    let upstream = Http2Upstream::start(100, |request, mut respond| async move {
        let path = request.uri().path().to_owned();
        let answer = Response::builder();
        let (answer, body) = match &*path {
            "/length" => (answer.header("content-length", "4").header("date", "then"), "four"),
            "/empty" => (answer.header("content-length", "0"), ""),
            "/none" => (answer.status(204), ""),
            "/head" => (answer.header("content-length", "1000"), ""),
            "/same" => (answer.status(304).header("content-length", "1000"), ""),
            _ => (answer, "some"),
        };
        let mut stream = respond.send_response(answer.body(()).unwrap(), body.is_empty()).unwrap();
        if path == "/trailers" {
            stream.send_data(Bytes::from(body), false).unwrap();
            stream.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(4))])).unwrap();
        } else if !body.is_empty() {
            stream.send_data(Bytes::from(body), true).unwrap();
        }
    });
    let mut gateway = Running::http2(upstream.address, "");
    let mut client = gateway.client();
    let reply = client.get("/length", &[]).unwrap();
    assert_eq!(
        (reply.header("content-length"), &*reply.text(), reply.header("date")),
        (Some("4"), "four", Some("then"))
    );
    let reply = client.get("/chunked", &[]).unwrap();
    assert_eq!((reply.header("transfer-encoding"), &*reply.text()), (Some("chunked"), "some"));
    let reply = client.get("/trailers", &[("te", "trailers"), ("connection", "te")]).unwrap();
    assert_eq!((&*reply.text(), &*reply.trailers), ("some", &[("x-sum".to_owned(), "4".to_owned())][..]));
    assert_eq!(client.get("/empty", &[]).unwrap().header("content-length"), Some("0"));
    assert_eq!(client.get("/none", &[]).unwrap().status, 204);
    let reply = client.get("/same", &[]).unwrap();
    assert_eq!((reply.status, reply.header("content-length")), (304, Some("1000")));
    client.send(head("HEAD", "/head", &[]) + "\r\n").unwrap();
    let reply = client.reply_to("HEAD").unwrap();
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("1000")));
    drop(client);
    gateway.stop();
    assert_eq!(gateway.count(Count::Finished, "complete"), 7);
}

#[test]
fn http2_to_http2_keeps_trailers_both_ways_and_joins_crumbs() {
    let upstream = echo();
    let gateway = Running::http2(upstream.address, "");
    let mut client = Http2Client::connect(gateway.address());
    let mut request = Request::post("http://test/up").header("cookie", "a=1").header("te", "trailers");
    request = request.header("x-request-id", "r2");
    let mut request = request.body(Bytes::from("body")).unwrap();
    request.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(7))]);
    let (head, whole) = client.call(request, Some(trailers)).unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(
        String::from_utf8_lossy(&whole.body),
        "POST http://test/up\ncookie: a=1; b=2\nte: trailers\nvia: 2 patchgate\nx-forwarded-for: \
         127.0.0.1\nx-forwarded-host: test\nx-forwarded-proto: http\nx-request-id: r2\nbody\ntrailer x-sum: 7\n"
    );
}

#[test]
fn http2_to_http1_is_one_request_of_http1() {
    let upstream = Upstream::start(|seen| {
        let told =
            format!("{} {} {} {}", seen.method, seen.uri, seen.header("host"), String::from_utf8_lossy(&seen.body));
        Response::new(told.into())
    });
    let gateway = Running::plain(upstream.address);
    let mut client = Http2Client::connect(gateway.address());
    let request = Request::post("http://test/up?a=1").body(Bytes::from("body")).unwrap();
    let (head, whole) = client.call(request, None).unwrap();
    assert_eq!((head.status().as_u16(), &*whole.body), (200, &b"POST /up?a=1 test body"[..]));
}

#[test]
fn a_request_without_a_host_goes_on_without_one() {
    let upstream = echo();
    let gateway = Running::http2(upstream.address, "");
    let mut client = gateway.client();
    client.send("GET /old HTTP/1.0\r\n\r\n").unwrap();
    let reply = client.reply().unwrap();
    assert!(reply.text().starts_with("GET /old\n"), "{}", reply.text());
}

#[test]
fn many_requests_share_a_connection_and_a_full_one_gets_a_second() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let upstream = Http2Upstream::start(4, move |_, respond| {
        let tell = tell.lock().unwrap().clone();
        async move { tell.send(respond).unwrap() }
    });
    let gateway = Running::http2(upstream.address, "");
    // One connection of one client is one worker's.
    let mut client = Http2Client::connect(gateway.address());
    // Once the backend has told its limit.
    let (first, _) = client.open(get("/"), true);
    let respond = |mut respond: SendResponse<Bytes>| respond.send_response(Response::new(()), true).unwrap();
    respond(told.recv().unwrap());
    assert_eq!(client.answer(first).unwrap().0.status(), 200);
    let answers: Vec<_> = (0..10).map(|_| client.open(get("/"), true).0).collect();
    let streams: Vec<_> = told.iter().take(10).collect();
    assert_eq!((upstream.connections(), upstream.streams()), (3, 11), "4, 4 and 2 at a time");
    streams.into_iter().for_each(|stream| drop(respond(stream)));
    for answer in answers {
        assert_eq!(client.answer(answer).unwrap().0.status(), 200);
    }
    let (last, _) = client.open(get("/"), true);
    respond(told.recv().unwrap());
    assert_eq!(client.answer(last).unwrap().0.status(), 200);
    assert_eq!(upstream.connections(), 3, "those that are there are used");
}

type Served = (Request<RecvStream>, SendResponse<Bytes>);

/// A backend that hands each stream to the test.
fn handing() -> (Http2Upstream, Receiver<Served>) {
    let (tell, told): (Sender<Served>, _) = channel();
    let tell = Mutex::new(tell);
    let upstream = Http2Upstream::start(100, move |request, respond| {
        let tell = tell.lock().unwrap().clone();
        async move { tell.send((request, respond)).unwrap() }
    });
    (upstream, told)
}

#[test]
fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let (upstream, told) = handing();
    let mut gateway = Running::http2(upstream.address, "");
    let mut client = Http2Client::connect(gateway.address());
    let (leaves, _) = client.open(get("/leaves"), true);
    let (_, mut left) = told.recv().unwrap();
    let (stays, _) = client.open(get("/stays"), true);
    let (_, mut stayed) = told.recv().unwrap();
    drop(leaves);
    let reset = client.wait(std::future::poll_fn(|cx| left.poll_reset(cx)));
    assert_eq!(reset.unwrap(), Reason::CANCEL);
    stayed.send_response(Response::new(()), true).unwrap();
    assert_eq!(client.answer(stays).unwrap().0.status(), 200);
    assert_eq!(upstream.connections(), 1);
    drop(client);
    gateway.stop();
    assert_eq!(gateway.count(Count::Attempts, "cancelled"), 1);
    assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    let (upstream, told) = handing();
    let mut gateway = Running::http2(upstream.address, "");
    let breaks_off = |told: &Receiver<Served>| {
        let (_, mut respond) = told.recv().unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from("some"), false).unwrap();
        stream
    };
    let mut client = Http2Client::connect(gateway.address());
    for reason in [Reason::INTERNAL_ERROR, Reason::NO_ERROR, Reason::CANCEL] {
        let (answer, _) = client.open(get("/"), true);
        let mut stream = breaks_off(&told);
        let (_, mut body) = client.wait(answer).unwrap().into_parts();
        assert_eq!(client.wait(body.data()).unwrap().unwrap(), "some");
        stream.send_reset(reason);
        assert!(client.wait(body.data()).unwrap().unwrap_err().is_reset(), "{reason:?}");
    }
    let mut old = TcpStream::connect(gateway.address()).unwrap();
    old.write_all((head("GET", "/", &[]) + "\r\n").as_bytes()).unwrap();
    let mut stream = breaks_off(&told);
    let mut seen = Vec::new();
    while !seen.ends_with(b"some\r\n") {
        let mut byte = [0];
        old.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    stream.send_reset(Reason::INTERNAL_ERROR);
    let mut rest = Vec::new();
    let _ = old.read_to_end(&mut rest);
    assert!(rest.is_empty(), "no last chunk: {rest:?}");
    drop((client, old));
    gateway.stop();
    assert_eq!(gateway.count(Count::Finished, "broken"), 4);
}

#[test]
fn an_upload_that_breaks_off_never_looks_whole() {
    let (upstream, told) = handing();
    let mut gateway = Running::http2(upstream.address, "");
    let mut client = Http2Client::connect(gateway.address());
    let (_answer, mut sending) = client.open(Request::post("http://test/").body(()).unwrap(), false);
    sending.send_data(Bytes::from("some"), false).unwrap();
    let (request, _respond) = told.recv().unwrap();
    let mut body = request.into_body();
    assert_eq!(client.wait(body.data()).unwrap().unwrap(), "some");
    sending.send_reset(Reason::INTERNAL_ERROR);
    let broken = client.wait(body.data()).unwrap().unwrap_err();
    assert_eq!(broken.reason(), Some(Reason::CANCEL));
    let mut old = gateway.client();
    old.send(head("POST", "/", &[("content-length", "10")]) + "\r\nsome").unwrap();
    let (request, _respond) = told.recv().unwrap();
    let mut body = request.into_body();
    assert_eq!(client.wait(body.data()).unwrap().unwrap(), "some");
    drop(old);
    assert_eq!(client.wait(body.data()).unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
    drop(client);
    gateway.stop();
    assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
}

#[test]
fn a_slow_reader_holds_its_backend_and_a_slow_backend_its_client() {
    const MUCH: usize = 16 * 1024 * 1024;
    let (upstream, told) = handing();
    let gateway = Running::http2(upstream.address, "");
    let mut client = Http2Client::connect(gateway.address());
    let (answer, mut sending) = client.open(Request::post("http://test/").body(()).unwrap(), false);
    let (request, mut respond) = told.recv().unwrap();
    // Neither side reads: both are held by windows, and by no more than that and what buffers hold.
    let sent = client.wait(fill(&mut sending, MUCH));
    assert!(sent < MUCH / 4, "{sent} bytes went into a backend that reads nothing");
    let mut sending_back = respond.send_response(Response::new(()), false).unwrap();
    let sent_back = client.wait(fill(&mut sending_back, MUCH));
    assert!(sent_back < MUCH / 4, "{sent_back} bytes went into a client that reads nothing");
    sending.send_data(Bytes::new(), true).unwrap();
    assert_eq!(client.wait(whole(request.into_body())).unwrap().body.len(), sent);
    sending_back.send_data(Bytes::new(), true).unwrap();
    let (_, body) = client.wait(answer).unwrap().into_parts();
    assert_eq!(client.wait(whole(body)).unwrap().body.len(), sent_back);
}

/// Sends for as long as there is room, and a while longer; tells how much.
async fn fill(sending: &mut h2::SendStream<Bytes>, most: usize) -> usize {
    let piece = Bytes::from(vec![7; 16 * 1024]);
    let mut sent = 0;
    while sent < most {
        sending.reserve_capacity(piece.len());
        let room = std::future::poll_fn(|cx| match sending.capacity() {
            0 => sending.poll_capacity(cx).map(|room| room.unwrap().unwrap()),
            room => Poll::Ready(room),
        });
        // Time in which everybody would have made room.
        let Ok(room) = tokio::time::timeout(std::time::Duration::from_millis(300), room).await else { break };
        let piece = piece.slice(..room.min(piece.len()));
        sent += piece.len();
        sending.send_data(piece, false).unwrap();
    }
    sending.reserve_capacity(0);
    sent
}

#[test]
fn a_backend_that_does_not_answer_in_time_loses_the_stream_only() {
    let (upstream, told) = handing();
    let mut gateway = Running::http2(upstream.address, "    retry: { on: [connect_failure] }");
    let mut client = gateway.client();
    let reply = client.get("/slow", &[]).unwrap();
    assert_eq!(reply.status, 504, "{}", reply.text());
    let (_, mut slow) = told.recv().unwrap();
    let http2 = Http2Client::connect(gateway.address());
    assert_eq!(http2.wait(std::future::poll_fn(|cx| slow.poll_reset(cx))).unwrap(), Reason::CANCEL);
    client.send(head("GET", "/", &[]) + "\r\n").unwrap();
    let (_, mut respond) = told.recv().unwrap();
    respond.send_response(Response::new(()), true).unwrap();
    assert_eq!(client.reply().unwrap().status, 200);
    assert_eq!(upstream.connections(), 1);
    drop((client, http2));
    gateway.stop();
    assert_eq!(gateway.count(Count::Dropped, "timeout"), 1);
}

#[test]
fn the_loser_of_a_hedge_is_reset_and_a_mirror_speaks_http2_too() {
    let (upstream, told) = handing();
    let (mirror, mirrored) = handing();
    let mut gateway = Running::http2(
        upstream.address,
        &format!("    hedge: {{ after: 50ms, budget: 1 }}\n    mirror: {{ endpoints: [\"{}\"] }}", mirror.address),
    );
    let mut client = Http2Client::connect(gateway.address());
    let (answer, _) = client.open(get("/"), true);
    let (_, mut first) = told.recv().unwrap();
    let (_, mut second) = told.recv().unwrap();
    second.send_response(Response::new(()), true).unwrap();
    assert_eq!(client.answer(answer).unwrap().0.status(), 200);
    assert_eq!(client.wait(std::future::poll_fn(|cx| first.poll_reset(cx))).unwrap(), Reason::CANCEL);
    let (shadow, mut respond) = mirrored.recv().unwrap();
    assert_eq!(shadow.headers()["x-patchgate-shadow"], "1");
    respond.send_response(Response::new(()), true).unwrap();
    patchgate_testkit::eventually("the mirror's end", || {
        (gateway.count(Count::Mirrors, "answered") == 1).then_some(())
    });
    assert_eq!((upstream.connections(), mirror.connections()), (1, 1));
    drop(client);
    gateway.stop();
    assert_eq!(gateway.count(Count::Dropped, "hedge"), 1);
    assert_eq!(gateway.sum(Count::AttemptsStarted), gateway.sum(Count::Attempts));
}

#[test]
fn under_tls_http2_is_agreed_on_by_alpn() {
    let authority = Authority::new();
    let issued = authority.server("backend", &["b.test"]);
    let echo = Upstream::start(|seen| Response::new(format!("{} {}", seen.header("via"), seen.body.len()).into()));
    // A gateway as the backend: it speaks what is agreed on.
    let (certificate, key) = (issued.certificate.display(), issued.key.display());
    let tls =
        format!("tls: {{ certificates: [{{ certificate_file: \"{certificate}\", private_key_file: \"{key}\" }}] }}");
    let inner = Running::with(echo.address, echo.address, &tls, "");
    let tls = format!("    tls: {{ ca_file: \"{}\", server_name: b.test }}", authority.file.display());
    let outer = Running::http2(inner.address(), &tls);
    let reply = outer.get("/", &[]);
    assert_eq!((reply.status, &*reply.text()), (200, "1.1 patchgate,2 patchgate 0"), "{}", reply.text());
}

#[test]
fn a_backend_that_speaks_http1_is_as_good_as_none() {
    let upstream = Upstream::named("old");
    let gateway = Running::http2(upstream.address, "");
    let reply = gateway.get("/", &[]);
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("upstream_connect_failed"), "{}", reply.text());
}
