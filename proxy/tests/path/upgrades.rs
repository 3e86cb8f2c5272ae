//! WebSocket and other upgrades: real clients and servers of the protocol, and raw ones for what they would not do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_proxy::withdraw::Cut;
use patchgate_testkit::client::Client;
use patchgate_testkit::eventually;
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocket};
use tungstenite::{Error, Message};

use super::{MARKED, Running};

const UPGRADE: &[(&str, &str)] = &[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";

/// Sends every message back behind `name`.
fn echo(name: &'static str) -> RawUpstream {
    RawUpstream::start(move |_, stream| {
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        socket.send(Message::text(name)).unwrap();
        while let Ok(message) = socket.read() {
            if message.is_text() || message.is_binary() {
                socket.send(message).unwrap();
            }
        }
    })
}

/// Switches and then does with the connection what the closure says.
fn switches(then: impl Fn(TcpStream) + Send + Sync + 'static) -> RawUpstream {
    RawUpstream::start(move |_, mut stream| {
        if read_head(&mut stream).is_some() {
            stream.write_all(SWITCHED).unwrap();
            then(stream);
        }
    })
}

fn socket(gateway: &Running, fields: &[(&'static str, &str)]) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut request = "ws://test/talk".into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    tungstenite::client(request, stream).unwrap().0
}

/// A client whose connection is a tunnel.
fn tunnel(gateway: &Running) -> Client {
    let mut client = gateway.client();
    let reply = client.get("/", UPGRADE).unwrap();
    assert_eq!((reply.status, reply.header("connection")), (101, Some("upgrade")));
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    client
}

fn with_timeouts(backend: SocketAddr, timeouts: &str, upgrades: &str) -> Running {
    Running::start(&format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{backend}"] }}
    timeouts: {{ {timeouts} }}
    {upgrades}
"#
    ))
}

#[test]
fn a_websocket_carries_messages_of_every_size_and_kind_and_its_close_code() {
    let backend = echo("stable");
    let mut gateway = Running::plain(backend.address);
    let mut socket = socket(&gateway, &[]);
    // The server speaks first: what came with the 101 is not lost.
    assert_eq!(socket.read().unwrap(), Message::text("stable"));
    let large = Message::binary(vec![7u8; 1 << 20]);
    for message in [Message::text("hello"), Message::text(""), large] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.send(Message::Ping("are you there".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("are you there".into()));
    socket.close(Some(CloseFrame { code: CloseCode::Away, reason: "done".into() })).unwrap();
    let Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("no close frame") };
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Away, "done"));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    gateway.stop();
    assert_eq!((gateway.sum(Count::Upgrades), gateway.sum(Count::Commits), gateway.sum(Count::Finished)), (1, 1, 1));
    assert_eq!(gateway.count(Count::Finished, "complete"), 1);
    assert_eq!(gateway.count(Count::Attempts, "committed"), 1);
    assert!(gateway.count(Count::TunnelBytes, "upstream") > 1 << 20);
    assert!(gateway.count(Count::TunnelBytes, "downstream") > 1 << 20);
}

#[test]
fn an_upgrade_with_a_mark_goes_to_the_hot_fix() {
    let (stable, hot_fix) = (echo("stable"), echo("hot-fix"));
    let gateway = Running::with(stable.address, hot_fix.address, "", "");
    assert_eq!(socket(&gateway, MARKED).read().unwrap(), Message::text("hot-fix"));
    assert_eq!(socket(&gateway, &[]).read().unwrap(), Message::text("stable"));
}

#[test]
fn a_client_that_reads_nothing_may_send_on() {
    const BYTES: usize = 8 << 20;
    let (got, gets) = mpsc::channel();
    let backend = switches(move |mut stream| {
        let mut writer = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&vec![1; BYTES]));
        stream.read_exact(&mut vec![0; BYTES]).unwrap();
        got.send(()).unwrap();
        writing.join().unwrap().unwrap();
    });
    let gateway = Running::plain(backend.address);
    let mut client = tunnel(&gateway);
    client.send(vec![2; BYTES]).unwrap();
    gets.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(client.rest().unwrap().len(), BYTES);
}

#[test]
fn a_client_that_vanishes_is_the_end_for_the_backend() {
    let (ended, ends) = mpsc::channel();
    let backend = switches(move |mut stream| {
        let _ = ended.send(std::io::copy(&mut stream, &mut std::io::sink()).unwrap());
    });
    let gateway = Running::plain(backend.address);
    let mut client = tunnel(&gateway);
    client.send("bye").unwrap();
    drop(client);
    assert_eq!(ends.recv_timeout(Duration::from_secs(30)), Ok(3), "with all that it had sent");
}

