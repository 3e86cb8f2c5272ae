//! The rendered container as a process: what the chart promises is what the binary does.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Instant;

use patchgate_testkit::client::{self, Client};
use patchgate_testkit::pki::Authority;
use patchgate_testkit::process::Gateway;
use patchgate_testkit::upstream::{RawUpstream, Upstream};
use patchgate_testkit::{eventually, tools};
use serde_json::Value;

use super::helm::{Helm, Objects};
use super::kubelet::{self, Files, Pod};
use super::{BINARY, cases, chart};

/// Our chart with values as text.
fn render(values: &str) -> Objects {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    Objects::of(&Helm::newest().render("process", &file))
}

/// The command of `helm test`, asking this process.
fn helm_test(objects: &Objects, gateway: &Gateway) -> (bool, String) {
    let check = objects.kind("Pod")[0];
    let container = &check["spec"]["containers"][0];
    let internal = objects.kind("Service").into_iter().find(|service| service["spec"]["clusterIP"] == "None").unwrap();
    let (host, port) = (&internal["metadata"]["name"], &internal["spec"]["ports"][0]["port"]);
    let asked = format!("http://{}:{port}", host.as_str().unwrap());
    let here = format!("http://{}", gateway.address("health"));
    let arguments = kubelet::arguments(&container["args"]);
    assert!(arguments.contains(&&*asked), "{arguments:?} ask {asked}");
    let arguments = arguments.iter().map(|argument| argument.replace(&asked, &here));
    let output = Command::new(kubelet::program(container)).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_rendered_gateway_starts_serves_reloads_drains_and_ends_in_its_grace_period() {
    let shop = Upstream::named("shop");
    // Takes a request and never answers.
    let silent = RawUpstream::start(|_, mut stream| drop(std::io::copy(&mut stream, &mut std::io::sink())));
    let values = |version: &str| {
        format!(
            r#"
config:
  workers: 2
  services:
    - {{ name: shop, routes: [{{ path_prefix: / }}], stable: {{ version: "${{SHOP_VERSION}}-{version}", endpoints: ["{}"] }} }}
    - {{ name: slow, routes: [{{ path_prefix: /slow }}], stable: {{ version: v1, endpoints: ["{}"] }} }}
  drain: {{ delay: 1s, timeout: 5s }}
extraEnv: [{{ name: SHOP_VERSION, value: v7 }}]
"#,
            shop.address, silent.address
        )
    };
    let objects = render(&values("a"));
    let pod = Pod::new(&objects, &BTreeMap::new());
    let mut gateway = pod.start();
    pod.listens_as_rendered(&gateway);
    assert_eq!(client::get(gateway.address("http"), "/", &[]).text(), "shop");
    assert_eq!(helm_test(&objects, &gateway), (true, String::new()));

    pod.update(&render(&values("b")));
    gateway.wait_for("configuration reloaded");
    assert_eq!(client::get(gateway.address("http"), "/", &[]).status, 200);
    for version in ["v7-a", "v7-b"] {
        let label = format!("patch_version=\"{version}\"");
        eventually("its count", || (gateway.sum("patchgate_requests_total", &[&label]) == 1.0).then_some(()));
    }

    assert!(objects.container()["lifecycle"].is_null(), "it drains by itself");
    let mut unanswered = Client::connect(gateway.address("http")).unwrap();
    unanswered.send(client::head("GET", "/slow", &[]) + "\r\n").unwrap();
    eventually("the request", || (gateway.sum("patchgate_attempts_started_total", &[]) == 3.0).then_some(()));
    let told = Instant::now();
    gateway.signal("TERM");
    eventually("its end to be announced", || (pod.probe(&gateway, "readinessProbe") == 503).then_some(()));
    assert_eq!(pod.probe(&gateway, "livenessProbe"), 200);
    let (is_ready, why) = helm_test(&objects, &gateway);
    assert!(!is_ready && why.contains("status 503, draining"), "{why}");
    assert_eq!(unanswered.reply().unwrap().status, 503, "at drain.timeout");
    assert!(gateway.wait().success());
    assert!(told.elapsed().as_secs() < pod.grace, "the kubelet would have killed it");
}

#[test]
fn a_rendered_control_plane_keeps_its_log_on_the_volume_and_knows_its_tokens() {
    let shop = Upstream::named("shop");
    let tokens = tempfile::TempDir::new().unwrap();
    let (file, hashes) = (tokens.path().join("gate.yaml"), tokens.path().join("hashes.json"));
    let config = r#"
  services: [{ name: shop, routes: [{ path_prefix: / }], stable: { version: v1, endpoints: ["SHOP"] } }]
  admin: { address: 0.0.0.0:9901, tokens: TOKENS }
"#;
    let config = config.replace("SHOP", &shop.address.to_string());
    let listener = "  listeners: [{ name: http, address: \"127.0.0.1:0\" }]\n";
    std::fs::write(&file, format!("{config}{listener}").replace("TOKENS", hashes.to_str().unwrap())).unwrap();
    let create = ["token", "create", "--name", "ann", "--role", "viewer", "-o", "json", "-c", file.to_str().unwrap()];
    let created = Command::new(BINARY).args(create).output().unwrap();
    let created: Value = serde_json::from_slice(&created.stdout).unwrap_or_else(|why| panic!("{why}: {created:?}"));
    let secret = created["token"].as_str().unwrap_or_else(|| panic!("{created}"));

    let config = config.replace("TOKENS", "/etc/patchgate/tokens/tokens.json");
    let objects = render(&format!("config: {config}tokens: {{ existingSecret: hashes }}\n"));
    let files = Files::from([("tokens.json".to_owned(), std::fs::read_to_string(&hashes).unwrap())]);
    let pod = Pod::new(&objects, &BTreeMap::from([("hashes", files)]));
    let mut gateway = pod.start();
    pod.listens_as_rendered(&gateway);
    assert_eq!(client::get(gateway.address("http"), "/", &[]).text(), "shop");
    let whoami = |fields: &[(&str, &str)]| client::get(gateway.address("admin"), "/v1/whoami", fields);
    assert_eq!(whoami(&[]).status, 401);
    let known = whoami(&[("authorization", &format!("Bearer {secret}"))]);
    assert!(known.status == 200 && known.text().contains("ann"), "{known:?}");
    assert!(pod.path("/var/lib/patchgate/patchgate-data/log").is_dir(), "the log is on the volume");
    what_is_watched_is_measured(&gateway);
    gateway.signal("TERM");
    assert!(gateway.wait().success());
}

#[test]
fn the_quick_start_of_the_readme_leads_to_a_rollout() {
    let readme = std::fs::read_to_string(chart().join("README.md")).unwrap();
    let block = |begin: &str, end: &str| {
        let (_, rest) = readme.split_once(begin).unwrap();
        rest.split_once(end).unwrap().0.to_owned()
    };
    let (shop, fix) = (Upstream::named("shop"), Upstream::named("fix"));
    let here = |text: String| {
        text.replace("10.96.0.20:80", &shop.address.to_string()).replace("10.96.0.21:80", &fix.address.to_string())
    };
    let values = here(block("```yaml\n# values.yaml\n", "```"));
    assert!(values.contains("admin: {} "), "{values}");
    let objects = render(&values.replace("admin: {} ", "admin: { address: \"127.0.0.1:0\" }"));
    let pod = Pod::new(&objects, &BTreeMap::new());
    let gateway = pod.start();
    assert_eq!(helm_test(&objects, &gateway), (true, String::new()));
    let file = pod.path("/fix.yaml");
    std::fs::write(&file, here(block("<<'FIX'\n", "FIX\n"))).unwrap();
    let server = format!("http://{}", gateway.address("admin"));
    let order = ["rollout", "create", "--reason", "NPE in checkout", "--server", &server, "-f", file.to_str().unwrap()];
    let ordered = Command::new(BINARY).args(order).output().unwrap();
    assert!(ordered.status.success(), "{}", String::from_utf8_lossy(&ordered.stderr));
    let trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
    let mark = ("tracestate", "patch-group=shop-canary,patch-version=v1.0.1-fix");
    let answer = |fields: &[(&str, &str)]| client::get(gateway.address("http"), "/", fields).text();
    eventually("the fix to be served", || (answer(&[trace, mark]) == "fix").then_some(()));
    assert!(gateway.log().iter().all(|line| line["level"] != "ERROR"), "{:#?}", gateway.log());
}

/// Every metric that the alerts and the dashboard name is one that the gateway has.
fn what_is_watched_is_measured(gateway: &Gateway) {
    let scrape = client::get(gateway.address("health"), "/metrics", &[]).text();
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names: BTreeSet<String> = types
        .flat_map(|(name, kind)| match kind {
            "counter" => vec![format!("{name}_total")],
            "histogram" => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).to_vec(),
            _ => vec![name.to_owned()],
        })
        .collect();
    for expression in expressions() {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for metric in words.filter(|word| word.starts_with("patchgate_")) {
            assert!(names.contains(metric), "{metric} of `{expression}` is not measured");
        }
    }
}

