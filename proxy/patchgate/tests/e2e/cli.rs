//! What a person at a terminal sees: help, checks, errors in one line, the demo.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use patchgate_testkit::client::{self, Client};
use patchgate_testkit::eventually;
use patchgate_testkit::process::Gateway;
use patchgate_testkit::tools::workspace;
use patchgate_testkit::upstream::Upstream;
use serde_json::Value;

use super::{BINARY, MARKED, config, start};

fn patchgate(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the binary under test was built")
}

/// Runs `check` on a text; returns the exit code and what it printed.
fn check(text: &str, options: &[&str]) -> (i32, String) {
    let folder = tempfile::TempDir::new().expect("there is a folder for temporary files");
    let file = folder.path().join("gate.yaml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let output = patchgate(&[&["check", "-c", file], options].concat());
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

const GOOD: &str = r#"
listeners: [{ name: web, address: "127.0.0.1:0" }]
services:
  - { name: shop, routes: [{ path_prefix: / }], stable: { version: v1, endpoints: ["127.0.0.1:9"] } }
"#;

#[test]
fn help_names_every_command() {
    let output = patchgate(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for command in
        ["run", "check", "schema", "demo", "rollout", "explain", "log", "token", "drain", "completions", "man"]
    {
        assert!(text.lines().any(|line| line.trim_start().starts_with(command)), "{command} in {text}");
    }
}

#[test]
fn check_tells_every_error_with_its_place_and_remedy() {
    let bad = GOOD.replace("version: v1", "versio: v1").replace("path_prefix: /", "path_prefix: shop");
    let (code, text) = check(&bad, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("gate.yaml:4:") && text.contains("versio") && text.contains("version"), "{text}");
    assert!(text.contains("path_prefix"), "both at once: {text}");
    assert_eq!(check(GOOD, &[]).0, 0);
}

#[test]
fn check_warns_and_strict_makes_that_an_exit_code() {
    let risky =
        GOOD.replace(r#"address: "127.0.0.1:0""#, r#"address: "127.0.0.1:0", trust: { addresses: [0.0.0.0/0] }"#);
    let (code, text) = check(&risky, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("trusts-everyone"), "{text}");
    assert_eq!(check(&risky, &["--strict"]).0, 2);
    let (code, json) = check(&risky, &["--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, 0);
    assert!(json.to_string().contains("trusts-everyone"), "{json}");
    let (_, sarif) = check(&risky, &["--format", "sarif"]);
    let sarif: Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "trusts-everyone");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("gate.yaml");
    std::fs::write(&file, GOOD).unwrap();
    let file = file.to_str().unwrap();
    for (arguments, code) in [
        (&["schema"][..], 0),
        (&["check", "-c", file, "--format", "json"], 0),
        (&["check", "-c", file, "--format", "sarif"], 0),
        (&["check", "-c", file], 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(BINARY).args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*told), (Some(code), ""), "{arguments:?}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(BINARY).arg("schema").stdout(full).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot write to standard output") && !told.contains("panicked"), "{told}");
}

#[test]
fn the_schema_is_json_and_knows_the_top_level() {
    let schema: Value = serde_json::from_slice(&patchgate(&["schema"]).stdout).unwrap();
    assert!(schema["properties"]["listeners"].is_object(), "{schema:#}");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn a_missing_file_is_told_in_one_line() {
    for command in ["run", "check"] {
        let output = patchgate(&[command, "-c", "/nonexistent/gate.yaml"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("/nonexistent/gate.yaml") && text.trim_end().lines().count() == 1, "{text}");
    }
}

#[test]
fn a_taken_port_is_told_in_one_line() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    for (text, what) in [
        (GOOD.replace("127.0.0.1:0", &address), "listener web"),
        (format!("{GOOD}health: {{ address: \"{address}\" }}\n"), "health"),
    ] {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("gate.yaml");
        std::fs::write(&file, text).unwrap();
        let output = patchgate(&["run", "-c", file.to_str().unwrap()]);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        let errors: Vec<&str> = printed.lines().filter(|line| line.starts_with("patchgate: error:")).collect();
        assert!(matches!(errors[..], [line] if line.contains(what) && line.contains(&address)), "{printed}");
        assert!(!printed.contains("panicked"), "{printed}");
    }
}

#[test]
fn an_unreachable_collector_is_told_in_one_line_and_slows_nobody() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stable = Upstream::named("stable");
    let telemetry = format!("telemetry: {{ sampling: {{ default: 1.0 }}, otlp: {{ endpoint: \"http://{held}\" }} }}");
    let gateway = start(&config(stable.address, stable.address, &telemetry));
    for _ in 0..50 {
        assert_eq!(client::get(gateway.address("web"), "/", &[]).status, 200);
    }
    gateway.wait_for("the collector does not take spans");
    assert_eq!(gateway.times_said("the collector does not take spans"), 1);
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("gate.yaml");
    std::fs::write(&file, format!("{GOOD}health: {{ address: \"127.0.0.1:0\" }}\n")).unwrap();
    let child = Command::new(BINARY)
        .args(["run", "--log-format", "json", "-c", file.to_str().unwrap()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let mut log = BufReader::new(child.0.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    let health = log.find(|line| line.contains("\"health\"")).expect("health listens");
    let health: Value = serde_json::from_str(&health).unwrap();
    let health = health["address"].as_str().unwrap().parse().unwrap();
    log.find(|line| line.contains("\"serving\"")).expect("it serves");

    // Each rejection is told with all its errors: more by far than the pipe and the queue hold together.
    let bad: String = (0..90).map(|number| format!("unknown-{number}: {}\n", "x".repeat(800))).collect();
    std::fs::write(&file, bad).unwrap();
    let signal = |name: &str| {
        let kill = format!("kill -{name} {}", child.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    };
    let rejections = || {
        let scrape = client::get(health, "/metrics", &[]).text();
        let sample = "patchgate_config_reloads_total{result=\"rejected\"} ";
        let count = scrape.lines().find_map(|line| line.strip_prefix(sample)?.parse::<f64>().ok());
        count.unwrap_or_else(|| panic!("no {sample} in {scrape}")) as usize
    };
    for told in 0..60 {
        signal("HUP");
        eventually("the rejection", || (rejections() > told).then_some(()));
    }
    signal("TERM");
    let rest: Vec<String> = log.collect();
    assert!(rest.iter().any(|line| line.contains(" log lines were dropped")), "of {} lines", rest.len());
    assert!(rest.iter().any(|line| line.contains("\"stopped\"")), "the last lines are seen, of {}", rest.len());
    assert!(child.0.wait().unwrap().success());
}

/// A process that ends with its test, also with one that fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Ended already, or to be ended now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn half_sent_heads_are_bounded_in_number_and_in_time() {
    let stable = Upstream::named("stable");
    let gateway = start(&config(stable.address, stable.address, ""));
    let health = gateway.address("health");
    let mut held: Vec<Client> = (0..64)
        .map(|_| {
            let mut client = Client::connect(health).unwrap();
            client.send("GET /livez HTTP/1.1\r\nhost:").unwrap();
            client
        })
        .collect();
    let mut further = Client::connect(health).unwrap();
    assert!(further.rest().is_ok_and(|rest| rest.is_empty()), "one more is closed at once");
    for client in &mut held {
        // Each read is bounded by the test's client.
        assert!(client.rest().is_ok_and(|rest| rest.is_empty()), "no head, no answer");
    }
    assert_eq!(client::get(health, "/livez", &[]).text(), "ok\n");
}

#[test]
fn malformed_requests_get_400_and_are_counted_by_reason() {
    let stable = Upstream::named("stable");
    let gateway = start(&config(stable.address, stable.address, ""));
    for (request, reason) in [
        ("GET / HTTP/1.1\r\n\r\n", "host_missing"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "host_ambiguous"),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", "host_malformed"),
        ("GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", "malformed"),
    ] {
        let mut client = Client::connect(gateway.address("web")).unwrap();
        client.send(request).unwrap();
        assert_eq!(client.reply().unwrap().status, 400, "{reason}");
        assert_eq!(client.rest().unwrap(), b"", "{reason}: the connection ends");
        assert_eq!(gateway.sum("patchgate_bad_requests_total", &[&format!("\"{reason}\"")]), 1.0, "{reason}");
    }
    assert_eq!(stable.requests(), 0);
}

#[test]
fn an_accepted_setting_without_effect_yet_is_told_at_start() {
    let stable = Upstream::named("stable");
    let gates = "    gates: { error_rate: { worse_by: 0.5% } }\n    stages:";
    let text = config(stable.address, stable.address, "").replace("    stages:", gates);
    let gateway: Gateway = start(&text);
    assert!(gateway.log().iter().any(|line| line["rule"] == "not-in-force"), "{:#?}", gateway.log());
    assert_eq!(client::get(gateway.address("web"), "/", MARKED).text(), "stable");
}

#[test]
fn the_demo_sees_what_it_expects() {
    let output = patchgate(&["demo", "--requests", "400"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("One marked request") && text.contains("patch.decision: mark"), "{text}");
    assert!(!text.contains('✗'), "{text}");
}

#[test]
fn every_example_in_the_repository_is_accepted() {
    let mut seen = 0;
    for entry in std::fs::read_dir(workspace().join("docs/examples")).expect("there are examples") {
        let file = entry.unwrap().path();
        // A chart is tested as one.
        if file.is_dir() {
            continue;
        }
        let output = patchgate(&["check", "-c", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stdout));
        seen += 1;
    }
    assert!(seen > 0);
}
