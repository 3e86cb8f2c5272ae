//! Every case of `benches/strict`, raw bytes on the wire, against the binary under test.

use std::process::Command;

use patchgate_testkit::tools::workspace;

use super::BINARY;

#[test]
fn what_the_rfcs_forbid_does_not_get_through() {
    let run = Command::new("python3")
        .arg(workspace().join("proxy/benches/strict/run"))
        .args(["--only", "patchgate", "--patchgate", BINARY])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("there is python3");
    let told = format!("{}{}", String::from_utf8_lossy(&run.stderr), String::from_utf8_lossy(&run.stdout));
    assert!(run.status.success(), "{told}");
}
