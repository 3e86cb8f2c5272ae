//! A release's life against an API of Kubernetes: install, upgrade, a refused upgrade, test, rollback, uninstall. After
//! each step there is what the chart renders, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use patchgate_testkit::kubernetes::Kubernetes;
use serde_json::Value;
use tempfile::TempDir;

use super::chart;
use super::helm::{Helm, Objects};

/// The values of the release's revisions, by their files.
const REVISIONS: [&str; 3] = ["least", "gateway", "rollouts"];

struct Release<'h> {
    helm: &'h Helm,
    api: Kubernetes,
}

impl Release<'_> {
    /// Runs Helm; what it says if all went well, else what it complains of.
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let api = format!("http://{}", self.api.address());
        let mut options = vec!["--kube-apiserver", &*api, "--namespace", "shop"];
        if ["install", "upgrade"].contains(&arguments[0]) {
            options.push("--disable-openapi-validation");
        }
        let output = self.helm.run(&[arguments, &options].concat());
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// Installs or upgrades to a file of values.
    fn apply(&self, order: &str, values: &Path) -> Result<String, String> {
        self.run(&[order, "edge", chart().to_str().unwrap(), "-f", values.to_str().unwrap()])
    }

    /// What there is, but for Helm's records, as the chart would render it.
    fn live(&self) -> BTreeMap<String, Value> {
        let all = self.api.objects().into_iter().filter(|object| object["type"] != "helm.sh/release.v1");
        all.map(|mut object| {
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.retain(|name, _| !["resourceVersion", "uid"].contains(&name.as_str()));
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.retain(|name, _| !name.starts_with("meta.helm.sh/"));
                if annotations.is_empty() {
                    metadata.remove("annotations");
                }
            }
            (named(&object), object)
        })
        .collect()
    }

    /// That there is what these values render, and nothing else.
    fn is(&self, values: &Path, when: &str) {
        let (live, mut rendered) = (self.live(), self.rendered(values));
        for (name, object) in live {
            let expected = rendered.remove(&name).unwrap_or_default();
            assert!(object == expected, "Helm {}, {when}: {object:#}\ninstead of\n{expected:#}", self.helm.major);
        }
        assert!(rendered.is_empty(), "Helm {}, {when}: there is no {:?}", self.helm.major, rendered.keys());
    }

    /// What the chart renders, but for hooks.
    fn rendered(&self, values: &Path) -> BTreeMap<String, Value> {
        let options = ["-f", values.to_str().unwrap(), "--namespace", "shop", "--no-hooks"];
        let objects = Objects::of(&self.helm.template(&chart(), "edge", &options).unwrap());
        objects.0.into_iter().map(|object| (named(&object), object)).collect()
    }
}

fn named(object: &Value) -> String {
    format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

#[test]
fn a_release_is_installed_upgraded_tested_rolled_back_and_uninstalled() {
    for helm in &Helm::all() {
        let release = Release { helm, api: Kubernetes::start() };
        let files = REVISIONS.map(|name| chart().join("ci").join(format!("{name}-values.yaml")));
        for (number, values) in files.iter().enumerate() {
            let order = if number == 0 { "install" } else { "upgrade" };
            let told = release.apply(order, values).unwrap_or_else(|why| panic!("Helm {}: {why}", helm.major));
            assert!(told.contains("helm -n shop test edge"), "{told}");
            release.is(values, REVISIONS[number]);
        }
        let folder = TempDir::new().unwrap();
        let wrong = folder.path().join("wrong.yaml");
        std::fs::write(&wrong, std::fs::read_to_string(&files[2]).unwrap() + "replicas: 3\n").unwrap();
        let refused = release.apply("upgrade", &wrong).unwrap_err();
        assert!(refused.contains("one pod alone may write"), "{refused}");
        release.is(&files[2], "after a refused upgrade");

        let tested = release.run(&["test", "edge"]).unwrap();
        assert!(tested.contains("edge-patchgate-check") && tested.contains("Succeeded"), "{tested}");
        release.is(&files[2], "tested");
        release.run(&["rollback", "edge", "1"]).unwrap();
        release.is(&files[0], "rolled back");
        let history: Value = serde_json::from_str(&release.run(&["history", "edge", "-o", "json"]).unwrap()).unwrap();
        let statuses: Vec<&str> =
            history.as_array().unwrap().iter().map(|revision| revision["status"].as_str().unwrap()).collect();
        assert_eq!(statuses, ["superseded", "superseded", "superseded", "deployed"], "{history}");
        release.run(&["uninstall", "edge"]).unwrap();
        assert_eq!(release.api.objects(), Vec::<Value>::new(), "Helm {}", helm.major);
    }
}
