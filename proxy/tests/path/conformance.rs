//! HTTP/2 by clients that are not ours: python-hyper's h2, nghttp, curl; before backends of either protocol. With
//! `--nocapture` it prints the table of `docs/reliability.md`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http::Response;
use patchgate_testkit::http2::{Http2Upstream, whole};
use patchgate_testkit::tools::{debian, python};
use patchgate_testkit::upstream::RawUpstream;

use super::Running;

const MIB: usize = 1 << 20;

/// What the clients' script asks of a backend, over HTTP/2.
fn http2_backend() -> Http2Upstream {
    Http2Upstream::start(100, |request, mut respond| async move {
        let path = request.uri().path().to_owned();
        let head = request.method() == http::Method::HEAD;
        let length = request.headers().get("content-length").cloned();
        let Ok(whole) = whole(request.into_body()).await else { return };
        let body = match &*path {
            "/echo" => Bytes::from(whole.body),
            "/big" => Bytes::from(vec![7; MIB]),
            "/none" => Bytes::new(),
            _ => Bytes::from("some"),
        };
        let mut answer = Response::new(());
        if path == "/none" {
            *answer.status_mut() = http::StatusCode::NO_CONTENT;
        }
        if let Some(length) = length {
            answer.headers_mut().insert("content-length", length);
        }
        let ends = head || body.is_empty() && whole.trailers.is_none();
        let Ok(mut stream) = respond.send_response(answer, ends) else { return };
        if ends {
            return;
        }
        let _ = stream.send_data(body, whole.trailers.is_none());
        if let Some(trailers) = whole.trailers {
            let _ = stream.send_trailers(trailers);
        }
    })
}

/// The same over HTTP/1.1, trailers in chunks.
fn http1_backend() -> RawUpstream {
    RawUpstream::start(|_, mut stream| {
        // Head and body leave in two writes.
        stream.set_nodelay(true).unwrap();
        while serve(&mut stream).is_some() {}
    })
}

fn serve(stream: &mut std::net::TcpStream) -> Option<()> {
    use std::io::{Read, Write};
    let head = patchgate_testkit::upstream::read_head(stream)?.to_ascii_lowercase();
    let mut trailers = None;
    let mut body = Vec::new();
    if let Some(length) = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()) {
        body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
    } else if head.contains("transfer-encoding: chunked") {
        loop {
            let size = usize::from_str_radix(&line(stream)?, 16).ok()?;
            if size == 0 {
                break;
            }
            let begin = body.len();
            body.resize(begin + size, 0);
            stream.read_exact(&mut body[begin..]).ok()?;
            line(stream)?;
        }
        while let Some(field) = line(stream).filter(|field| !field.is_empty()) {
            trailers = Some(field);
        }
    }
    let path = head.split(' ').nth(1)?;
    let body = match path {
        "/echo" => body,
        "/big" => vec![7; MIB],
        "/none" => return stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok(),
        _ => b"some".to_vec(),
    };
    let answer = match &trailers {
        None => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes(),
        Some(_) => format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n", body.len()).into_bytes(),
    };
    stream.write_all(&answer).ok()?;
    if !head.starts_with("head ") {
        stream.write_all(&body).ok()?;
    }
    match trailers {
        None => Some(()),
        Some(field) => stream.write_all(format!("\r\n0\r\n{field}\r\n\r\n").as_bytes()).ok(),
    }
}

fn line(stream: &mut std::net::TcpStream) -> Option<String> {
    use std::io::Read;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        line.push(byte[0]);
    }
    String::from_utf8(line).ok().map(|line| line.trim_end().to_owned())
}

/// A program's case: what it is told, and what it has to say.
fn told(program: &Path, arguments: &[&str], url: &str, expected: &str) -> String {
    let output = Command::new(program).args(arguments).arg(url).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    match output.status.success() && said.contains(expected) {
        true => "ok".to_owned(),
        false => format!("{}: {}", output.status, said.chars().take(400).collect::<String>()),
    }
}

