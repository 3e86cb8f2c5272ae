//! Signed marks: the values of `docs/mark-signature-vectors.tsv`, which another implementation made, and what is worth
//! nothing.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue};
use patchgate_config::mark_key::MarkKey;
use patchgate_proxy::trust::{
    Edit, Incoming, Mark, MarkEdit, MarkResult, Signature, SignatureEdit, TraceId, TraceState, Unsigned, Vouching,
};
use proptest::prelude::*;

const VECTORS: &str = include_str!("../../docs/mark-signature-vectors.tsv");
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const NOW: u64 = 1_790_000_000;

fn key(digits: &str) -> MarkKey {
    MarkKey::read("key".into(), digits.as_bytes()).unwrap()
}

fn one(digit: char) -> MarkKey {
    key(&digit.to_string().repeat(64))
}

fn trace(digits: &str) -> TraceId {
    TraceId::new(u128::from_str_radix(digits, 16).unwrap()).unwrap()
}

fn text(signature: &Signature) -> String {
    let mut out = BytesMut::new();
    signature.write(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn the_signature_is_that_of_the_vectors() {
    let rows = VECTORS.lines().filter(|line| !line.starts_with('#')).skip(1);
    let mut seen = 0;
    for row in rows {
        let [secret, id, group, version, expires, value] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("six cells: {row}");
        };
        let (key, id, mark) = (key(secret), trace(id), Mark::new(group, version).unwrap());
        let signature = Signature::sign(&key, id, mark, expires.parse().unwrap());
        assert_eq!(text(&signature), value);
        assert_eq!(Signature::parse(value.as_bytes()), Some(signature));
        assert_eq!(signature.verify(&[one('7'), key], id, mark, 1), Ok(()));
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn a_value_of_another_form_is_no_signature() {
    let mac = "0".repeat(64);
    assert!(Signature::parse(format!("1:5:{mac}").as_bytes()).is_some());
    let forms = [
        String::new(),
        "1:".to_owned(),
        format!("2:5:{mac}"),
        format!("1:05:{mac}"),
        format!("1::{mac}"),
        format!("1:-5:{mac}"),
        format!("1:+5:{mac}"),
        format!("1:18446744073709551616:{mac}"),
        format!("1:5:{mac}0"),
        format!("1:5:{}", &mac[1..]),
        format!("1:5:{}A", &mac[1..]),
        format!("1:5{mac}"),
    ];
    for form in forms {
        assert_eq!(Signature::parse(form.as_bytes()), None, "{form}");
    }
}

#[test]
fn a_signature_ends_and_knows_its_key() {
    let (id, mark) = (trace(TRACE), Mark::new("lane", "v2").unwrap());
    let signature = Signature::sign(&one('1'), id, mark, NOW);
    assert_eq!(signature.verify(&[one('1')], id, mark, NOW), Ok(()));
    assert_eq!(signature.verify(&[one('1')], id, mark, NOW + 1), Err(Unsigned::Expired));
    assert_eq!(signature.verify(&[one('2')], id, mark, NOW), Err(Unsigned::Wrong));
    assert_eq!(signature.verify(&[], id, mark, NOW), Err(Unsigned::Wrong));
    // Whoever has no key learns nothing of the clock.
    assert_eq!(signature.verify(&[one('2')], id, mark, NOW + 1), Err(Unsigned::Wrong));
    // Two keys, for as long as the one replaces the other.
    assert_eq!(signature.verify(&[one('2'), one('1')], id, mark, NOW), Ok(()));
}

fn headers(id: &str, state: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let parent = format!("00-{id}-00f067aa0ba902b7-00");
    headers.insert("traceparent", HeaderValue::from_str(&parent).unwrap());
    headers.insert("tracestate", HeaderValue::from_str(state).unwrap());
    headers
}

fn result(headers: &HeaderMap, keys: &[MarkKey]) -> (&'static str, bool) {
    let incoming = Incoming::read_vouched(headers, false, false, Vouching { keys, now: NOW });
    let found = incoming.mark();
    assert_eq!(
        matches!(found, MarkResult::Signed(_)),
        incoming.parent.is_some(),
        "mark and context are believed together"
    );
    assert!(incoming.parent.is_none() || incoming.link.is_none(), "gone on with, or linked");
    (found.as_str(), incoming.parent.is_some())
}

#[test]
fn a_strangers_mark_is_believed_for_its_signature_alone() {
    let keys = [one('1')];
    let mark = Mark::new("lane", "v2").unwrap();
    let good = text(&Signature::sign(&keys[0], trace(TRACE), mark, NOW + 60));
    let late = text(&Signature::sign(&keys[0], trace(TRACE), mark, NOW - 1));
    let marked = "patch-group=lane,patch-version=v2";
    let other = TRACE.replace('4', "5");
    let table = [
        (TRACE, format!("{marked},patch-sig={good},a=1"), "signed"),
        (TRACE, format!("patch-sig={good},a=1,{marked}"), "signed"),
        (TRACE, marked.to_owned(), "untrusted"),
        (TRACE, format!("{marked},patch-sig={late}"), "expired"),
        // Seen on one trace, sent on another.
        (&*other, format!("{marked},patch-sig={good}"), "bad_signature"),
        (TRACE, format!("patch-group=lane,patch-version=v3,patch-sig={good}"), "bad_signature"),
        (TRACE, format!("patch-group=lanev,patch-version=2,patch-sig={good}"), "bad_signature"),
        (TRACE, format!("{marked},patch-sig=1"), "bad_signature"),
        (TRACE, format!("{marked},patch-sig={late},patch-sig={good}"), "expired"),
        (TRACE, format!("patch-group=lane,patch-sig={good}"), "malformed"),
        (TRACE, format!("patch-sig={good}"), "none"),
    ];
    for (id, state, wanted) in table {
        assert_eq!(result(&headers(id, &state), &keys).0, wanted, "{id} {state}");
    }
    // Without keys nobody can vouch.
    assert_eq!(result(&headers(TRACE, &format!("{marked},patch-sig={good}")), &[]).0, "untrusted");
    // Without a trace there is nothing that was signed.
    let mut none = headers(TRACE, &format!("{marked},patch-sig={good}"));
    none.remove("traceparent");
    assert_eq!(result(&none, &keys).0, "untrusted");
}

#[test]
fn a_signature_goes_where_its_mark_goes() {
    let signature = Signature::sign(&one('1'), trace(TRACE), Mark::new("lane", "v2").unwrap(), NOW);
    let (value, other) = (text(&signature), Mark::new("other", "v3").unwrap());
    let written = |list: &str, mark, signature| {
        let state = TraceState::parse([list.as_bytes()]).unwrap();
        let edit = Edit { mark, signature, ..Edit::KEEP };
        let mut out = BytesMut::new();
        state.write(&edit, &mut out);
        assert_eq!(state.unchanged(&edit), out == list, "{list}");
        String::from_utf8(out.to_vec()).unwrap()
    };
    let came = format!("a=1,patch-group=lane,patch-version=v2,patch-sig={value}");
    let same = Mark::new("lane", "v2").unwrap();
    assert_eq!(written(&came, MarkEdit::Keep, SignatureEdit::Keep), came);
    assert_eq!(written(&came, MarkEdit::Set(same), SignatureEdit::Keep), came);
    assert_eq!(written(&came, MarkEdit::Strip, SignatureEdit::Keep), "a=1");
    assert_eq!(written(&came, MarkEdit::Set(other), SignatureEdit::Keep), "patch-group=other,patch-version=v3,a=1");
    let new = Signature::sign(&one('2'), trace(TRACE), other, NOW);
    assert_eq!(
        written(&came, MarkEdit::Set(other), SignatureEdit::Set(new)),
        format!("patch-group=other,patch-version=v3,patch-sig={},a=1", text(&new))
    );
    assert_eq!(
        written("a=1,patch-group=lane,patch-version=v2", MarkEdit::Set(same), SignatureEdit::Set(signature)),
        format!("patch-sig={value},a=1,patch-group=lane,patch-version=v2")
    );
    // What is too long loses others' members, not this one.
    let crowded = format!("{came},b={}", "x".repeat(256)) + &format!(",c={}", "y".repeat(250));
    assert!(written(&crowded, MarkEdit::Keep, SignatureEdit::Keep).contains("patch-sig="));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_altered_the_signature_is_wrong(at in 0..64_usize, bit in 0..4_u32, what in 0..4_u8) {
        let (id, mark, keys) = (trace(TRACE), Mark::new("lane", "v2").unwrap(), [one('1')]);
        let signature = Signature::sign(&keys[0], id, mark, NOW);
        let other = TraceId::new(id.get() ^ 1 << (at * 2)).unwrap();
        let mut value = text(&signature).into_bytes();
        match what {
            0 => {
                let digit = value.len() - 1 - at;
                let altered = char::from(value[digit]).to_digit(16).unwrap() ^ 1 << bit;
                value[digit] = char::from_digit(altered, 16).unwrap() as u8;
            }
            1 => value[2 + at % 10] = b'1' + (value[2 + at % 10] - b'0' + 1) % 9,
            _ => {}
        }
        let read = Signature::parse(&value).unwrap();
        let id = if what >= 2 { other } else { id };
        if value != text(&signature).as_bytes() || what >= 2 {
            prop_assert_eq!(read.verify(&keys, id, mark, 1), Err(Unsigned::Wrong));
        }
    }
}
