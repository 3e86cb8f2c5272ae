//! Heads that are served, heads that are refused, and bytes of any kind.

use proptest::prelude::*;

use super::super::fuzzing::requests;
use super::*;

const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 100 };

fn parsed(text: &str) -> Result<Option<Head>, Refusal> {
    parse(&mut BytesMut::from(text), BOUNDS, &mut Kept::default())
}

/// The head of a POST with these fields.
fn post(fields: &str) -> Result<Head, Refusal> {
    parsed(&format!("POST / HTTP/1.1\r\n{fields}\r\n")).map(|head| head.expect("it is whole"))
}

#[test]
fn a_head_is_taken_off_when_it_is_whole() {
    let whole = "\r\nGET /a?b HTTP/1.1\r\nHost: x\r\nX-Some: 1\r\nx-some:2 \r\nempty:\r\n\r\n";
    for end in 0..whole.len() {
        assert!(parsed(&whole[..end]).unwrap().is_none(), "{end}");
    }
    let mut read = BytesMut::from(format!("{whole}GET").as_str());
    let head = parse(&mut read, BOUNDS, &mut Kept::default()).unwrap().unwrap();
    assert_eq!((head.parts.method, head.parts.uri.to_string().as_str()), (Method::GET, "/a?b"));
    assert_eq!(head.parts.version, Version::HTTP_11);
    assert_eq!(head.parts.headers.get_all("x-some").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(head.parts.headers["empty"], "");
    assert_eq!((head.body, &read[..]), (Decoder::Done, &b"GET"[..]));
    assert!(head.asked.persistent && !head.asked.to_head && !head.expects_continue);
}

#[test]
fn the_body_ends_where_the_head_says() {
    let body = |fields: &str| post(fields).unwrap().body;
    assert_eq!(body(""), Decoder::Done);
    assert_eq!(body("content-length: 0\r\n"), Decoder::Done);
    assert_eq!(body("content-length: 5\r\ncontent-length: 5\r\n"), Decoder::Length(5));
    assert_eq!(body("transfer-encoding: cHuNkEd\r\n"), Decoder::chunked());
    assert_eq!(body("content-length: 5\r\ntransfer-encoding: chunked\r\n"), Decoder::chunked());
    // Read to its end, so that `admit` can refuse it by name.
    assert_eq!(body("transfer-encoding: gzip, chunked\r\n"), Decoder::chunked());
}

#[test]
fn the_connection_lasts_as_both_versions_have_it() {
    let persistent = |version: &str, fields: &str| {
        parsed(&format!("GET / {version}\r\n{fields}\r\n")).unwrap().unwrap().asked.persistent
    };
    assert!(persistent("HTTP/1.1", ""));
    assert!(!persistent("HTTP/1.1", "connection: x, Close\r\n"));
    assert!(!persistent("HTTP/1.1", "connection: close\r\nconnection: keep-alive\r\n"));
    assert!(!persistent("HTTP/1.0", ""));
    assert!(persistent("HTTP/1.0", "connection: Keep-Alive\r\n"));
    assert!(!persistent("HTTP/1.1", "content-length: 5\r\ntransfer-encoding: chunked\r\n"), "two framings");
    assert!(!persistent("HTTP/1.1", "transfer-encoding: chunked\r\ncontent-length: 5\r\n"), "two framings");
}

#[test]
fn expectations_and_trailers_are_seen() {
    assert!(post("expect: 100-Continue\r\ncontent-length: 1\r\n").unwrap().expects_continue);
    assert!(!parsed("POST / HTTP/1.0\r\nexpect: 100-continue\r\n\r\n").unwrap().unwrap().expects_continue);
    assert!(post("te: gzip, Trailers\r\n").unwrap().asked.takes_trailers);
    assert!(!post("te: gzip\r\n").unwrap().asked.takes_trailers);
    assert!(parsed("HEAD / HTTP/1.1\r\n\r\n").unwrap().unwrap().asked.to_head);
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for fields in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: -1\r\n",
        "content-length: +5\r\n",
        "content-length: 0x5\r\n",
        "content-length: \r\n",
        "content-length: 18446744073709551621\r\n",
        "content-length : 5\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: cow\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding:\r\n",
        "x-fold: a\r\n b\r\n",
        " x-first: a\r\n",
        "x-nul: a\0b\r\n",
        "x bad: 1\r\n",
        ": 1\r\n",
        "x-cr: a\rb\r\n",
    ] {
        assert_eq!(post(fields).unwrap_err(), Refusal::Malformed, "{fields:?}");
    }
    for head in [
        "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "G@T / HTTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}",
    ] {
        assert_eq!(parsed(head).unwrap_err(), Refusal::Malformed, "{head:?}");
    }
}

