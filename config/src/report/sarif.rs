//! For code review tools: SARIF 2.1.0.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Report};
use crate::rules::RULES;

/// Renders a report as a SARIF log of one run. The driver lists every rule, broken or not.
#[must_use]
pub fn sarif(report: &Report) -> Value {
    let rules = RULES.iter().map(|rule| {
        json!({
            "id": rule.id,
            "shortDescription": { "text": rule.summary },
            "defaultConfiguration": { "level": rule.severity.as_str() },
        })
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "patchgate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": report.diagnostics.iter().map(|found| result(report, found)).collect::<Vec<_>>(),
        }],
    })
}

fn result(report: &Report, found: &Diagnostic) -> Value {
    let text = match found.help.is_empty() {
        true => found.message.clone(),
        false => format!("{}: {}", found.message, found.help),
    };
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&report.file) },
            "region": {
                "startLine": found.line,
                "startColumn": found.column,
                "endLine": found.line,
                "endColumn": found.end_column,
            },
        },
    });
    if !found.path.is_empty() {
        location["logicalLocations"] = json!([{ "fullyQualifiedName": found.path }]);
    }
    json!({
        "ruleId": found.rule.id,
        "ruleIndex": RULES.iter().position(|rule| *rule == found.rule),
        "level": found.severity().as_str(),
        "message": { "text": text },
        "locations": [location],
    })
}

/// A path as a URI reference: `/` between its parts, everything unusual percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'\\' => uri.push('/'),
            _ if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri_reference() {
        assert_eq!(uri("conf/a b#é.yaml"), "conf/a%20b%23%C3%A9.yaml");
        assert_eq!(uri("conf\\a.yaml"), "conf/a.yaml");
    }
}
