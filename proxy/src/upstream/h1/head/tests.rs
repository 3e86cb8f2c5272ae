//! Heads that are believed, and heads that are not.

use super::*;
use crate::h1::KnownNames;

fn parsed(text: &str, to_head: bool) -> Result<Option<ResponseHead>, Malformed> {
    parse(&mut BytesMut::from(text), to_head, &mut Lines::default())
}

fn framed(fields: &str) -> (Decoder, bool) {
    let head = parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), false).unwrap().unwrap();
    (head.decoder, head.keep_alive)
}

#[test]
fn a_head_is_taken_off_when_it_is_whole() {
    let whole = "HTTP/1.1 200 OK\r\nX-Some: 1\r\nx-some:2 \r\nempty:\r\n\r\n";
    for end in 0..whole.len() {
        assert!(parsed(&whole[..end], false).unwrap().is_none(), "{end}");
    }
    let mut read = BytesMut::from(format!("{whole}body").as_str());
    let mut lines = Lines::default();
    let head = parse(&mut read, false, &mut lines).unwrap().unwrap();
    assert_eq!(head.status, 200);
    let headers = lines.to_map(&mut KnownNames::default(), 0).unwrap();
    assert_eq!(headers.get_all("x-some").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(headers["empty"], "");
    assert_eq!(&read[..], b"body");
}

#[test]
fn the_body_ends_where_the_head_says() {
    assert_eq!(framed("content-length: 5\r\n"), (Decoder::Length(5), true));
    assert_eq!(framed("content-length: 0\r\n"), (Decoder::Done, true));
    assert_eq!(framed("content-length: 5, 5\r\ncontent-length: 5\r\n"), (Decoder::Length(5), true));
    assert_eq!(framed("transfer-encoding: chunked\r\n"), (Decoder::chunked(), true));
    assert_eq!(framed("transfer-encoding: Chunked\r\n"), (Decoder::chunked(), true));
    assert_eq!(framed("transfer-encoding: chunked\r\ncontent-length: 5\r\n"), (Decoder::chunked(), false));
    assert_eq!(framed(""), (Decoder::ToClose, true));
    assert_eq!(framed("connection: Close\r\ncontent-length: 1\r\n"), (Decoder::Length(1), false));
}

#[test]
fn some_responses_have_no_body_whatever_they_say() {
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(parsed(text, true).unwrap().unwrap().decoder, Decoder::Done);
    for status in ["100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified"] {
        let head = parsed(&format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\n"), false).unwrap().unwrap();
        assert_eq!(head.decoder, Decoder::Done, "{status}");
    }
}

#[test]
fn http_10_closes_unless_it_says_otherwise() {
    let keeps = |fields: &str| {
        let text = format!("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n{fields}\r\n");
        parsed(&text, false).unwrap().unwrap().keep_alive
    };
    assert!(!keeps(""));
    assert!(keeps("connection: keep-alive\r\n"));
    assert!(parsed("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false).is_err());
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
        "content-length: 99999999999999999999\r\n",
        "content-length : 5\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding:\r\n",
        "x-fold: a\r\n b\r\n",
        "x-nul: a\0b\r\n",
        "x bad: 1\r\n",
        ": 1\r\n",
        "x-cr: a\rb\r\n",
    ] {
        assert!(parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), false).is_err(), "{fields:?}");
    }
    for head in ["HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 99 X\r\n\r\n", "no http\r\n\r\n"] {
        assert!(parsed(head, false).is_err(), "{head:?}");
    }
}

#[test]
fn a_head_is_bounded() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
    assert!(parsed(&many, false).is_err());
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(MAX_HEAD));
    assert!(parsed(&long, false).is_err(), "without end");
    assert!(parsed(&format!("{long}\r\n\r\n"), false).is_err(), "with an end too late");
}