/// Those of the alerts and of the dashboard.
fn expressions() -> Vec<String> {
    let read = |name: &str| -> Value {
        serde_saphyr::from_str(&std::fs::read_to_string(chart().join("files").join(name)).unwrap()).unwrap()
    };
    let (alerts, dashboard) = (read("alerts.yaml"), read("dashboard.json"));
    let rules = alerts["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let all: Vec<String> = rules.chain(targets).map(|one| one["expr"].as_str().unwrap().to_owned()).collect();
    assert!(all.len() > 20, "{all:?}");
    all
}

#[test]
fn every_query_is_one_that_prometheus_understands() {
    const SCRIPT: &str = "import promql_parser, sys\nfor query in sys.argv[1:]: promql_parser.parse(query)";
    let parser = tools::python("promql-parser", "0.12.0");
    let parse = |queries: &[String]| {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", &parser).args(["-c", SCRIPT]).args(queries);
        python.output().unwrap()
    };
    // Grafana puts the interval in.
    let queries: Vec<String> = expressions().iter().map(|query| query.replace("$__rate_interval", "5m")).collect();
    let parsed = parse(&queries);
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    assert!(!parse(&["sum by (".to_owned()]).status.success(), "the parser refuses what is none");
}

#[test]
fn the_binary_takes_every_rendered_configuration() {
    let authority = Authority::new();
    let issued = authority.server("edge", &["shop.example.com"]);
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let pair = Files::from([("tls.crt".into(), read(&issued.certificate)), ("tls.key".into(), read(&issued.key))]);
    let tokens = Files::from([("hashes.json".into(), "{}".into())]);
    for (name, values) in cases() {
        let objects = Objects::of(&Helm::newest().render("checked", &values));
        let certificate = objects.kind("Certificate").first().map(|one| one["spec"]["secretName"].clone());
        let mut secrets = BTreeMap::from([("legacy-shop", pair.clone()), ("patchgate-tokens", tokens.clone())]);
        secrets.extend(certificate.iter().map(|name| (name.as_str().unwrap(), pair.clone())));
        let pod = Pod::new(&objects, &secrets);
        let file = pod.path("/etc/patchgate/config/patchgate.yaml");
        let output =
            Command::new(BINARY).args(["check", "-c"]).arg(file).env("SHOP_VERSION", "v1.0.0").output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
