//! What programs see of a report: JSON and SARIF.

mod common;

use patchgate_config::diagnostic::Report;
use patchgate_config::load::from_text;
use patchgate_config::report::{json, sarif};
use patchgate_config::rules::{RULES, Severity};
use serde_json::Value;

/// The reports of all fixtures, with and without findings.
fn reports() -> Vec<Report> {
    ["good", "risky", "bad"]
        .into_iter()
        .flat_map(common::fixtures)
        .map(|path| {
            let text = common::read(&path);
            match from_text(&path.display().to_string(), &text, &common::env) {
                Ok(loaded) => loaded.report,
                Err(report) => report,
            }
        })
        .collect()
}

#[test]
fn every_finding_lies_in_the_file_and_has_a_remedy() {
    for report in reports() {
        let lines: Vec<&str> = report.source.lines().collect();
        for found in &report.diagnostics {
            let line = lines.get(found.line - 1).unwrap_or_else(|| panic!("{}: {found:?}", report.file));
            assert!(found.column >= 1 && found.column <= line.chars().count() + 1, "{}: {found:?}", report.file);
            assert!(found.end_column > found.column, "{}: {found:?}", report.file);
            assert!(!found.message.is_empty() && !found.help.is_empty(), "{}: {found:?}", report.file);
        }
        assert!(report.diagnostics.is_sorted_by_key(|found| (found.line, found.column)), "{}", report.file);
    }
}

#[test]
fn json_counts_what_it_lists() {
    for report in reports() {
        let json = json(&report);
        let listed = json["diagnostics"].as_array().unwrap();
        for (key, severity) in [("errors", Severity::Error), ("warnings", Severity::Warning), ("notes", Severity::Note)]
        {
            let count = listed.iter().filter(|found| found["severity"] == severity.as_str()).count();
            assert_eq!(json[key], count);
        }
        for (found, listed) in report.diagnostics.iter().zip(listed) {
            assert_eq!(listed["rule"], found.rule.id);
            assert_eq!(listed["path"], found.path.as_str());
            assert_eq!((&listed["line"], &listed["column"]), (&found.line.into(), &found.column.into()));
            assert_eq!(
                (&listed["message"], &listed["help"]),
                (&found.message.as_str().into(), &found.help.as_str().into())
            );
        }
    }
}

/// What SARIF 2.1.0 asks of each object that is written (its sections 3.13, 3.14, 3.18, 3.27, 3.30, 3.49).
#[test]
fn sarif_has_what_the_standard_asks_for() {
    for report in reports() {
        let log = sarif(&report);
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(run["tool"]["driver"]["name"], "patchgate");
        assert_eq!(rules.len(), RULES.len());
        for rule in rules {
            assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string());
            assert!(is_level(&rule["defaultConfiguration"]["level"]));
        }
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), report.diagnostics.len());
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(is_level(&result["level"]) && result["message"]["text"].is_string());
            let physical = &result["locations"][0]["physicalLocation"];
            let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
            assert!(uri.parse::<http::Uri>().is_ok(), "{uri}");
            let number = |key: &str| physical["region"][key].as_u64().unwrap();
            assert!(number("startLine") >= 1 && number("startColumn") >= 1);
            assert_eq!(number("endLine"), number("startLine"));
            assert!(number("endColumn") > number("startColumn"));
        }
    }
}

fn is_level(value: &Value) -> bool {
    ["error", "warning", "note"].iter().any(|level| value == level)
}
