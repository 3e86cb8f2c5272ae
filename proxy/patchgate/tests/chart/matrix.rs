//! Every file of values in `charts/patchgate/ci`, by both Helms: golden texts, and what must hold of each.
//! `PATCHGATE_BLESS=1` writes the texts anew; read the difference.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use patchgate_testkit::tools;
use serde_json::Value;

use super::helm::{Helm, Objects};
use super::{cases, chart, objects};

/// As the issue of this capability demands.
const LEAST_CASES: usize = 12;

/// Kinds that are not Kubernetes' own, so that its schemas do not know them.
const FOREIGN: [&str; 5] = ["Certificate", "HTTPRoute", "PodMonitor", "PrometheusRule", "ServiceMonitor"];

#[test]
fn lint_finds_nothing() {
    assert!(cases().len() >= LEAST_CASES);
    for helm in Helm::all() {
        for (name, values) in cases() {
            let chart = chart();
            let output = helm.run(&["lint", "--strict", chart.to_str().unwrap(), "-f", values.to_str().unwrap()]);
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && !told.contains("[WARNING]"), "{name}, Helm {}: {told}", helm.major);
        }
    }
}

#[test]
fn both_helms_render_the_golden_texts() {
    let [three, four] = Helm::all();
    let folder = tools::workspace().join("proxy/patchgate/tests/fixtures/chart");
    let mut old: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for (name, values) in cases() {
        let rendered = four.render("golden", &values);
        let other = Objects::of(&three.render("golden", &values)).sorted();
        assert_eq!(Objects::of(&rendered).sorted().0, other.0, "{name}: what Helm 4 renders beside Helm 3");
        let golden = folder.join(format!("{name}.yaml"));
        old.retain(|path| *path != golden);
        if std::env::var_os("PATCHGATE_BLESS").is_some() {
            std::fs::write(&golden, &rendered).unwrap();
        }
        let kept = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(kept == rendered, "{name} renders to something else; see it with PATCHGATE_BLESS=1 and git diff");
    }
    assert!(old.is_empty(), "of no file of values: {old:?}");
}

#[test]
fn what_must_hold_of_every_release_holds() {
    let helm = Helm::newest();
    for (name, values) in cases() {
        println!("{name}");
        let objects = Objects::of(&helm.render("every", &values));
        objects::are_named(&objects);
        objects::select_the_pods(&objects);
        objects::name_their_ports(&objects);
        objects::mount_their_volumes(&objects);
        objects::count_their_pods(&objects);
        objects::ask_for_nothing(&objects);
    }
}

#[test]
fn kubernetes_takes_every_object() {
    let schemas = tools::python("kubernetes-validate", "1.37.0");
    let helm = Helm::newest();
    let rendered: Vec<Value> =
        cases().iter().flat_map(|(_, values)| Objects::of(&helm.render("valid", values)).0).collect();
    let (foreign, own): (Vec<_>, Vec<_>) =
        rendered.into_iter().partition(|object| FOREIGN.iter().any(|kind| object["kind"] == *kind));
    for kind in FOREIGN {
        assert!(foreign.iter().any(|object| object["kind"] == kind), "{kind} is rendered by some file of values");
    }
    let mut wrong = own[0].clone();
    wrong["spec"]["unheardOf"] = true.into();
    assert!(!validate(&schemas, &[wrong]).is_empty(), "the schemas refuse what they do not know");
    let refused = validate(&schemas, &own);
    assert!(refused.is_empty(), "{refused}");
}

/// What the schemas of Kubernetes 1.29 to 1.37 refuse of these objects.
pub(crate) fn validate(schemas: &Path, objects: &[Value]) -> String {
    const SCRIPT: &str = "
import json, sys
import kubernetes_validate as k8s
for thing in json.load(sys.stdin):
    for minor in range(29, 38):
        try:
            k8s.validate(thing, f'1.{minor}', strict=True)
        except (k8s.ValidationError, k8s.SchemaNotFoundError) as error:
            print(f'1.{minor}', thing['kind'], thing['metadata']['name'], getattr(error, 'message', error))
";
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT])
        .env("PYTHONPATH", schemas)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(Value::from(objects).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the schemas were asked");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_notes_tell_where_it_is_the_next_step_and_what_to_mind() {
    let helm = Helm::newest();
    for (name, values) in cases() {
        let (chart, values) = (chart(), values.to_str().unwrap().to_owned());
        // Helm 4 asks no cluster for this; Helm 3 does.
        let output = helm.run(&["install", "n", chart.to_str().unwrap(), "-f", &values, "--dry-run=client"]);
        let told = String::from_utf8(output.stdout).unwrap();
        let (_, notes) = told.split_once("\nNOTES:\n").unwrap_or_else(|| panic!("{name}: {told}"));
        let objects = Objects::of(&helm.render("n", Path::new(&values)));
        let service =
            objects.kind("Service").into_iter().find(|service| service["spec"]["clusterIP"] != "None").unwrap();
        for port in service["spec"]["ports"].as_array().unwrap() {
            let (host, number) = (service["metadata"]["name"].as_str().unwrap(), &port["port"]);
            assert!(notes.contains(host) && notes.contains(&format!(":{number}\n")), "{name}: {notes}");
        }
        assert!(notes.contains("helm -n default test n\n"), "{name}: {notes}");
        let minds = |what: &str| notes.contains(what);
        assert_eq!(minds("every restart forgets all rollouts"), name == "rollouts-in-memory", "{name}: {notes}");
        assert_eq!(minds("a single replica"), name == "extras", "{name}: {notes}");
        assert_eq!(
            minds("token create"),
            ["network-policy", "rollouts", "rollouts-secret"].contains(&&*name),
            "{notes}"
        );
    }
}

