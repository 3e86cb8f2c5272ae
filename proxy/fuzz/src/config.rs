//! Any text is a configuration that can be compiled, or a report that can be told.

#![no_main]

use libfuzzer_sys::fuzz_target;
use patchgate_config::compile;
use patchgate_config::load::{FileError, from_text_with};
use patchgate_config::report::{Colour, human, json, sarif};
use patchgate_config::rollout_table::RolloutTable;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let env = |name: &str| (name.len() % 2 == 0).then(|| name.to_owned());
    let report = match from_text_with("fuzz.yaml", text, &env, &|_| Err(FileError::NotAllowed)) {
        Ok(loaded) => {
            let snapshot = compile(&loaded.model, &RolloutTable::from_model(&loaded.model), 1);
            assert!(!snapshot.services.is_empty() && !snapshot.listeners.is_empty());
            loaded.report
        }
        Err(report) => {
            assert!(report.has_errors());
            report
        }
    };
    let lines = text.lines().count().max(1);
    assert!(report.diagnostics.iter().all(|found| (1..=lines + 1).contains(&found.line)), "a place in the file");
    let _ = (human(&report, Colour::Never).to_string(), json(&report).to_string(), sarif(&report).to_string());
});
