//! What must hold of the objects of any release, whatever the values.

use std::collections::BTreeSet;

use serde_json::Value;

use super::helm::Objects;

/// The longest that a name or a label's value may be.
const LONGEST: usize = 63;

/// What StatefulSets and Deployments append to their names in labels.
const APPENDED: usize = 11;

const LABELS: [&str; 7] = [
    "helm.sh/chart",
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
];

/// Names: unique, short enough, in a namespace, labelled.
pub(crate) fn are_named(objects: &Objects) {
    let mut names = BTreeSet::new();
    for object in &objects.0 {
        let (kind, metadata) = (text(&object["kind"]), &object["metadata"]);
        let name = text(&metadata["name"]);
        assert!(names.insert((kind, name)), "two {kind} {name}");
        let longest = if object["spec"]["template"].is_null() { LONGEST } else { LONGEST - APPENDED };
        assert!(name.len() <= longest, "{kind} {name} is longer than {longest}");
        assert!(metadata["namespace"].is_string(), "{kind} {name} says no namespace");
        // Those that users add are theirs.
        if !name.ends_with("-extra") && !name.ends_with("-text") {
            for label in LABELS {
                let value = text(&metadata["labels"][label]);
                assert!((1..=LONGEST).contains(&value.len()), "{kind} {name}: {label} is {value:?}");
            }
        }
    }
}

/// Whoever selects pods selects the gateway's, and them alone.
pub(crate) fn select_the_pods(objects: &Objects) {
    let pods = &objects.workload()["spec"]["template"]["metadata"]["labels"];
    let check = &objects.kind("Pod")[0]["metadata"]["labels"];
    let mut seen = 0;
    for object in &objects.0 {
        let spec = &object["spec"];
        let selector = match text(&object["kind"]) {
            "Service" => &spec["selector"],
            "Deployment" | "StatefulSet" | "PodDisruptionBudget" | "PodMonitor" => &spec["selector"]["matchLabels"],
            "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
            _ => continue,
        };
        seen += 1;
        let selects = |labels: &Value| selector.as_object().unwrap().iter().all(|(name, value)| &labels[name] == value);
        assert!(selects(pods) && !selects(check), "{} {selector}", object["kind"]);
    }
    assert!(seen >= 3, "two Services and a workload at least");
}

/// Ports are named where they are used; probes have the three paths.
pub(crate) fn name_their_ports(objects: &Objects) {
    let container = objects.container();
    let ports = container["ports"].as_array().unwrap();
    let names: Vec<&Value> = ports.iter().map(|port| &port["name"]).collect();
    for service in objects.kind("Service") {
        for port in service["spec"]["ports"].as_array().unwrap() {
            assert!(names.contains(&&port["targetPort"]), "{port} of {names:?}");
        }
    }
    for (probe, path) in [("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert!(names.contains(&&container[probe]["httpGet"]["port"]), "{probe}");
    }
    let public = objects.kind("Service").into_iter().find(|service| service["spec"]["clusterIP"] != "None").unwrap();
    for port in public["spec"]["ports"].as_array().unwrap() {
        let target = text(&port["targetPort"]);
        assert!(!["health", "admin"].contains(&target), "clients are not led to {target}");
    }
    for ingress in objects.kind("Ingress") {
        for rule in ingress["spec"]["rules"].as_array().unwrap() {
            for path in rule["http"]["paths"].as_array().unwrap() {
                is_port_of(public, &path["backend"]["service"]["port"]["name"], "name");
            }
        }
    }
    for route in objects.kind("HTTPRoute") {
        is_port_of(public, &route["spec"]["rules"][0]["backendRefs"][0]["port"], "port");
    }
}

fn is_port_of(service: &Value, port: &Value, field: &str) {
    let ports = service["spec"]["ports"].as_array().unwrap();
    assert!(!port.is_null() && ports.iter().any(|one| &one[field] == port), "{port} in {ports:?}");
}

/// Every volume is mounted and every mount has one.
pub(crate) fn mount_their_volumes(objects: &Objects) {
    let workload = objects.workload();
    let named = |list: &Value| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().map(|one| text(&one["name"]).to_owned()).collect()
    };
    let mut volumes = named(&workload["spec"]["template"]["spec"]["volumes"]);
    for claim in workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        assert!(volumes.insert(text(&claim["metadata"]["name"]).to_owned()), "two volumes of one name");
    }
    assert_eq!(volumes, named(&objects.container()["volumeMounts"]));
}

/// Who may be scaled by others says no number; who writes a log is one.
pub(crate) fn count_their_pods(objects: &Objects) {
    let replicas = &objects.workload()["spec"]["replicas"];
    let scaled = !objects.kind("HorizontalPodAutoscaler").is_empty();
    assert_eq!(replicas.is_null(), scaled);
    if objects.workload()["kind"] == "StatefulSet" {
        assert_eq!(*replicas, 1);
    }
}

/// Nothing of the release may ask the Kubernetes API.
pub(crate) fn ask_for_nothing(objects: &Objects) {
    for kind in ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "CustomResourceDefinition"] {
        assert!(objects.kind(kind).is_empty(), "{kind}");
    }
    let pods = [&objects.workload()["spec"]["template"]["spec"], &objects.kind("Pod")[0]["spec"]];
    assert!(pods.iter().all(|pod| pod["automountServiceAccountToken"] == false));
    for account in objects.kind("ServiceAccount") {
        assert_eq!(account["automountServiceAccountToken"], false);
        assert_eq!(account["metadata"]["name"], pods[0]["serviceAccountName"]);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
