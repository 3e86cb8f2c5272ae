//! Files of any content: never a panic, always a place within the file.

mod common;

use patchgate_config::diagnostic::Report;
use patchgate_config::load::{LoadError, MAX_BYTES, from_text, load, rollout, rollouts};
use patchgate_config::report::{Colour, human, json, sarif};
use proptest::prelude::*;

fn report(text: &str) -> Report {
    match from_text("f.yaml", text, &common::env) {
        Ok(loaded) => loaded.report,
        Err(report) => report,
    }
}

/// Loads as a configuration and as rollouts, and renders in every form.
fn survive(text: &str) -> Report {
    let report = report(text);
    check(text, &report);
    let (alone, list) = (rollout("f.json", text, None, None), rollouts("f.yaml", text, Some(&common::env), None));
    check(text, &alone.map_or_else(|report| report, |loaded| loaded.report));
    check(text, &list.map_or_else(|report| report, |loaded| loaded.report));
    report
}

fn check(text: &str, report: &Report) {
    let _ = (human(report, Colour::Always), json(report), sarif(report));
    for found in &report.diagnostics {
        assert!(found.line >= 1 && found.line <= text.lines().count().max(1) + 1, "{found:?}");
    }
}

/// A rollout by itself, as it is sent.
const ROLLOUT: &str = r#"{ "name": "fix", "group": "canary", "stages": [{ "percent": "0.5%", "hold": "5m" }], "patches": [
    { "service": "shop", "version": "v2", "endpoints": ["127.0.0.1:9002"] },
    { "service": "cart", "version": "v7", "endpoints": ["[::1]:9003"], "pin_version": true }
], "assign": [{ "percent": { "key": "cookie:uid" } }, { "query": { "name": "beta", "equals": "\u00e9" } }] }"#;

fn texts() -> Vec<String> {
    let files = ["good", "risky", "bad"].into_iter().flat_map(common::fixtures).map(|path| common::read(&path));
    files.chain([ROLLOUT.to_owned()]).collect()
}

fn mutation() -> impl Strategy<Value = (prop::sample::Index, prop::sample::Index, String)> {
    let piece = prop_oneof![
        Just(String::new()),
        "[\\[\\]{}:,#&*!|>'\"%@`?$\\-\\\\ \n\t]{1,3}",
        Just("${".to_owned()),
        Just("- ".to_owned()),
        Just("\u{feff}é".to_owned()),
        "\\PC{0,4}",
    ];
    (any::<prop::sample::Index>(), any::<prop::sample::Index>(), piece)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_file_cut_anywhere_is_survived(file in any::<prop::sample::Index>(), end in any::<prop::sample::Index>()) {
        let texts = texts();
        let text = file.get(&texts);
        let mut end = end.index(text.len() + 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        survive(&text[..end]);
    }

    #[test]
    fn a_file_with_anything_put_anywhere_is_survived(
        file in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        let texts = texts();
        let mut text: Vec<char> = file.get(&texts).chars().collect();
        for (at, removed, piece) in mutations {
            let start = at.index(text.len() + 1);
            let end = (start + removed.index(4)).min(text.len());
            text.splice(start..end, piece.chars());
        }
        survive(&text.into_iter().collect::<String>());
    }
}

#[test]
fn deep_nesting_is_refused_before_it_hurts() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        let text = format!("listeners: \n  {}1{}", open.repeat(100_000), close.repeat(100_000));
        assert!(survive(&text).has_errors());
    }
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(survive(&text).has_errors());
}

#[test]
fn a_file_of_nothing_but_errors_is_told_in_bounded_time() {
    let fields: String = (0..20_000).map(|number| format!("field{number}: 1\n")).collect();
    let report = survive(&fields);
    assert!(report.has_errors());
    assert!(report.diagnostics.iter().any(|found| found.message.contains("was not read")));
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_a_remedy() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("no-such-file.yaml");
    let error = load(&path, &common::env).unwrap_err();
    assert!(matches!(error, LoadError::Unreadable { .. }));
    let text = error.to_string();
    assert!(text.contains("no-such-file.yaml") && text.contains("check the path"), "{text}");
}

#[test]
fn what_is_no_regular_file_is_refused_without_being_opened() {
    let folder = tempfile::TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    // A pipe without a writer: opening it would wait for ever.
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, what) in [(pipe.as_path(), "a pipe"), (folder.path(), "a folder"), ("/dev/zero".as_ref(), "a device")] {
        let text = load(path, &common::env).unwrap_err().to_string();
        assert!(text.contains(&format!("it is {what}; name a regular file")), "{text}");
    }
}

#[test]
fn a_file_of_more_than_the_bound_is_refused_and_one_byte_less_is_read() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("gate.yaml");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(MAX_BYTES + 1).unwrap();
    let error = load(&path, &common::env).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { .. }) && error.to_string().contains("larger than 16 MiB"), "{error}");
    std::fs::write(&path, format!("#{}\n", " ".repeat(MAX_BYTES as usize - 2))).unwrap();
    assert!(matches!(load(&path, &common::env), Err(LoadError::Invalid(_))));
}

#[test]
fn a_file_is_loaded_under_its_path() {
    let path = common::fixtures("good").remove(0);
    assert_eq!(load(&path, &common::env).unwrap().report.file, path.display().to_string());
    let path = common::fixtures("bad").remove(0);
    let LoadError::Invalid(report) = load(&path, &common::env).unwrap_err() else { panic!("it has errors") };
    assert_eq!(report.file, path.display().to_string());
}
