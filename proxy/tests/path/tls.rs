//! TLS towards clients: who is served, by which certificate, and how a connection ends.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;

use patchgate_proxy::telemetry::metrics::Count;
use patchgate_testkit::client::{Client, head};
use patchgate_testkit::eventually;
use patchgate_testkit::pki::{self, Authority, ClientStream, Flaw, Issued};
use patchgate_testkit::tools::debian;
use patchgate_testkit::upstream::{RawUpstream, Upstream, read_head};
use rustls::{ClientConfig, HandshakeKind};

use super::{MARKED, Running};

/// A listener's certificates as YAML.
fn certificates(list: &[&Issued]) -> String {
    let entry = |issued: &&Issued| {
        let (certificate, key) = (issued.certificate.display(), issued.key.display());
        format!("{{ certificate_file: \"{certificate}\", private_key_file: \"{key}\" }}")
    };
    format!("certificates: [{}]", list.iter().map(entry).collect::<Vec<_>>().join(", "))
}

/// A gateway in front of a backend that tells what it was asked for.
fn gateway(upstream: &Upstream, tls: &str, listener: &str) -> Running {
    Running::with(upstream.address, upstream.address, &format!("tls: {{ {tls} }}, {listener}"), "")
}

fn echo() -> Upstream {
    Upstream::start(|seen| {
        let told = format!("{} {}", seen.header("x-forwarded-proto"), seen.body.len());
        http::Response::new(told.into())
    })
}

fn dial(gateway: &Running, name: &str, config: &Arc<ClientConfig>) -> std::io::Result<Client<ClientStream>> {
    pki::connect(gateway.address(), name, config).map(Client::over)
}

/// A client learns that it is refused before that is counted.
fn counted(gateway: &Running, result: &str, times: u64) {
    eventually(result, || (gateway.count(Count::TlsHandshakes, result) == times).then_some(()));
}

