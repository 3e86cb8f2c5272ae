//! The level "restricted" of Kubernetes' Pod Security Standards, as far as a pod can break it.

use serde_json::{Value, json};

use super::cases;
use super::helm::{Helm, Objects};

/// Volumes that are allowed.
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// What a pod's spec breaks.
pub(crate) fn broken(pod: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let mut refuse = |wrong: bool, what: String| wrong.then(|| broken.push(what));
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        refuse(pod[host] == true, host.to_owned());
    }
    for volume in list(&pod["volumes"]) {
        let kinds = volume.as_object().into_iter().flatten().map(|(kind, _)| kind).filter(|kind| *kind != "name");
        for kind in kinds {
            refuse(!VOLUMES.contains(&kind.as_str()), format!("volume {kind}"));
        }
    }
    let whole = &pod["securityContext"];
    refuse(!list(&whole["sysctls"]).is_empty(), "sysctls".to_owned());
    for container in ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|of| list(&pod[*of])) {
        let (name, own) = (&container["name"], &container["securityContext"]);
        // A container's own word counts; else the pod's.
        let says = |field: &str| if own[field].is_null() { &whole[field] } else { &own[field] };
        refuse(says("runAsNonRoot") != true, format!("{name}: runAsNonRoot"));
        refuse(says("runAsUser") == 0, format!("{name}: runAsUser"));
        let seccomp = &says("seccompProfile")["type"];
        refuse(seccomp != "RuntimeDefault" && seccomp != "Localhost", format!("{name}: seccompProfile"));
        refuse(own["allowPrivilegeEscalation"] != false, format!("{name}: allowPrivilegeEscalation"));
        refuse(own["privileged"] == true, format!("{name}: privileged"));
        refuse(!own["procMount"].is_null() && own["procMount"] != "Default", format!("{name}: procMount"));
        let capabilities = &own["capabilities"];
        refuse(!list(&capabilities["drop"]).contains(&json!("ALL")), format!("{name}: capabilities.drop"));
        let added = list(&capabilities["add"]);
        refuse(added.iter().any(|one| one != "NET_BIND_SERVICE"), format!("{name}: capabilities.add"));
        for port in list(&container["ports"]) {
            refuse(port["hostPort"].as_u64().unwrap_or(0) != 0, format!("{name}: hostPort"));
        }
    }
    broken
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn every_pod_is_restricted() {
    let helm = Helm::newest();
    for (name, values) in cases() {
        let objects = Objects::of(&helm.render("secure", &values));
        let pods = [&objects.workload()["spec"]["template"]["spec"], &objects.kind("Pod")[0]["spec"]];
        for pod in pods {
            assert_eq!(broken(pod), Vec::<String>::new(), "{name}");
            // Beyond the standard: nothing is written but to volumes. Users' own containers are theirs.
            let ours = list(&pod["containers"]).iter().filter(|container| container["name"] != "beside");
            assert!(ours.into_iter().all(|one| one["securityContext"]["readOnlyRootFilesystem"] == true), "{name}");
        }
    }
}

#[test]
fn the_check_finds_every_way_to_break_it() {
    let values = super::chart().join("ci/least-values.yaml");
    let objects = Objects::of(&Helm::newest().render("secure", &values));
    let good = &objects.workload()["spec"]["template"]["spec"];
    let container = "/containers/0/securityContext";
    for (place, value, expected) in [
        ("/hostNetwork", json!(true), "hostNetwork"),
        ("/hostPID", json!(true), "hostPID"),
        ("/hostIPC", json!(true), "hostIPC"),
        ("/volumes/0", json!({ "name": "config", "hostPath": { "path": "/" } }), "volume hostPath"),
        ("/securityContext/sysctls", json!([{ "name": "a", "value": "b" }]), "sysctls"),
        ("/securityContext/runAsNonRoot", json!(false), "runAsNonRoot"),
        ("/securityContext/runAsUser", json!(0), "runAsUser"),
        ("/securityContext/seccompProfile", json!({ "type": "Unconfined" }), "seccompProfile"),
        (&format!("{container}/seccompProfile"), json!({ "type": "Unconfined" }), "seccompProfile"),
        (&format!("{container}/runAsNonRoot"), json!(false), "runAsNonRoot"),
        (&format!("{container}/allowPrivilegeEscalation"), json!(true), "allowPrivilegeEscalation"),
        (&format!("{container}/privileged"), json!(true), "privileged"),
        (&format!("{container}/procMount"), json!("Unmasked"), "procMount"),
        (&format!("{container}/capabilities/drop"), json!(["NET_RAW"]), "capabilities.drop"),
        (&format!("{container}/capabilities/add"), json!(["SYS_ADMIN"]), "capabilities.add"),
        ("/containers/0/ports/0/hostPort", json!(8080), "hostPort"),
        ("/initContainers", json!([{ "name": "init" }]), "\"init\": capabilities.drop"),
    ] {
        let mut pod = good.clone();
        let (parent, field) = place.rsplit_once('/').unwrap();
        match pod.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
            object => object[field] = value,
        }
        assert!(broken(&pod).iter().any(|what| what.contains(expected)), "{place}: {:?}", broken(&pod));
    }
}
