//! What people see of a file that is wrong or risky: each fixture's diagnostics are those in the `.diag` beside it.
//! `PATCHGATE_BLESS=1` writes them anew; read the difference before committing it.

mod common;

use std::path::Path;

use patchgate_config::diagnostic::Report;
use patchgate_config::load::from_text;
use patchgate_config::rules::{RULES, Severity};

fn report(path: &Path) -> Report {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = common::read(path);
    match from_text(&name, &text, &common::env) {
        Ok(loaded) => loaded.report,
        Err(report) => report,
    }
}

fn check_golden(path: &Path) {
    let golden = path.with_extension("diag");
    let found = report(path).to_string();
    if std::env::var_os("PATCHGATE_BLESS").is_some() {
        std::fs::write(&golden, &found).expect("the fixtures can be written");
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(found, expected, "{}", path.display());
}

#[test]
fn bad_files_are_refused_with_their_golden_diagnostics() {
    for path in common::fixtures("bad") {
        assert!(report(&path).has_errors(), "{}", path.display());
        check_golden(&path);
    }
}

#[test]
fn risky_files_load_with_their_golden_warnings() {
    for path in common::fixtures("risky") {
        assert!(!report(&path).has_errors(), "{}", path.display());
        check_golden(&path);
    }
}

#[test]
fn good_files_load() {
    for path in common::fixtures("good") {
        let report = report(&path);
        assert!(!report.has_errors(), "{report}");
    }
}

#[test]
fn every_rule_has_a_fixture_that_breaks_it() {
    let broken: Vec<_> = ["bad", "risky"]
        .into_iter()
        .flat_map(common::fixtures)
        .flat_map(|path| report(&path).diagnostics)
        .map(|found| found.rule.id)
        .collect();
    for rule in RULES {
        assert!(broken.contains(&rule.id), "{}", rule.id);
    }
}

#[test]
fn one_bad_file_shows_at_least_eight_kinds_of_error_at_once() {
    let path = common::fixtures("bad").into_iter().find(|path| path.ends_with("many-kinds-at-once.yaml")).unwrap();
    let mut rules: Vec<_> = report(&path)
        .diagnostics
        .iter()
        .filter(|found| found.severity() == Severity::Error)
        .map(|found| found.rule.id)
        .collect();
    rules.sort_unstable();
    rules.dedup();
    assert!(rules.len() >= 8, "{rules:?}");
}
