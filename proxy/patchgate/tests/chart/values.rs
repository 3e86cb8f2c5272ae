//! Every value is explained: by a comment in `values.yaml`, from which the README's table is made.
//! `PATCHGATE_BLESS=1` makes it anew.

use std::path::{Path, PathBuf};

use patchgate_testkit::tools::workspace;
use serde_json::Value;

/// The README's table stands between these.
const MARKS: [&str; 2] = ["<!-- values: made from values.yaml -->\n", "<!-- values: end -->\n"];

/// As few as a person can read.
const MOST_LINES: usize = 300;

/// A value with its explanation.
struct Explained {
    path: Vec<String>,
    text: String,
}

/// Those of `values.yaml`, in order.
fn explained(text: &str) -> Vec<Explained> {
    let (mut all, mut comment, mut path) = (Vec::new(), None::<String>, Vec::<String>::new());
    for line in text.lines() {
        let (indent, rest) = (line.len() - line.trim_start().len(), line.trim_start());
        if let Some(begin) = rest.strip_prefix("# -- ") {
            comment = Some(begin.to_owned());
        } else if let Some(more) = rest.strip_prefix("# ") {
            if let Some(comment) = &mut comment {
                comment.extend([" ", more]);
            }
        } else if let Some((key, _)) = rest.split_once(':').filter(|_| !rest.starts_with('-')) {
            path.truncate(indent / 2);
            path.push(key.to_owned());
            all.extend(comment.take().map(|text| Explained { path: path.clone(), text }));
        }
    }
    all
}

/// All charts.
fn charts() -> [PathBuf; 2] {
    ["patchgate", "patchgate-sidecar"].map(|name| workspace().join("charts").join(name))
}

fn values(chart: &Path) -> (String, Value) {
    let text = std::fs::read_to_string(chart.join("values.yaml")).unwrap();
    let values = serde_saphyr::from_str(&text).unwrap();
    (text, values)
}

#[test]
fn every_value_is_explained_and_known_to_the_schema() {
    for chart in charts() {
        let (text, values) = values(&chart);
        assert!(text.lines().count() < MOST_LINES);
        let explained: Vec<_> = explained(&text).into_iter().map(|one| one.path).collect();
        let schema: Value =
            serde_json::from_str(&std::fs::read_to_string(chart.join("values.schema.json")).unwrap()).unwrap();
        for path in &explained {
            assert!(values.pointer(&format!("/{}", path.join("/"))).is_some(), "{path:?}");
            let known = path.iter().try_fold(&schema, |schema, key| schema["properties"].get(key));
            assert!(known.is_some(), "values.schema.json does not know {path:?}");
        }
        for (name, value) in values.as_object().unwrap() {
            let whole = explained.contains(&vec![name.clone()]);
            let parts = value
                .as_object()
                .is_some_and(|parts| parts.keys().all(|part| explained.contains(&vec![name.clone(), part.clone()])));
            assert!(whole || parts, "{name} is not explained, or a part of it");
        }
        let everywhere = ["global", "enabled"];
        for name in schema["properties"].as_object().unwrap().keys().filter(|name| !everywhere.contains(&&***name)) {
            assert!(values.get(name).is_some(), "values.yaml does not have {name}");
        }
    }
}

#[test]
fn the_readmes_have_the_values() {
    for chart in charts() {
        let (text, values) = values(&chart);
        let mut table = "| value | default | is |\n| --- | --- | --- |\n".to_owned();
        for Explained { path, text } in explained(&text) {
            let default = values.pointer(&format!("/{}", path.join("/"))).unwrap().to_string().replace('|', "\\|");
            table += &format!("| `{}` | `{default}` | {} |\n", path.join("."), text.replace('|', "\\|"));
        }
        let readme = chart.join("README.md");
        let kept = std::fs::read_to_string(&readme).unwrap();
        let (before, rest) = kept.split_once(MARKS[0]).unwrap();
        let (_, after) = rest.split_once(MARKS[1]).unwrap();
        let written = [before, MARKS[0], &table, MARKS[1], after].concat();
        if std::env::var_os("PATCHGATE_BLESS").is_some() {
            std::fs::write(&readme, &written).unwrap();
        }
        let now = std::fs::read_to_string(&readme).unwrap();
        assert!(now == written, "{} is not what values.yaml says; PATCHGATE_BLESS=1 writes it anew", readme.display());
    }
}