#[test]
fn a_backend_that_vanishes_is_the_end_for_the_client() {
    let backend = switches(|mut stream| stream.write_all(b"bye").unwrap());
    let mut gateway = Running::plain(backend.address);
    assert_eq!(tunnel(&gateway).rest().unwrap(), b"bye");
    gateway.stop();
    assert_eq!(gateway.count(Count::Finished, "complete"), 1);
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer_and_what_follows_is_http() {
    let (told, tells) = mpsc::channel();
    let backend = RawUpstream::start(move |_, mut stream| {
        while let Some(head) = read_head(&mut stream) {
            let refused = head.contains("upgrade: websocket");
            told.send(head).unwrap();
            let status = if refused { "403 Forbidden" } else { "200 OK" };
            stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno").as_bytes()).unwrap();
        }
    });
    let gateway = Running::plain(backend.address);
    let mut client = gateway.client();
    // Sent before there is an answer: never the tunnel's.
    let early = "GET /second HTTP/1.1\r\nhost: test\r\n\r\n";
    let head = patchgate_testkit::client::head("GET", "/first", UPGRADE);
    client.send(format!("{head}\r\n{early}")).unwrap();
    assert_eq!(client.reply().unwrap().status, 403);
    assert_eq!(client.reply().unwrap().status, 200);
    assert!(tells.recv().unwrap().starts_with("GET /first "));
    assert!(tells.recv().unwrap().starts_with("GET /second "), "read as the request that it is");
    assert_eq!(gateway.sum(Count::Upgrades), 0);
}

#[test]
fn an_upgrade_that_is_not_let_through_is_ignored() {
    let backend = Upstream::start(|seen| {
        let told = format!("{}{}{}", seen.header("upgrade"), seen.header("connection"), seen.header("http2-settings"));
        http::Response::new(told.into())
    });
    let gateway = Running::plain(backend.address);
    let body = [UPGRADE[0], UPGRADE[1], ("content-length", "0")];
    let settings = ("http2-settings", "AAMAAABk");
    let h2c = [("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), settings];
    assert_eq!(gateway.get("/", &h2c).text(), "", "no such token");
    assert_eq!(gateway.get("/", &UPGRADE[1..]).text(), "", "not named by connection");
    assert_eq!(gateway.get("/", &body).text(), "websocketupgrade", "an empty body is none");
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").unwrap();
    assert_eq!(client.reply().unwrap().text(), "", "RFC 6455 §4.1: GET");
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 1\r\n\r\nx")
        .unwrap();
    assert_eq!(client.reply().unwrap().text(), "", "never with a body");
    client.send("GET / HTTP/1.0\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").unwrap();
    assert_eq!(client.reply().unwrap().text(), "", "HTTP/1.0 knows no upgrade");
    let off = with_timeouts(backend.address, "total: 5s", "upgrades: []");
    assert_eq!(off.get("/", UPGRADE).text(), "");
}

#[test]
fn a_protocol_that_nobody_asked_for_is_an_error_of_the_backend() {
    let answers = [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket, other\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ];
    let backend = RawUpstream::start(move |number, mut stream| {
        read_head(&mut stream).unwrap();
        stream.write_all(answers[number % answers.len()].as_bytes()).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let gateway = Running::plain(backend.address);
    for _ in answers {
        let reply = gateway.get("/", UPGRADE);
        assert_eq!(reply.status, 502);
        assert!(reply.text().contains("upstream_switched"), "{}", reply.text());
    }
}

#[test]
fn a_tunnel_outlives_the_total_timeout_and_ends_when_neither_side_says_anything() {
    let backend = echo("stable");
    let mut gateway = with_timeouts(backend.address, "first_byte: 5s, idle: 2s, total: 2s", "");
    let mut socket = socket(&gateway, &[]);
    assert_eq!(socket.read().unwrap(), Message::text("stable"));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let next = began.elapsed() + Duration::from_millis(250);
        socket.send(Message::text("still here")).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text("still here"));
        eventually("a pause", || (began.elapsed() >= next).then_some(()));
    }
    assert!(matches!(socket.read(), Err(Error::Io(_) | Error::Protocol(_))), "cut off, not closed in order");
    gateway.stop();
    assert_eq!(gateway.count(Count::Finished, "timed_out"), 1);
}

#[test]
fn a_drain_waits_for_a_tunnel_and_then_cuts_it() {
    let backend = echo("stable");
    let mut gateway = Running::plain(backend.address);
    let mut socket = socket(&gateway, &[]);
    assert_eq!(socket.read().unwrap(), Message::text("stable"));
    let proxy = gateway.proxy.take().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let draining = std::thread::spawn(move || runtime.block_on(proxy.drain(Duration::from_secs(2))));
    socket.send(Message::text("still here")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("still here"));
    assert!(socket.read().is_err());
    draining.join().unwrap();
    assert_eq!((gateway.sum(Count::Commits), gateway.sum(Count::Finished)), (1, 1));
}

#[test]
fn a_withdrawn_patch_loses_its_tunnels_and_stable_keeps_its_own() {
    let (stable, hot_fix) = (echo("stable"), echo("hot-fix"));
    let mut gateway = Running::with(stable.address, hot_fix.address, "", "");
    let mut kept = socket(&gateway, &[]);
    let mut lost = socket(&gateway, MARKED);
    assert_eq!(kept.read().unwrap(), Message::text("stable"));
    assert_eq!(lost.read().unwrap(), Message::text("hot-fix"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(gateway.handle().cut("fix")), Cut { unanswered: 0, broken: 1 });
    assert!(lost.read().is_err());
    kept.send(Message::text("still here")).unwrap();
    assert_eq!(kept.read().unwrap(), Message::text("still here"));
    drop(kept);
    gateway.stop();
    assert_eq!(gateway.count(Count::Withdrawn, "broken"), 1);
    assert_eq!((gateway.sum(Count::Commits), gateway.sum(Count::Finished)), (2, 2));
}
