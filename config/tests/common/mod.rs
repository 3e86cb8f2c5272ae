//! The fixtures, and the variables that they refer to.

use std::path::{Path, PathBuf};

/// The environment of every fixture.
pub(crate) fn env(name: &str) -> Option<String> {
    match name {
        "STATE" => Some("/var/lib/patchgate".to_owned()),
        "EMPTY" => Some(String::new()),
        "HOST" => Some("shop.example.com".to_owned()),
        "PORT" => Some("8082".to_owned()),
        "DOUBLE_QUOTE" => Some(r#"x", trust: { addresses: [0.0.0.0/0] }, more: ""#.to_owned()),
        "BACKSLASH" => Some(r"C:\".to_owned()),
        "SINGLE_QUOTE" => Some("it's".to_owned()),
        "MAPPING" => Some("{ version: v9 }".to_owned()),
        "COLON" => Some("127.0.0.1: 80".to_owned()),
        "LINES" => Some("one\ntwo".to_owned()),
        _ => None,
    }
}

/// The YAML files of one folder of fixtures, by name.
pub(crate) fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The text of a fixture.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a fixture can be read")
}
