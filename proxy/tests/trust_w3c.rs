//! What goes on of a trace context, row by row: the cases of the W3C's suite, and those it leaves out.

#[path = "trust_hop/mod.rs"]
mod hop;

use hop::{Hop, Sent, sent_parent};
use http::{HeaderMap, HeaderValue};
use patchgate_proxy::trust::{
    MarkField, SpanId, TraceId, TraceParent, TraceState, append_server_timing, response_mark, traceparent,
};
use patchgate_testkit::table::{Row, rows};

/// As many as the suite sends; a row lost would be a case lost.
const SUITE: usize = 83;

#[test]
fn the_cases_of_the_suite_go_on_as_the_text_says() {
    let hop = Hop { trusted: true, ..Hop::default() };
    let seen = assert_all(include_str!("data/w3c.tsv"), |row| {
        let sent = hop.send(&row.headers("request"));
        (context(&sent), wanted_context(row))
    });
    assert_eq!(seen, SUITE);
}

#[test]
fn cases_beyond_the_suite_go_on_as_the_text_and_our_contract_say() {
    let seen = assert_all(include_str!("data/trust.tsv"), |row| {
        let sent = hop_of(row).send(&row.headers("request"));
        let got = format!("{}\nbaggage: {}\nsays: {}", context(&sent), readable(sent.baggage), sent.says);
        let (baggage, says) = (readable(row.text("baggage")), readable(row.text("says")));
        (got, format!("{}\nbaggage: {baggage}\nsays: {says}", wanted_context(row)))
    });
    assert!(seen > SUITE, "the larger table has {seen} rows");
}

#[test]
fn a_list_that_no_field_can_hold_is_rejected_too() {
    for control in (0..0x20).chain([0x7f]).filter(|byte| *byte != b'\t') {
        for list in [[b'a', control, b'=', b'1'], [b'a', b'=', control, b'1'], [b'a', b'=', b'1', control]] {
            assert!(TraceState::parse([&list[..]]).is_err(), "{list:?}");
        }
    }
    assert!(traceparent::parse(b"00-12345678901234567890123456789012-1234567890123456-\x001").is_err());
}

#[test]
fn a_response_is_read_for_its_mark_alone() {
    assert_all(include_str!("data/response.tsv"), |row| {
        let headers = row.headers("response");
        let found = match response_mark(&headers) {
            MarkField::Absent => "absent".to_owned(),
            MarkField::Malformed => "malformed".to_owned(),
            MarkField::Mark(mark) => format!("{}/{}", mark.group(), mark.version()),
        };
        (found, row.cell("says").to_owned())
    });
}

#[test]
fn server_timing_is_appended_to_the_backends_own() {
    let mut headers = HeaderMap::new();
    headers.append("server-timing", HeaderValue::from_static("db;dur=53"));
    let span = TraceParent {
        trace_id: TraceId::new(0x1f).unwrap(),
        parent_id: SpanId::new(0xa0).unwrap(),
        flags: traceparent::Flags::from_bits(0xff),
    };
    append_server_timing(&mut headers, &span);
    let lines: Vec<_> = headers.get_all("server-timing").iter().collect();
    let ours = "trace;desc=\"00-0000000000000000000000000000001f-00000000000000a0-03\"";
    assert_eq!(lines, ["db;dur=53", ours]);
}

/// Asserts that what `got_and_wanted` says of each row is equal, and counts the rows; all that fail are shown.
fn assert_all(table: &str, got_and_wanted: impl Fn(&Row<'_>) -> (String, String)) -> usize {
    let checked = || rows(table).map(|row| (row.cell("case"), got_and_wanted(&row)));
    let wrong: Vec<String> = checked()
        .filter(|(_, (got, wanted))| got != wanted)
        .map(|(case, (got, wanted))| format!("{case}\ngot\n{got}\nwanted\n{wanted}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    checked().count()
}

fn context(sent: &Sent) -> String {
    format!("traceparent: {}\ntracestate: {}", sent.traceparent, readable(sent.tracestate.clone()))
}

fn wanted_context(row: &Row<'_>) -> String {
    let goes_on = match row.cell("trace") {
        "same" => true,
        "new" => false,
        other => panic!("a trace is not {other}"),
    };
    let parent = sent_parent(goes_on, row.cell("flags"));
    format!("traceparent: {parent}\ntracestate: {}", readable(row.text("tracestate")))
}

/// The hop that the cells `peer` and `with` describe.
fn hop_of<'t>(row: &Row<'t>) -> Hop<'t> {
    let trusted = match row.cell("peer") {
        "trusted" => true,
        "untrusted" => false,
        other => panic!("a peer is not {other}"),
    };
    let mut hop = Hop { trusted, ..Hop::default() };
    for word in row.cell("with").split(' ').filter(|word| *word != "-") {
        match word.split_once('=').unwrap_or((word, "")) {
            ("baggage", _) => hop.baggage = true,
            ("assign", mark) => hop.assign = Some(mark.split_once('/').expect("GROUP/VERSION")),
            ("control", _) => hop.control = true,
            ("sample", share) => hop.sample = Some(share.parse().expect("a share")),
            ("canary", share) => hop.sample_canary = Some(share.parse().expect("a share")),
            ("clear-random", _) => hop.clear_random_flag = true,
            _ => panic!("no such word: {word}"),
        }
    }
    hop
}

fn readable(field: Option<Vec<u8>>) -> String {
    field.map_or("none".to_owned(), |text| text.escape_ascii().to_string())
}