fn programs(gateway: SocketAddr) -> Vec<(String, String)> {
    let (nghttp, curl) = (debian("nghttp", "nghttp2-client"), debian("curl", "curl"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body");
    std::fs::write(&file, vec![b'u'; 300_000]).unwrap();
    let file = file.to_str().unwrap();
    let upload = format!("@{file}");
    let url = |path: &str| format!("http://{gateway}{path}");
    let nghttp_cases: &[(&str, &[&str], &str, &str)] = &[
        ("a hundred requests at once", &["-nsv", "-m100"], "/", "stream_id=199"),
        (
            "an upload with padding and trailers",
            &["-nv", "-b255", "-d", file, "--trailer", "x-sum: 7"],
            "/echo",
            "x-sum: 7",
        ),
        ("the head in CONTINUATION", &["-nv", "--continuation"], "/", ":status: 200"),
        ("a window of 1 KiB", &["-w10"], "/big", ""),
        ("no header table", &["-nv", "-c0", "-m3"], "/", "stream_id=17"),
        ("Expect: 100-continue", &["-nv", "--expect-continue", "-d", file], "/echo", ":status: 200"),
    ];
    let curl_cases: &[(&str, &[&str], &str, &str)] = &[
        ("GET", &["-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"], "/", "2 200"),
        (
            "an upload",
            &["-sS", "-o", "/dev/null", "-w", "%{size_download}", "--data-binary", &upload],
            "/echo",
            "300000",
        ),
        ("HEAD", &["-sS", "-I"], "/", "HTTP/2 200"),
    ];
    let nghttp = nghttp_cases.iter().map(|(name, arguments, path, expected)| {
        (format!("nghttp: {name}"), told(&nghttp, arguments, &url(path), expected))
    });
    let curl = curl_cases.iter().map(|(name, arguments, path, expected)| {
        let arguments = [&["--http2-prior-knowledge"], *arguments].concat();
        (format!("curl: {name}"), told(&curl, &arguments, &url(path), expected))
    });
    nghttp.chain(curl).collect()
}

#[test]
fn real_clients_of_http2_get_what_they_ask_for_from_backends_of_either_protocol() {
    let (old, new) = (http1_backend(), http2_backend());
    let timeouts = "{ connect: 1s, first_byte: 20s, idle: 20s, total: 40s }";
    let gateway = |protocol: &str, endpoint: SocketAddr| {
        Running::start(&format!(
            r#"
listeners: [{{ name: web, address: "127.0.0.1:0", limits: {{ header_bytes: 128KiB }} }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    protocol: {protocol}
    stable: {{ version: v1, endpoints: ["{endpoint}"] }}
    timeouts: {timeouts}
"#
        ))
    };
    let (to_old, to_new) = (gateway("http1", old.address), gateway("http2", new.address));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/path/conformance.py");
    let ports = [&to_old, &to_new].map(|gateway| gateway.address().port().to_string());
    let library = python("h2", "4.3.0");
    let output = Command::new("python3").arg(script).args(&ports).env("PYTHONPATH", library).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows: Vec<[String; 3]> = text
        .lines()
        .map(|line| {
            let mut columns = line.split('\t').map(str::to_owned);
            let name = format!("h2: {}", columns.next().unwrap().replace('_', " "));
            [name, columns.next().unwrap(), columns.next().unwrap()]
        })
        .collect();
    let both = programs(to_old.address()).into_iter().zip(programs(to_new.address()));
    rows.extend(both.map(|((name, old), (_, new))| [name, old, new]));
    println!("| case | HTTP/1.1 backend | HTTP/2 backend |\n| --- | --- | --- |");
    rows.iter().for_each(|[name, old, new]| println!("| {name} | {old} | {new} |"));
    let wrong: Vec<_> = rows.iter().filter(|[_, old, new]| old != "ok" || new != "ok").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