/// The first name in the certificate that the server showed.
fn shown(client: &Client<ClientStream>) -> String {
    let certificates = client.stream().conn.peer_certificates().expect("a server shows one");
    let names = patchgate_config::tls::names_of(&certificates[0]);
    match names.first() {
        Some(patchgate_config::tls::SubjectName::Dns(name)) => name.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_are_served_under_tls_and_backends_are_told_so() {
    let (authority, upstream) = (Authority::new(), echo());
    let gateway = gateway(&upstream, &certificates(&[&authority.server("web", &["a.test"])]), "");
    let mut client = dial(&gateway, "a.test", &Arc::new(authority.client_config(None))).unwrap();
    for _ in 0..3 {
        assert_eq!(client.get("/", &[]).unwrap().text(), "https 0");
    }
    assert_eq!(gateway.sum(Count::TlsHandshakes), 1);
    assert_eq!(gateway.count(Count::TlsHandshakes, "full"), 1);
}

#[test]
fn curl_speaks_http_2_by_alpn_and_1_1_where_it_wants_to() {
    let (authority, upstream) = (Authority::new(), echo());
    let gateway = gateway(&upstream, &certificates(&[&authority.server("web", &["a.test"])]), "");
    let port = gateway.address().port();
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let told = Command::new(debian("curl", "curl"))
            .args(["--silent", "--show-error", option, "--write-out", " %{http_version}", "--cacert"])
            .arg(&authority.file)
            .args(["--resolve", &format!("a.test:{port}:127.0.0.1"), &format!("https://a.test:{port}/")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert_eq!(text, format!("https 0 {version}"), "{}", String::from_utf8_lossy(&told.stderr));
    }
}

#[test]
fn a_client_is_shown_the_certificate_of_the_host_that_it_names() {
    let (authority, upstream) = (Authority::new(), echo());
    let [first, exact, wide] = [
        authority.server("first", &["first.test"]),
        authority.server("exact", &["a.zone.test"]),
        authority.server("wide", &["*.zone.test"]),
    ];
    let gateway = gateway(&upstream, &certificates(&[&first, &exact, &wide]), "");
    let config = Arc::new(authority.client_config(None));
    for (asked, wanted) in
        [("first.test", "first.test"), ("A.zone.test", "a.zone.test"), ("b.zone.test", "*.zone.test")]
    {
        assert_eq!(shown(&dial(&gateway, asked, &config).unwrap()), wanted, "{asked}");
    }
    // Of nobody, and of more than one label: shown the first, which the client then refuses.
    for asked in ["other.test", "c.b.zone.test", "127.0.0.1"] {
        let error = dial(&gateway, asked, &config).unwrap_err().to_string();
        assert!(error.contains("first.test") || error.contains("NotValidForName"), "{asked}: {error}");
    }
}

#[test]
fn a_session_is_resumed_whichever_worker_takes_the_connection() {
    let (authority, upstream) = (Authority::new(), echo());
    let gateway = gateway(&upstream, &certificates(&[&authority.server("web", &["a.test"])]), "");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let config = Arc::new(authority.client_config_of(version));
        for nth in 0..12 {
            let mut client = dial(&gateway, "a.test", &config).unwrap();
            // A ticket of TLS 1.3 comes behind the handshake.
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
            let resumed = client.stream().conn.handshake_kind() == Some(HandshakeKind::Resumed);
            assert_eq!(resumed, nth > 0, "{version:?} {nth}");
        }
    }
    assert_eq!(gateway.count(Count::TlsHandshakes, "resumed"), 22);
}

#[test]
fn versions_older_than_the_oldest_are_refused() {
    let (authority, upstream) = (Authority::new(), echo());
    let own = certificates(&[&authority.server("web", &["a.test"])]);
    let (lax, strict) = (gateway(&upstream, &own, ""), gateway(&upstream, &format!("{own}, min_version: '1.3'"), ""));
    let config = Arc::new(authority.client_config_of(&rustls::version::TLS12));
    assert!(dial(&lax, "a.test", &config).is_ok());
    assert!(dial(&strict, "a.test", &config).is_err());
    counted(&strict, "incompatible", 1);
    // What rustls does not know at all, openssl can still ask for.
    let ask = |version: &str| {
        let mut asking = Command::new(debian("openssl", "openssl"));
        asking.args(["s_client", "-brief", "-cipher", "ALL:@SECLEVEL=0", version, "-connect"]);
        let told = asking.arg(lax.address().to_string()).stdin(std::process::Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&told.stderr).into_owned()
    };
    assert!(ask("-tls1_2").contains("Protocol version: TLSv1.2"));
    for version in ["-tls1_1", "-tls1"] {
        let told = ask(version);
        assert!(told.contains("SSL alert number") && !told.contains("ESTABLISHED"), "{told}");
    }
}

#[test]
fn clients_are_known_by_their_certificates_or_refused() {
    let (authority, other, upstream) = (Authority::new(), Authority::new(), echo());
    let ca = authority.file.display();
    let own = certificates(&[&authority.server("web", &["a.test"])]);
    let names = "subject_alt_names: ['*.clients.test', 'spiffe://mesh/ns/shop/*']";
    let gateway = gateway(&upstream, &format!("{own}, client_certificate: {{ ca_file: \"{ca}\", {names} }}"), "");
    let served = |own: Option<&Issued>| {
        // In TLS 1.3 a client learns that it is refused when it reads.
        let client = dial(&gateway, "a.test", &Arc::new(authority.client_config(own)));
        client.and_then(|mut client| client.get("/", &[])).map(|reply| reply.text()).ok()
    };
    let good = Some("https 0".to_owned());
    assert_eq!(served(Some(&authority.client("dns", &["x.clients.test"]))), good);
    assert_eq!(served(Some(&authority.client("uri", &["spiffe://mesh/ns/shop/sa/web"]))), good);
    assert_eq!(gateway.count(Count::TlsHandshakes, "full"), 2);
    assert_eq!(served(None), None);
    counted(&gateway, "no_certificate", 1);
    let bad = [
        authority.client("other-name", &["x.servers.test"]),
        authority.client("no-name", &[]),
        other.client("other-authority", &["x.clients.test"]),
        authority.flawed_client("expired", &["x.clients.test"], Flaw::Expired),
        authority.flawed_client("early", &["x.clients.test"], Flaw::Early),
        authority.flawed_client("of-a-server", &["x.clients.test"], Flaw::OtherUse),
    ];
    for (nth, issued) in bad.iter().enumerate() {
        assert_eq!(served(Some(issued)), None, "{}", issued.certificate.display());
        counted(&gateway, "bad_certificate", nth as u64 + 1);
    }
}

#[test]
fn a_mark_is_believed_from_whoever_is_trusted_by_name() {
    let (stable, hot_fix, authority) = (Upstream::named("stable"), Upstream::named("hot-fix"), Authority::new());
    let ca = authority.file.display();
    let own = certificates(&[&authority.server("web", &["a.test"])]);
    let listener = format!(
        "tls: {{ {own}, client_certificate: {{ ca_file: \"{ca}\", required: false }} }}, \
         trust: {{ addresses: [], identities: ['spiffe://mesh/ns/shop/*'] }}"
    );
    let gateway = Running::with(stable.address, hot_fix.address, &listener, "");
    let served = |own: Option<&Issued>| {
        let mut client = dial(&gateway, "a.test", &Arc::new(authority.client_config(own))).unwrap();
        client.get("/", MARKED).unwrap().text()
    };
    assert_eq!(served(Some(&authority.client("shop", &["spiffe://mesh/ns/shop/sa/web"]))), "hot-fix");
    assert_eq!(served(Some(&authority.client("other", &["spiffe://mesh/ns/other/sa/web"]))), "stable");
    assert_eq!(served(None), "stable");
}

#[test]
fn a_client_without_tls_is_told_what_is_spoken_here() {
    let (authority, upstream) = (Authority::new(), echo());
    let gateway = gateway(&upstream, &certificates(&[&authority.server("web", &["a.test"])]), "");
    for (nth, field) in [(1, "short".to_owned()), (2, "x".repeat(8000))] {
        let mut client = gateway.client();
        client.send(head("GET", "/", &[("x-field", &field)]) + "\r\n").unwrap();
        // Of TLS not a byte comes before it.
        let answer = String::from_utf8(client.rest().unwrap()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
        counted(&gateway, "not_tls", nth);
    }
}

#[test]
fn bodies_of_megabytes_pass_in_both_directions() {
    let authority = Authority::new();
    let upstream = Upstream::start(|seen| http::Response::new(seen.body));
    let gateway = gateway(&upstream, &certificates(&[&authority.server("web", &["a.test"])]), "");
    let body: Vec<u8> = (0..12_000_000_u32).map(|nth| nth.to_le_bytes()[nth as usize % 3]).collect();
    let mut client = dial(&gateway, "a.test", &Arc::new(authority.client_config(None))).unwrap();
    for _ in 0..2 {
        client.send(head("POST", "/", &[("content-length", "12000000")]) + "\r\n").unwrap();
        client.send(&body).unwrap();
        assert!(client.reply().unwrap().body == body);
    }
}

#[test]
fn requests_that_came_in_one_record_are_all_answered() {
    let (authority, upstream) = (Authority::new(), echo());
    let gateway = gateway(&upstream, &certificates(&[&authority.server("web", &["a.test"])]), "");
    let mut client = dial(&gateway, "a.test", &Arc::new(authority.client_config(None))).unwrap();
    client.send((head("GET", "/", &[]) + "\r\n").repeat(50)).unwrap();
    for _ in 0..50 {
        assert_eq!(client.reply().unwrap().status, 200);
    }
}

#[test]
fn an_end_is_told_from_a_break_off() {
    let authority = Authority::new();
    let upstream = RawUpstream::start(|_, mut stream| {
        let head = read_head(&mut stream).unwrap_or_default();
        let _ = match head.starts_with("GET /whole") {
            true => stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it"),
            false => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome of it"),
        };
    });
    let tls = certificates(&[&authority.server("web", &["a.test"])]);
    let listener = format!("tls: {{ {tls} }}");
    let gateway = Running::with(upstream.address, upstream.address, &listener, "");
    let config = Arc::new(authority.client_config(None));
    let rest = |path: &str| {
        let mut stream = pki::connect(gateway.address(), "a.test", &config).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: a.test\r\n\r\n").as_bytes()).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
    };
    // To the close: only the alert that ends TLS says that this was all.
    assert!(rest("/whole").unwrap().ends_with("all of it"));
    rest("/broken").unwrap_err();
}
