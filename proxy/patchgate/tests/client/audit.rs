//! `docs/proof.md` as an auditor uses it: its script, as it stands there, over a real log and a real proof.

use std::path::{Path, PathBuf};
use std::process::Command;

use patchgate_testkit::tools;
use serde_json::Value;

use crate::offline::{Log, log};
use crate::scripted::{Ended, ended};

/// A log, its proof, and the page's script.
struct Audit {
    log: Log,
    folder: tempfile::TempDir,
}

impl Audit {
    fn new() -> Self {
        let audit = Self { log: Log::of_a_life(), folder: tempfile::TempDir::new().unwrap() };
        let page = std::fs::read_to_string(tools::workspace().join("docs/proof.md")).unwrap();
        let (_, script) = page.split_once("```python\n").expect("the page has a script");
        let (script, _) = script.split_once("```").expect("the script ends");
        std::fs::write(audit.path("audit.py"), script).unwrap();
        let proved = log(&["prove", "--data", audit.log.data(), "--file", audit.path("proof.json").to_str().unwrap()]);
        assert_eq!(proved.code, 0, "{proved:?}");
        audit
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn proof(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("proof.json")).unwrap()).unwrap()
    }

    fn run(&self) -> Ended {
        let mut python = Command::new("python3");
        python.arg(self.path("audit.py")).arg(Path::new(self.log.data())).arg(self.path("proof.json"));
        ended(python.env("PYTHONPATH", tools::python("blake3", "1.0.11")).output().unwrap())
    }
}

#[test]
fn an_auditor_checks_a_log_without_this_program() {
    let mut audit = Audit::new();
    let whole = audit.run();
    assert_eq!((whole.code, &*whole.out), (0, "events 1 to 4 hold\n"), "{whole:?}");

    audit.log.create();
    let grown = audit.run();
    assert_eq!((grown.code, &*grown.out), (0, "events 1 to 4 hold\n"), "of a log that has grown: {grown:?}");
}

#[test]
fn an_auditor_sees_a_changed_log_and_another_proof() {
    let audit = Audit::new();
    for (field, value) in [("head", "00".repeat(32).into()), ("last", 3.into()), ("last_event_ms", 1.into())] {
        let mut proof = audit.proof();
        proof[field] = value;
        std::fs::write(audit.path("proof.json"), proof.to_string()).unwrap();
        let found = audit.run();
        assert!(found.code == 1 && found.err.contains("differs from the proof"), "{field}: {found:?}");
        log(&["prove", "--data", audit.log.data(), "--file", audit.path("proof.json").to_str().unwrap()]);
    }

    // A name is given another author: nothing but the chain tells.
    audit.log.spoil(|bytes| {
        let at = bytes.windows(3).position(|word| word == b"bob").expect("bob promoted it");
        bytes[at..at + 3].copy_from_slice(b"eve");
    });
    let found = audit.run();
    assert!(found.code == 1 && found.err.contains("event 3: not what was appended"), "{found:?}");
}
