//! As much of a kubelet as a pod of one process needs: its volumes as folders, its container as a command.
//!
//! What differs from a cluster: the container's root is a folder, so its mounts have longer paths, and every listener
//! gets a free port of loopback in place of the one it has in the pod.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use patchgate_testkit::process::Gateway;
use patchgate_testkit::tools::workspace;
use serde_json::Value;
use tempfile::TempDir;

use super::BINARY;
use super::helm::Objects;

/// A pod whose volumes are there.
pub(crate) struct Pod {
    root: TempDir,
    container: Value,
    /// The grace period, in seconds.
    pub(crate) grace: u64,
}

/// Files by their names.
pub(crate) type Files = BTreeMap<String, String>;

impl Pod {
    /// Mounts all volumes; `secrets` has what is in Secrets, which are not the chart's.
    pub(crate) fn new(objects: &Objects, secrets: &BTreeMap<&str, Files>) -> Self {
        let workload = objects.workload();
        let spec = &workload["spec"]["template"]["spec"];
        let pod = Self {
            root: TempDir::new().unwrap(),
            container: objects.container().clone(),
            grace: spec["terminationGracePeriodSeconds"].as_u64().unwrap(),
        };
        for mount in pod.container["volumeMounts"].as_array().unwrap() {
            let path = mount["mountPath"].as_str().unwrap();
            let volume = spec["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]);
            if let Some(map) = volume.and_then(|volume| volume["configMap"]["name"].as_str()) {
                pod.project(path, &config_map(objects, map));
            } else if let Some(secret) = volume.and_then(|volume| volume["secret"]["secretName"].as_str()) {
                pod.project(path, &secrets[secret]);
            } else {
                // A claim, or a folder for as long as the pod lives.
                std::fs::create_dir_all(pod.path(path)).unwrap();
            }
        }
        pod
    }

    /// Where a path of the container is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// The same objects with another configuration: what the kubelet does when a ConfigMap changes.
    pub(crate) fn update(&self, objects: &Objects) {
        let name = objects.workload()["metadata"]["name"].as_str().unwrap();
        self.project("/etc/patchgate/config", &config_map(objects, name));
    }

    /// Writes files as Kubernetes does: into a new folder, to which the link `..data` is swung at one stroke.
    fn project(&self, mount: &str, files: &Files) {
        let folder = self.path(mount);
        std::fs::create_dir_all(&folder).unwrap();
        let generation = (0..).map(|number| format!("..{number}")).find(|name| !folder.join(name).exists()).unwrap();
        std::fs::create_dir(folder.join(&generation)).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(&generation).join(name), self.inside(text)).unwrap();
        }
        symlink(&generation, folder.join("..new")).unwrap();
        std::fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
        for name in files.keys().filter(|name| !folder.join(name).exists()) {
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
    }

    /// A text of the container as it reads here: its mounts, and free ports in place of its own.
    fn inside(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for mount in self.container["volumeMounts"].as_array().unwrap() {
            let path = mount["mountPath"].as_str().unwrap();
            text = text.replace(path, self.path(path).to_str().unwrap());
        }
        for port in self.ports().values() {
            text = text.replace(&format!("0.0.0.0:{port}\n"), "127.0.0.1:0\n");
        }
        text
    }

    /// The rendered ports by their names.
    pub(crate) fn ports(&self) -> BTreeMap<String, u64> {
        let ports = self.container["ports"].as_array().unwrap().iter();
        ports.map(|port| (port["name"].as_str().unwrap().to_owned(), port["containerPort"].as_u64().unwrap())).collect()
    }

    /// The container's command in the folder that it begins in, with its environment and no other.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(program(&self.container));
        command.args(arguments(&self.container).iter().map(|argument| self.inside(argument)));
        if let Some(folder) = self.container["workingDir"].as_str() {
            command.current_dir(self.path(folder));
        }
        let env = self.container["env"].as_array().unwrap().iter();
        command.env_clear().envs(env.map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap())));
        command
    }

    /// Runs it, and asks it what the kubelet asks: whether it has started, is ready, and lives.
    pub(crate) fn start(&self) -> Gateway {
        let config = self.path("/etc/patchgate/config/patchgate.yaml");
        let gateway = Gateway::start_as(self.command(), TempDir::new().unwrap(), config);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            assert_eq!(self.probe(&gateway, probe), 200, "{probe}");
        }
        gateway
    }

    /// The status that a probe gets.
    pub(crate) fn probe(&self, gateway: &Gateway, probe: &str) -> u16 {
        let get = &self.container[probe]["httpGet"];
        let address = gateway.address(get["port"].as_str().unwrap());
        patchgate_testkit::client::get(address, get["path"].as_str().unwrap(), &[]).status
    }
}

fn config_map(objects: &Objects, name: &str) -> Files {
    let map = objects.kind("ConfigMap").into_iter().find(|map| map["metadata"]["name"] == name).unwrap();
    serde_json::from_value(map["data"].clone()).unwrap()
}

/// What a container runs: the image's program, for the chart names none.
pub(crate) fn program(container: &Value) -> &'static str {
    assert!(container["command"].is_null());
    let image = std::fs::read_to_string(workspace().join("Dockerfile")).unwrap();
    assert!(image.ends_with("\nENTRYPOINT [\"/patchgate\"]\n") && image.contains(" /patchgate\n"), "{image}");
    BINARY
}

/// A container's arguments.
pub(crate) fn arguments(container: &Value) -> Vec<&str> {
    container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect()
}

/// The ports that a process listens on, as the kernel says.
pub(crate) fn listening(process: u32) -> BTreeSet<u16> {
    /// A socket's state in the kernel's table.
    const LISTEN: &str = "0A";
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let sockets: BTreeSet<String> = descriptors
        .filter_map(|descriptor| std::fs::read_link(descriptor.ok()?.path()).ok()?.into_os_string().into_string().ok())
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap());
    let rows =
        tables.iter().flat_map(|table| table.lines().skip(1)).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[3] == LISTEN && sockets.contains(row[9]))
        .map(|row| u16::from_str_radix(row[1].rsplit_once(':').unwrap().1, 16).unwrap())
        .collect()
}
