//! References, escapes, comments, and the way back to the source.

use super::*;
use crate::tree::parse::parse;

fn env(name: &str) -> Option<String> {
    match name {
        "A" => Some("value".to_owned()),
        "_B2" => Some(String::new()),
        "LINES" => Some("a\nb".to_owned()),
        "DOUBLE" => Some(r#"x", trust: { addresses: [0.0.0.0/0] }"#.to_owned()),
        "SLASH" => Some("x\\".to_owned()),
        "SINGLE" => Some("it's".to_owned()),
        "HASH" => Some("x #y".to_owned()),
        _ => None,
    }
}

fn expanded(source: &str) -> Expanded {
    let mut problems = Problems::default();
    let expanded = expand(source, &env, &mut problems);
    let report = problems.into_report("f", source, &expanded, None);
    assert!(!report.has_errors(), "{report}");
    expanded
}

fn rules_broken(source: &str) -> Vec<(&'static str, usize, usize)> {
    let mut problems = Problems::default();
    let expanded = expand(source, &env, &mut problems);
    let report = problems.into_report("f", source, &expanded, None);
    report.diagnostics.iter().map(|found| (found.rule.id, found.column, found.end_column)).collect()
}

#[test]
fn references_are_replaced_wherever_they_stand() {
    assert_eq!(expanded("${A}: ${A}x${A}").text, "value: valuexvalue");
    assert_eq!(expanded("a: $A $ {A} $$ 5$").text, "a: $A $ {A} $$ 5$");
}

#[test]
fn a_default_stands_in_for_nothing_and_for_an_empty_value() {
    assert_eq!(expanded("${A:-d}|${NONE:-d}|${_B2:-d}|${_B2}|${NONE:-}|${NONE:-a:-b}").text, "value|d|d|||a:-b");
}

#[test]
fn a_doubled_dollar_is_a_literal_one() {
    assert_eq!(expanded("$${A} $$${A}").text, "${A} $${A}");
}

#[test]
fn comments_are_left_alone_and_what_only_looks_like_one_is_not() {
    let source = "# ${X}\na: b # ${X} '\nc: \"# ${A}\" # ${X}\nd: 'it''s # ${A}'\ne: x#${A}\nf: it's # ${X}\n";
    let text = "# ${X}\na: b # ${X} '\nc: \"# value\" # ${X}\nd: 'it''s # value'\ne: x#value\nf: it's # ${X}\n";
    assert_eq!(expanded(source).text, text);
    assert_eq!(expanded("a: \"\\\" # ${A}\"").text, "a: \"\\\" # value\"");
    assert_eq!(expanded("a: [b,'# ${A}',{c: \"# ${A}\"}]").text, "a: [b,'# value',{c: \"# value\"}]");
    assert_eq!(
        expanded("a: b{\"\nc: \" # ${A}\"\nd: b, \"\ne: ' # ${A}'").text,
        "a: b{\"\nc: \" # value\"\nd: b, \"\ne: ' # value'"
    );
    assert_eq!(expanded("{\"a\":\"# ${A}\",'b':'# ${A}'}").text, "{\"a\":\"# value\",'b':'# value'}");
}

#[test]
fn every_bad_reference_is_told_with_its_place() {
    assert_eq!(
        rules_broken("é: ${NONE} ${1A} ${} ${A-b} ${LINES} ${A"),
        [
            ("env-unset", 4, 11),
            ("env-malformed", 12, 17),
            ("env-malformed", 18, 21),
            ("env-malformed", 22, 28),
            ("env-value", 29, 37),
            ("env-malformed", 38, 40),
        ]
    );
}

#[test]
fn a_reference_ends_on_its_line() {
    assert_eq!(rules_broken("a: ${A\nb: }"), [("env-malformed", 4, 6)]);
}

#[test]
fn a_value_that_ends_its_quotes_is_refused() {
    assert_eq!(rules_broken(r#"a: "x ${DOUBLE}""#), [("env-structure", 7, 16)]);
    assert_eq!(rules_broken(r#"a: "x ${SLASH}""#), [("env-structure", 7, 15)]);
    assert_eq!(rules_broken("a: 'x ${SINGLE}'"), [("env-structure", 7, 16)]);
    assert_eq!(rules_broken(r#"{"a":"${SLASH}"}"#), [("env-structure", 7, 15)]);
    assert_eq!(rules_broken(r#"a: "${NONE:-x"y}""#), [("env-structure", 5, 17)]);
}

#[test]
fn a_value_that_fits_its_quotes_is_text_whatever_it_has() {
    assert_eq!(expanded(r#"a: "${SINGLE} ${HASH}""#).text, r#"a: "it's x #y""#);
    assert_eq!(expanded("a: '${DOUBLE} ${SLASH}'").text, r#"a: 'x", trust: { addresses: [0.0.0.0/0] } x\'"#);
    assert_eq!(expanded(r#"a: "${NONE:-[b, 'c']: {d}}""#).text, r#"a: "[b, 'c']: {d}""#);
}

#[test]
fn the_remedy_names_the_quotes_that_fit_the_value() {
    for (value, remedy) in [
        ("{ it's }", "inside double quotes, as in \"${X}\""),
        (r#"{ "a" }"#, "inside single quotes, as in '${X}'"),
        (r#"{ "it's" }"#, "a text without `'`"),
    ] {
        let mut problems = Problems::default();
        let expanded = expand("a: ${X}", &|_| Some(value.to_owned()), &mut problems);
        let told = problems.into_report("f", "a: ${X}", &expanded, None).to_string();
        assert!(told.contains(remedy) && !told.contains(value), "{told}");
    }
}

#[test]
fn a_value_with_structure_is_refused_in_plain_text() {
    let structures = [
        "a\"", "a'", "a\\", "a #b", "{a", "a}", "[a", "a]", "a,b", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a",
        "a: b", "a:", "- a", "-", "? a", "?", " a", "a ",
    ];
    for value in structures {
        let mut problems = Problems::default();
        let source = "a: ${X}";
        let expanded = expand(source, &|_| Some(value.to_owned()), &mut problems);
        let report = problems.into_report("f", source, &expanded, None);
        let rules: Vec<&str> = report.diagnostics.iter().map(|found| found.rule.id).collect();
        assert_eq!(rules, ["env-structure"], "{value:?}");
    }
    for value in ["", "a", "a b", "a-b", "-1", "a:1", "::1", "http://a/?b=c;d"] {
        let mut problems = Problems::default();
        let text = expand("a: ${X}", &|_| Some(value.to_owned()), &mut problems).text;
        assert_eq!(text, format!("a: {value}"));
    }
}

#[test]
fn a_default_of_any_form_does_not_hide_what_follows_it() {
    let source = "a: \"${A:-\"} # ${A}\" # ${X}\nb: ${A:-'} # ${X}\n";
    assert_eq!(expanded(source).text, "a: \"value # value\" # ${X}\nb: value # ${X}\n");
}

#[test]
fn places_lead_back_to_the_source() {
    //             0    5    10   15
    let source = "ab ${A} cd ${A}${_B2} ef";
    let expanded = expanded(source);
    assert_eq!(expanded.text, "ab value cd value ef");
    let at = |text: &str| {
        let start = expanded.text.find(text).unwrap();
        &source[expanded.to_source(&(start..start + text.len()))]
    };
    assert_eq!(at("ab"), "ab");
    assert_eq!(at("alu"), "${A}");
    assert_eq!(at("value cd"), "${A} cd");
    assert_eq!(at("cd value"), "cd ${A}");
    assert_eq!(at("ef"), "ef");
    assert_eq!(&source[expanded.to_source(&(0..expanded.text.len()))], source);
}

#[test]
fn what_stands_in_for_an_unset_value_is_yaml_in_any_place() {
    for source in ["{ a: ${X}, ${X}: b }", "[${X}]", "a: ${X}\n", "- ${X}\n", "\"${X}\""] {
        let mut problems = Problems::default();
        let text = expand(source, &|_| None, &mut problems).text;
        assert!(parse(&text, &mut problems).is_some(), "{source}");
    }
}
