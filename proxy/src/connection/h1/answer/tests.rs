//! Heads of answers to every kind of request.

use http::Response;

use super::*;

fn asked() -> Asked {
    Asked { persistent: true, ..Asked::default() }
}

/// `fields`: of a backend, but for `content-length`, which it told, and those of our own.
fn text(asked: Asked, status: u16, fields: &[(&'static str, &'static str)], size: Option<u64>) -> (String, Plan) {
    let mut response = Response::builder().status(status);
    let mut relayed = Relayed::default();
    let mut lines = String::new();
    for (name, value) in fields {
        match *name {
            "etag" | "date" => lines.push_str(&format!("{name}: {value}\r\n")),
            _ => response = response.header(*name, *value),
        }
        relayed.dated |= *name == "date";
        if *name == "content-length" {
            relayed.length = value.parse().ok();
        }
    }
    relayed.text = lines.into();
    let (head, ()) = response.body(()).unwrap().into_parts();
    let plan = Plan::new(asked, &head, size, true);
    let mut out = BytesMut::new();
    write(&mut out, asked, &head, &relayed, plan, |out| out.extend_from_slice(b"date: now\r\n"));
    (String::from_utf8(out.to_vec()).unwrap(), plan)
}

#[test]
fn the_framing_is_ours_whatever_the_fields_say() {
    let fields = &[("content-length", "9"), ("transfer-encoding", "gzip"), ("etag", "x")];
    let (head, plan) = text(asked(), 200, fields, Some(3));
    assert_eq!(head, "HTTP/1.1 200 OK\r\netag: x\r\ncontent-length: 3\r\ndate: now\r\n\r\n");
    assert_eq!(plan, Plan { framing: Framing::Length(3), persistent: true });
    let (head, plan) = text(asked(), 299, fields, None);
    assert_eq!(head, "HTTP/1.1 299 \r\netag: x\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n");
    assert_eq!(plan.framing, Framing::Chunked);
    let (head, _) = text(asked(), 404, &[("date", "theirs")], Some(0));
    assert_eq!(head, "HTTP/1.1 404 Not Found\r\ndate: theirs\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn without_a_body_only_a_length_that_speaks_of_another_answer_is_told() {
    let fields = &[("content-length", "9")];
    let head = Asked { to_head: true, ..asked() };
    let plan = Plan { framing: Framing::None, persistent: true };
    assert_eq!(
        text(head, 200, fields, Some(0)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\ndate: now\r\n\r\n".to_owned(), plan)
    );
    assert_eq!(text(head, 200, &[], Some(0)).0, "HTTP/1.1 200 OK\r\ndate: now\r\n\r\n");
    assert_eq!(
        text(asked(), 304, fields, Some(0)).0,
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\ndate: now\r\n\r\n"
    );
    assert_eq!(text(asked(), 204, fields, Some(0)), ("HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n".to_owned(), plan));
}

#[test]
fn http_10_gets_neither_chunks_nor_a_lasting_connection_it_did_not_ask_for() {
    let http_10 = Asked { http_10: true, ..asked() };
    let (head, plan) = text(http_10, 200, &[], None);
    assert_eq!(head, "HTTP/1.0 200 OK\r\ndate: now\r\nconnection: close\r\n\r\n");
    assert_eq!(plan, Plan { framing: Framing::ToClose, persistent: false });
    let (head, plan) = text(http_10, 200, &[], Some(1));
    assert!(head.ends_with("connection: keep-alive\r\n\r\n") && plan.persistent, "{head}");
    let (head, plan) = text(Asked { http_10: true, ..Asked::default() }, 200, &[], Some(1));
    assert!(head.ends_with("connection: close\r\n\r\n") && !plan.persistent, "{head}");
}

#[test]
fn whoever_wants_the_connection_closed_is_heard() {
    let (head, plan) = text(asked(), 200, &[("connection", "close")], Some(1));
    assert_eq!(head.matches("connection: close").count(), 1, "{head}");
    assert!(!plan.persistent);
    assert!(!text(Asked::default(), 200, &[], Some(1)).1.persistent);
    let (head, ()) = Response::new(()).into_parts();
    assert!(!Plan::new(asked(), &head, Some(1), false).persistent, "a body was left unread");
}