#[test]
fn two_releases_live_in_one_namespace() {
    let helm = Helm::newest();
    for (name, values) in cases().into_iter().filter(|(name, _)| name != "names") {
        let both = ["one", "two"].map(|release| Objects::of(&helm.render(release, &values)));
        let [one, two] = both.each_ref().map(|objects| &objects.workload()["spec"]);
        assert_ne!(one["selector"], two["selector"], "{name}");
        objects::select_the_pods(&both[1]);
        let [mut all, others] = both;
        all.0.extend(others.0);
        objects::are_named(&all);
    }
}

#[test]
fn the_longest_release_name_fits_and_a_number_stays_a_name() {
    let longest = "r".repeat(53);
    for release in [longest.as_str(), "1", "1e3"] {
        for (name, values) in cases() {
            println!("{release} {name}");
            let objects = Objects::of(&Helm::newest().render(release, &values));
            objects::are_named(&objects);
            objects::select_the_pods(&objects);
        }
    }
}

#[test]
fn selectors_stay_what_they_are_over_versions_of_the_chart() {
    let folder = tempfile::TempDir::new().unwrap();
    let newer = folder.path().join("patchgate");
    copy(&chart(), &newer);
    let about = std::fs::read_to_string(newer.join("Chart.yaml")).unwrap();
    std::fs::write(newer.join("Chart.yaml"), about.replace("0.1.0", "7.8.9")).unwrap();
    let values = chart().join("ci/rollouts-values.yaml");
    let [old, new] = [chart(), newer]
        .map(|chart| Objects::of(&Helm::newest().template(&chart, "r", &["-f", values.to_str().unwrap()]).unwrap()));
    assert_eq!(new.container()["image"], "patchgate:7.8.9");
    for path in ["/spec/selector", "/spec/volumeClaimTemplates", "/spec/serviceName"] {
        assert_eq!(old.workload().pointer(path).unwrap(), new.workload().pointer(path).unwrap());
    }
}

#[test]
fn it_is_a_subchart_as_well() {
    let folder = tempfile::TempDir::new().unwrap();
    let shop = folder.path().join("shop");
    copy(&chart(), &shop.join("charts/patchgate"));
    let about = "{ apiVersion: v2, name: shop, version: 1.0.0, dependencies: \
                 [{ name: patchgate, version: 0.1.0, condition: patchgate.enabled }] }";
    std::fs::write(shop.join("Chart.yaml"), about).unwrap();
    let config: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(chart().join("ci/least-values.yaml")).unwrap()).unwrap();
    let file = folder.path().join("values.yaml");
    for helm in Helm::all() {
        let mut values = serde_json::json!({ "global": { "anything": 1 }, "patchgate": config });
        values["patchgate"]["enabled"] = true.into();
        std::fs::write(&file, values.to_string()).unwrap();
        let options = ["-f", file.to_str().unwrap()];
        let objects = Objects::of(&helm.template(&shop, "s", &options).unwrap());
        assert_eq!(objects.workload()["metadata"]["name"], "s-patchgate");
        values["patchgate"]["config"]["servises"] = true.into();
        std::fs::write(&file, values.to_string()).unwrap();
        assert!(helm.template(&shop, "s", &options).unwrap_err().contains("servises"));
        std::fs::write(&file, r#"{"patchgate":{"enabled":false}}"#).unwrap();
        assert_eq!(helm.template(&shop, "s", &options).unwrap().trim(), "");
    }
}

#[test]
fn a_changed_configuration_replaces_the_pods_or_is_left_to_them() {
    let values = chart().join("ci/least-values.yaml");
    let annotation = |options: &[&str]| {
        let options = [&["-f", values.to_str().unwrap()], options].concat();
        let objects = Objects::of(&Helm::newest().template(&chart(), "r", &options).unwrap());
        objects.workload()["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone()
    };
    let (before, after) = (annotation(&[]), annotation(&["--set", "config.drain.delay=6s"]));
    assert!(before.is_string() && after.is_string() && before != after);
    assert_eq!(before, annotation(&["--set", "replicas=5"]), "pods are not replaced for what is no concern of theirs");
    assert!(annotation(&["--set", "reload=hot"]).is_null());
}

#[test]
fn the_namespace_and_capabilities_are_asked_for_in_one_place() {
    let mut namespaces = 0;
    for entry in std::fs::read_dir(chart().join("templates")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(!text.contains(".Capabilities"), "{}: `helm template` knows none", path.display());
        if !path.ends_with("NOTES.txt") {
            namespaces += text.matches(".Release.Namespace").count();
        }
    }
    assert_eq!(namespaces, 1);
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}
