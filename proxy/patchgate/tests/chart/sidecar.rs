//! The library chart `patchgate-sidecar`, in the example chart of a service: rendered, judged, and run to its end beside
//! an application, in the kubelet's order.

use std::collections::BTreeMap;
use std::process::Command;

use patchgate_testkit::load::Load;
use patchgate_testkit::tools::{self, workspace};
use patchgate_testkit::upstream::Upstream;
use serde_json::Value;
use tempfile::TempDir;

use super::helm::{Helm, Objects};
use super::kubelet::Pod;
use super::matrix::{copy, validate};
use super::security::broken;

/// The example chart with the library in place, and the application on this port.
fn shop(port: u16) -> TempDir {
    let folder = TempDir::new().unwrap();
    copy(&workspace().join("docs/examples/sidecar-chart"), folder.path());
    copy(&workspace().join("charts/patchgate-sidecar"), &folder.path().join("charts/patchgate-sidecar"));
    let template = folder.path().join("templates/shop.yaml");
    let text = std::fs::read_to_string(&template).unwrap();
    assert!(text.contains("\"appPort\" 8080"));
    std::fs::write(template, text.replace("8080", &port.to_string())).unwrap();
    folder
}

#[test]
fn both_helms_take_it_and_render_the_golden_text() {
    let [three, four] = Helm::all();
    let shop = shop(8080);
    for helm in [&three, &four] {
        let output = helm.run(&["lint", "--strict", shop.path().to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let [other, rendered] = [three, four].map(|helm| helm.template(shop.path(), "web", &[]).unwrap());
    assert_eq!(Objects::of(&other).sorted().0, Objects::of(&rendered).sorted().0);
    let golden = workspace().join("proxy/patchgate/tests/fixtures/sidecar.yaml");
    if std::env::var_os("PATCHGATE_BLESS").is_some() {
        std::fs::write(&golden, &rendered).unwrap();
    }
    let kept = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(kept == rendered, "it renders to something else; see it with PATCHGATE_BLESS=1 and git diff");
}

#[test]
fn kubernetes_takes_it_at_the_level_restricted() {
    let objects = Objects::of(&Helm::newest().template(shop(8080).path(), "web", &[]).unwrap());
    let refused = validate(&tools::python("kubernetes-validate", "1.37.0"), &objects.0);
    assert!(refused.is_empty(), "{refused}");
    assert_eq!(broken(&objects.workload()["spec"]["template"]["spec"]), Vec::<String>::new());
    let (service, sidecar) = (objects.kind("Service")[0], objects.container());
    assert_eq!(service["spec"]["ports"][0]["targetPort"], sidecar["ports"][0]["name"], "clients reach the sidecar");
    assert_eq!(sidecar["restartPolicy"], "Always", "it is a native sidecar");
}

#[test]
fn wrong_values_are_refused() {
    let shop = shop(8080);
    for helm in Helm::all() {
        for (set, words) in [
            ("config.telemtry=1", ["config", "telemtry"]),
            ("config.drain.delay=1s", ["config", "drain"]),
            ("config.health.address=0.0.0.0:1", ["config", "health"]),
            ("config.services[0].name=a", ["services", "routes"]),
            ("drainDelay=5", ["drainDelay", "string"]),
            ("drainTimeout=soon", ["drainTimeout", "pattern"]),
            ("port=80", ["port", "1"]),
            ("prot=15001", ["prot", "not allowed"]),
        ] {
            let set = format!("patchgate-sidecar.{set}");
            let told = helm.template(shop.path(), "web", &["--set", &set]).expect_err(&set);
            assert!(words.iter().all(|word| told.contains(word)), "{set}, Helm {}: {told}", helm.major);
        }
    }
}

#[test]
fn a_pod_ends_in_the_kubelets_order_without_a_failed_request() {
    let app = Upstream::named("app");
    let times = "patchgate-sidecar.drainDelay=1s,patchgate-sidecar.drainTimeout=2s,patchgate-sidecar.config=null";
    let shop = shop(app.address.port());
    let objects = Objects::of(&Helm::newest().template(shop.path(), "web", &["--set", times]).unwrap());
    let pod = Pod::new(&objects, &BTreeMap::new());
    let mut sidecar = pod.start();
    pod.listens_as_rendered(&sidecar);
    let load =
        Load::start(pod.address(&sidecar, "patchgate"), 8, "/", &[], |reply| match (reply.status, &*reply.text()) {
            (200, "app") => Ok(()),
            other => Err(format!("{other:?}")),
        });
    load.wait_for(200);
    load.expect_end();

    // All hooks at once; then the application, and the sidecar last.
    let mut hook = pod.pre_stop(&sidecar).spawn().unwrap();
    let containers = objects.workload()["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let seconds = &containers[0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    assert!(Command::new("sleep").arg(seconds.to_string()).status().unwrap().success());
    app.kill();
    assert!(hook.wait().unwrap().success(), "the sidecar has ended before the application");
    assert!(sidecar.wait().success());
    let tally = load.join();
    assert!(tally.failures.is_empty(), "{:?} beside {} answers", tally.failures, tally.fine);
    assert_eq!(tally.turned_away, 8, "each client was told to look elsewhere");
    assert!(seconds.as_u64().unwrap() < pod.grace, "the kubelet would have killed it");
}

#[test]
fn a_changed_configuration_changes_the_annotation() {
    let shop = shop(8080);
    let annotations = |options: &[&str]| -> Value {
        let objects = Objects::of(&Helm::newest().template(shop.path(), "web", options).unwrap());
        objects.workload()["spec"]["template"]["metadata"]["annotations"]["checksum/patchgate"].clone()
    };
    let (before, after) = (annotations(&[]), annotations(&["--set", "patchgate-sidecar.version=v8"]));
    assert!(before.is_string() && before != after);
    assert_eq!(before, annotations(&["--set", "patchgate-sidecar.resources.requests.cpu=1"]));
}
