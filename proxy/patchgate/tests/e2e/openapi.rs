//! The admin API against its own description: `schemathesis` makes requests of it, good and bad ones, in sequences, and
//! looks whether every answer is one that the description has.

use std::process::Command;

use patchgate_testkit::eventually;
use patchgate_testkit::tools;
use patchgate_testkit::upstream::Upstream;

use super::admin::{config, rollout};
use super::{BINARY, start};

/// What is not asked of the API, and why.
const EXCEPTIONS: &str = r#"
seed = 1
request-timeout = 10
suppress-health-check = ["all"]
# What a field means is not in its schema: a name that is free, a version that is the newest.
[checks]
positive_data_acceptance.enabled = false
# The server would end.
[[operations]]
include-path = "/v1/drain"
enabled = false
# Any text may be asked about: that it is no configuration is the answer.
[[operations]]
include-path = "/v1/config/dry-run"
checks.negative_data_rejection.enabled = false
"#;

#[test]
fn every_answer_is_one_that_the_description_has() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let tokens = folder.path().join("tokens.json");
    let stable = Upstream::named("stable");
    let create = ["token", "create", "--name", "tester", "--role", "admin", "--tokens"];
    let created = Command::new(BINARY).args(create).arg(&tokens).output().unwrap();
    assert!(created.status.success(), "{created:?}");
    let token = String::from_utf8(created.stdout).unwrap();
    let text = config(stable.address, &data).replace("admin:", &format!("admin:\n  tokens: {}", tokens.display()));
    let mut gateway = start(&text);
    let server = format!("http://{}", gateway.address("admin"));

    let fix = folder.path().join("fix.json");
    std::fs::write(&fix, rollout("fix", stable.address).to_string()).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["rollout", "create", "--server", &server, "--reason", "NPE", "-f"]).arg(&fix);
    let created = command.env("PATCHGATE_TOKEN", token.trim()).output().unwrap();
    assert!(created.status.success(), "{created:?}");

    std::fs::write(folder.path().join("schemathesis.toml"), EXCEPTIONS).unwrap();
    let package = tools::python("schemathesis", "4.32.5");
    let mut command = Command::new("python3");
    command.args(["-m", "schemathesis.cli", "run", &format!("{server}/openapi.json")]);
    command.args(["-H", &format!("Authorization: Bearer {}", token.trim())]).current_dir(folder.path());
    let tested = command.env("PYTHONPATH", &package).env("NO_COLOR", "1").output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&tested.stdout), String::from_utf8_lossy(&tested.stderr));
    assert!(tested.status.success(), "{said}\n{error}");
    assert!(said.contains("20 selected / 21 total"), "all but one of the routes: {said}");

    gateway.signal("TERM");
    assert!(gateway.wait().success());
    eventually("no panic", || (!gateway.said("panic")).then_some(()));
}