#[test]
fn a_head_is_bounded_in_bytes_fields_and_target() {
    let long = format!("GET / HTTP/1.1\r\na: {}", "b".repeat(BOUNDS.bytes));
    assert_eq!(parsed(&long).unwrap_err(), Refusal::TooLarge, "without end");
    assert_eq!(parsed(&format!("{long}\r\n\r\n")).unwrap_err(), Refusal::TooLarge, "with an end too late");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(101));
    assert_eq!(parsed(&many).unwrap_err(), Refusal::TooLarge);
    let wider = Bounds { bytes: 1 << 20, fields: 101 };
    let known = &mut Kept::default();
    let head = parse(&mut BytesMut::from(many.as_str()), wider, known).unwrap().unwrap();
    assert_eq!(head.parts.headers.len(), 101);
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_TARGET));
    let refused = parse(&mut BytesMut::from(target.as_str()), wider, known).unwrap_err();
    assert_eq!((refused, refused.status()), (Refusal::TargetTooLong, StatusCode::URI_TOO_LONG));
}

/// Bodies for such requests, now and then of a request that has none.
fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        1 => "[a-z\r\n]{0,9}",
        2 => prop::collection::vec("[1-9a-c]\r\n[a-z]{1,12}\r\n", 0..4)
            .prop_map(|chunks| chunks.concat() + "0\r\nx-end: 1\r\n\r\n"),
        2 => "(3\r\nabc\r\n|1;x=y\r\nd\r\n){0,3}0\r\n\r\n",
    ]
}

/// Requests as clients write them, now and then with something wrong.
fn request() -> impl Strategy<Value = String> {
    let method = prop_oneof!["GET", "POST", "HEAD", "[A-Z]{1,9}", "[ -~]{0,4}"];
    let target = prop_oneof!["/[a-z/?=%]{0,20}", Just("*".to_owned()), "http://[a-z]{1,8}/", "[ -~]{0,9}"];
    let version = prop_oneof![4 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0"), 1 => Just("HTTP/1.2")];
    let field = prop_oneof![
        "[A-Za-z-]{1,12}: [ -~]{0,20}",
        "(content-length|Content-Length): [0-9, +]{0,4}",
        "transfer-encoding: (chunked|gzip|chunked, ?|, chunked){1,2}",
        "connection: (close|keep-alive|te)",
        "[ -~]{0,12}",
    ];
    let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n")];
    (method, target, version, prop::collection::vec((field, end), 0..8)).prop_map(
        |(method, target, version, fields)| {
            let fields: String = fields.iter().map(|(field, end)| format!("{field}{end}")).collect();
            format!("{method} {target} {version}\r\n{fields}\r\n")
        },
    )
}

proptest! {
    #[test]
    fn a_head_reads_the_same_however_it_comes(text in request(), cut in any::<prop::sample::Index>()) {
        let whole = parsed(&text).map(|head| format!("{head:?}"));
        let cut = cut.index(text.len());
        let mut read = BytesMut::from(&text[..cut]);
        let mut known = Kept::default();
        let early = parse(&mut read, BOUNDS, &mut known);
        let pieced = match early {
            Ok(None) => {
                read.extend_from_slice(&text.as_bytes()[cut..]);
                parse(&mut read, BOUNDS, &mut known)
            }
            // Nothing that follows mends it, and a head that is whole ends before the cut.
            other => other,
        };
        prop_assert_eq!(pieced.map(|head| format!("{head:?}")), whole);
    }

    #[test]
    fn a_connection_has_the_same_requests_however_its_bytes_come(
        messages in prop::collection::vec((request(), body()), 1..4),
        step in 1..40usize,
    ) {
        let text: String = messages.into_iter().map(|(head, body)| head + &body).collect();
        let whole = requests(text.as_bytes(), usize::MAX);
        prop_assert_eq!(requests(text.as_bytes(), step), whole);
    }

    #[test]
    fn no_bytes_are_worse_than_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut read = BytesMut::from(&bytes[..]);
        let parsed = parse(&mut read, BOUNDS, &mut Kept::default());
        prop_assert!(!matches!(parsed, Ok(None)) || read[..] == bytes[..], "what is not whole stays");
    }

    #[test]
    fn what_is_served_has_one_framing(text in request()) {
        let Ok(Some(head)) = parsed(&text) else { return Ok(()) };
        let headers = &head.parts.headers;
        match head.body {
            Decoder::Length(_) => prop_assert!(!headers.contains_key("transfer-encoding")),
            Decoder::Chunked(_) => prop_assert!(headers.contains_key("transfer-encoding")),
            Decoder::Done => prop_assert!(!headers.contains_key("transfer-encoding")),
            Decoder::ToClose | Decoder::Stream(_) => prop_assert!(false, "a request's body never ends with the connection"),
        }
        if headers.contains_key("transfer-encoding") && headers.contains_key("content-length") {
            prop_assert!(!head.asked.persistent);
        }
    }
}
