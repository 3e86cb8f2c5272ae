//! Wrong values, each refused by both Helms in words that name what is wrong.

use super::chart;
use super::helm::Helm;

/// What is added to the least values that are right, and words of the refusal.
const WRONG: &[(&str, &[&str])] = &[
    // The chart's own values, by their schema.
    ("replica: 3", &["replica", "not allowed"]),
    ("replicas: many", &["replicas", "integer"]),
    ("image: { tag: 1.0 }", &["image", "tag", "string"]),
    ("image: { digest: latest }", &["image", "digest", "sha256"]),
    ("image: { pullPolicy: Sometimes }", &["pullPolicy", "Always"]),
    ("reload: never", &["reload", "rollout", "hot"]),
    ("log: { format: xml }", &["log", "format", "json"]),
    ("service: { type: ExternalName }", &["service", "type", "ClusterIP"]),
    ("service: { ports: { http: 70000 } }", &["service", "ports", "http"]),
    ("service: { spec: { selector: { app: other } } }", &["service", "spec", "selector"]),
    ("fullnameOverride: Shop_Edge", &["fullnameOverride", "pattern"]),
    ("imagePullSecrets: [registry]", &["imagePullSecrets", "object"]),
    ("persistence: { size: big }", &["persistence", "size", "pattern"]),
    ("persistence: { accessModes: [ReadOnlyMany] }", &["persistence", "accessModes", "ReadWriteOnce"]),
    ("tokens: { secret: pgt_abc }", &["tokens", "secret", "not allowed"]),
    ("certificates: [{ name: edge, dnsNames: [a.example.com] }]", &["certificates", "issuerRef"]),
    ("graceSpareSeconds: 1", &["graceSpareSeconds", "6"]),
    ("probes: { liveness: { httpGet: { path: / } } }", &["probes", "liveness", "httpGet"]),
    ("resources: { cpu: 1 }", &["resources", "cpu", "not allowed"]),
    ("extraEnv: { A: b }", &["extraEnv", "array"]),
    ("podDisruptionBudget: { maxUnavailable: one }", &["podDisruptionBudget", "maxUnavailable"]),
    ("topologySpreadConstraints: [{ maxSkew: 1 }]", &["topologySpreadConstraints", "topologyKey"]),
    // The gateway's configuration, by its own.
    ("config: { services: null }", &["config", "services"]),
    ("config: { services: [] }", &["services", "1"]),
    ("config: { lisners: [] }", &["config", "lisners", "not allowed"]),
    ("config: { drain: { delay: 5 } }", &["drain", "delay", "string"]),
    ("config: { drain: { delay: 5 seconds } }", &["drain", "delay", "pattern"]),
    ("config: { workers: 0 }", &["workers"]),
    ("config: { listeners: [{ name: http }] }", &["listeners", "0", "address"]),
    ("config: { admin: { store: { jetstream: {} } } }", &["admin", "store"]),
    ("config: { admin: { auth: password } }", &["admin", "auth"]),
    ("config: { telemetry: { sampling: { default: 2 } } }", &["telemetry", "sampling", "default"]),
    ("config: { rollouts: [{ name: fix, group: g }] }", &["rollouts", "0"]),
    // What no schema can say, by the templates.
    ("config: { admin: {} }\nreplicas: 2", &["config.admin", "one pod alone may write", "replicas: 1"]),
    ("config: { admin: {} }\nautoscaling: { enabled: true }", &["config.admin", "autoscaling.enabled: false"]),
    ("config: { admin: { store: { file: /data } } }", &["config.admin.store.file", "/var/lib/patchgate"]),
    ("config: { admin: { store: { file: ../data } } }", &["config.admin.store.file", "/var/lib/patchgate"]),
    ("config: { admin: { address: 0.0.0.0:9901 } }", &["config.admin.address", "auth: tokens"]),
    ("config: { admin: { address: \"${ADMIN}\" } }", &["config.admin.address", "write it out"]),
    (
        "config: { admin: {} }\ntokens: { existingSecret: t }",
        &["config.admin.tokens: /etc/patchgate/tokens/tokens.json"],
    ),
    ("tokens: { existingSecret: t }", &["tokens.existingSecret", "config.admin"]),
    ("config: { listeners: [{ name: http, address: \"${ADDRESS}\" }] }", &["config.listeners[0].address", "0.0.0.0"]),
    ("config: { listeners: [{ name: http, address: 0.0.0.0:80 }] }", &["port 80", "service.ports.http: 80"]),
    ("config: { listeners: [{ name: http, address: 127.0.0.1:8080 }] }", &["config.listeners", "outside the pod"]),
    ("config: { listeners: [{ name: Public_Edge, address: 0.0.0.0:8080 }] }", &["`Public_Edge`", "a-z"]),
    ("config: { listeners: [{ name: health, address: 0.0.0.0:8080 }] }", &["`health`", "choose another"]),
    ("config: { health: null }", &["config.health.address", "0.0.0.0:9902"]),
    ("config: { health: { address: 127.0.0.1:9902 } }", &["config.health.address", "kubelet"]),
    ("service: { ports: { htttp: 80 } }", &["service.ports.htttp", "there are: http"]),
    ("podDisruptionBudget: { minAvailable: 1 }", &["one of minAvailable and maxUnavailable", "null"]),
    ("autoscaling: { enabled: true, minReplicas: 20 }", &["autoscaling.minReplicas"]),
    ("autoscaling: { enabled: true }\nresources: { requests: null }", &["resources.requests.cpu"]),
    ("autoscaling: { enabled: true, targetCPUUtilizationPercentage: null }", &["nothing to go by"]),
    ("networkPolicy: { enabled: true }", &["networkPolicy.egress", "no backend"]),
    ("ingress: { enabled: true }", &["ingress.hosts", "shop.example.com"]),
    ("httpRoute: { enabled: true }", &["httpRoute.parentRefs"]),
    (
        "httpRoute: { enabled: true, listener: web, parentRefs: [{ name: a }] }",
        &["httpRoute.listener `web`", "there are: http"],
    ),
    ("serviceMonitor: { enabled: true }\npodMonitor: { enabled: true }", &["twice"]),
];

#[test]
fn wrong_values_are_refused_in_words_that_help() {
    let folder = tempfile::TempDir::new().unwrap();
    let (least, wrong) = (chart().join("ci/least-values.yaml"), folder.path().join("wrong.yaml"));
    let mut unclear = Vec::new();
    for helm in Helm::all() {
        for (values, words) in WRONG {
            std::fs::write(&wrong, values).unwrap();
            let options = ["-f", least.to_str().unwrap(), "-f", wrong.to_str().unwrap()];
            let told = helm.template(&chart(), "wrong", &options).expect_err(values);
            let missing: Vec<_> = words.iter().filter(|word| !told.contains(**word)).collect();
            if !missing.is_empty() {
                unclear.push(format!("{values}, Helm {}: {missing:?} are not in\n{told}", helm.major));
            }
        }
    }
    assert!(unclear.is_empty(), "{}", unclear.join("\n"));
}

#[test]
fn all_problems_are_told_at_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let (least, wrong) = (chart().join("ci/least-values.yaml"), folder.path().join("wrong.yaml"));
    std::fs::write(&wrong, "config: { admin: {}, health: null }\nreplicas: 3\nnetworkPolicy: { enabled: true }")
        .unwrap();
    let options = ["-f", least.to_str().unwrap(), "-f", wrong.to_str().unwrap()];
    let told = Helm::newest().template(&chart(), "wrong", &options).unwrap_err();
    assert_eq!(told.lines().filter(|line| line.starts_with("- ")).count(), 3, "{told}");
}
