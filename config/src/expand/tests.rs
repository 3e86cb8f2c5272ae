//! References, escapes, comments, and the way back to the source.

use super::*;
use crate::tree::parse::parse;

fn env(name: &str) -> Option<String> {
    match name {
        "A" => Some("value".to_owned()),
        "_B2" => Some(String::new()),
        "LINES" => Some("a\nb".to_owned()),
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
