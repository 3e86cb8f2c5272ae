//! Lines copied, left out and mapped, and the names known from the head before.

use super::*;

fn lines(text: &str) -> Lines {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let (_, fields) = httparse::parse_headers(text.as_bytes(), &mut fields).unwrap().unwrap();
    let mut lines = Lines::default();
    lines.note(text.as_ptr(), fields);
    lines.hold(Bytes::copy_from_slice(text.as_bytes()));
    lines
}

/// What is written of `text` without the fields in `left_out`.
fn written(text: &str, left_out: Names) -> String {
    let mut out = BytesMut::new();
    lines(text).write(&mut out, |known, _| !left_out.has(known));
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn lines_in_plain_form_are_copied_and_others_are_put_into_it() {
    let text = "A: 1\r\nTe: x\r\nb:2\r\nC:  3\r\nd: 4 \r\ne: 5\nf:\r\nG: 7\r\nh: 8\r\n\r\n";
    let all = "A: 1\r\nTe: x\r\nb: 2\r\nC: 3\r\nd: 4\r\ne: 5\r\nf: \r\nG: 7\r\nh: 8\r\n";
    assert_eq!(written(text, Names::default()), all);
    assert_eq!(written(text, Names::TE), all.replace("Te: x\r\n", ""));
    assert_eq!(written("te: 1\r\na: 2\r\nTE: 3\r\n\r\n", Names::TE), "a: 2\r\n");
    assert_eq!(written("\r\n", Names::default()), "");
}

#[test]
fn the_known_names_and_their_values_are_found() {
    let lines = lines("Te: a\r\nx: b\r\nDate: c\r\nTE: d\r\n\r\n");
    assert_eq!(lines.found(), Names::TE.with(Names::DATE));
    assert_eq!(lines.values(Names::TE).collect::<Vec<_>>(), [b"a", b"d"]);
}

#[test]
fn what_was_cleared_is_gone() {
    let mut lines = lines("Te: a\r\n\r\n");
    lines.clear();
    assert_eq!((lines.found(), lines.values(Names::TE).count()), (Names::default(), 0));
    assert!(lines.to_map(&mut KnownNames::default(), 0).unwrap().is_empty());
}

#[test]
fn names_known_from_the_last_head_are_those_of_this_one() {
    let mut known = KnownNames::default();
    let heads = [
        ("X-One: 1\r\nX-Two: 2\r\n", "x-one x-two"),
        ("x-one: 1\r\nX-TWO: 2\r\n", "x-one x-two"),
        ("X-Two: 2\r\nX-One: 1\r\nX-Three: 3\r\n", "x-two x-one x-three"),
        ("X-Two: 2\r\n", "x-two"),
        ("X-Two: 2\r\nX-Onf: 1\r\n", "x-two x-onf"),
    ];
    for (text, names) in heads {
        let headers = lines(&format!("{text}\r\n")).to_map(&mut known, 0).unwrap();
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>().join(" "), names);
    }
}
