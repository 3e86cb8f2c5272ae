//! As much of a kubelet as a pod of one process needs: its volumes as folders, its container as a command.
//!
//! What differs from a cluster: the container's root is a folder, so its mounts have longer paths, and every listener
//! gets a free port of loopback in place of the one it has in the pod.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
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
    /// Every socket of the configuration: its name in the log, and where it listens in the pod.
    sockets: BTreeMap<String, SocketAddr>,
    /// The grace period, in seconds.
    pub(crate) grace: u64,
}

/// Where the configuration is mounted, and its name there.
const FOLDER: &str = "/etc/patchgate/config";
const CONFIG: &str = "patchgate.yaml";

/// Files by their names.
pub(crate) type Files = BTreeMap<String, String>;

impl Pod {
    /// Mounts all volumes; `secrets` has what is in Secrets, which are not the chart's.
    pub(crate) fn new(objects: &Objects, secrets: &BTreeMap<&str, Files>) -> Self {
        let workload = objects.workload();
        let spec = &workload["spec"]["template"]["spec"];
        let mut pod = Self {
            sockets: BTreeMap::new(),
            root: TempDir::new().unwrap(),
            container: objects.container().clone(),
            grace: spec["terminationGracePeriodSeconds"].as_u64().unwrap(),
        };
        for mount in pod.container["volumeMounts"].as_array().unwrap().clone() {
            let path = mount["mountPath"].as_str().unwrap();
            let volume = spec["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]);
            if let Some(map) = volume.and_then(|volume| volume["configMap"]["name"].as_str()) {
                let files = config_map(objects, map);
                pod.sockets = sockets(&files[CONFIG]);
                pod.project(path, &files);
            } else if let Some(secret) = volume.and_then(|volume| volume["secret"]["secretName"].as_str()) {
                pod.project(path, &secrets[secret]);
            } else {
                // A claim, or a folder for as long as the pod lives.
                std::fs::create_dir_all(pod.path(path)).unwrap();
            }
        }
        let reached = pod.sockets.values().filter(|address| !address.ip().is_loopback());
        let reached: BTreeSet<u16> = reached.map(SocketAddr::port).collect();
        assert_eq!(pod.ports().into_values().collect::<BTreeSet<_>>(), reached, "ports rendered, and configured");
        pod
    }

    /// Where a path of the container is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// The same objects with another configuration: what the kubelet does when a ConfigMap changes.
    pub(crate) fn update(&self, objects: &Objects) {
        let name = objects.workload()["metadata"]["name"].as_str().unwrap();
        self.project(FOLDER, &config_map(objects, name));
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
        for address in self.sockets.values() {
            text = text.replace(&format!("address: {address}\n"), "address: 127.0.0.1:0\n");
        }
        text
    }

    /// The rendered ports by their names.
    fn ports(&self) -> BTreeMap<&str, u16> {
        let ports = self.container["ports"].as_array().unwrap().iter();
        ports.map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap() as u16)).collect()
    }

    /// Where the rendered port of this name really is.
    pub(crate) fn address(&self, gateway: &Gateway, port: &str) -> SocketAddr {
        let number = self.ports()[port];
        let (name, _) = self.sockets.iter().find(|(_, address)| address.port() == number).unwrap();
        gateway.address(name)
    }

    /// That the process listens where the configuration says, which is where the container says, and nowhere else.
    pub(crate) fn listens_as_rendered(&self, gateway: &Gateway) {
        let told: BTreeSet<u16> = self.sockets.keys().map(|name| gateway.address(name).port()).collect();
        assert_eq!(told.len(), self.sockets.len());
        assert_eq!(listening(gateway.id()), told);
    }

    /// The container's command in the folder that it begins in, with its environment and no other.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(program(&self.container));
        command.args(arguments(&self.container["args"]).iter().map(|argument| self.inside(argument)));
        if let Some(folder) = self.container["workingDir"].as_str() {
            command.current_dir(self.path(folder));
        }
        let env = self.container["env"].as_array().unwrap().iter();
        command.env_clear().envs(env.map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap())));
        command
    }

    /// Runs it, and asks it what the kubelet asks: whether it has started, is ready, and lives.
    pub(crate) fn start(&self) -> Gateway {
        let config = self.path(FOLDER).join(CONFIG);
        let gateway = Gateway::start_as(self.command(), TempDir::new().unwrap(), config);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            assert_eq!(self.probe(&gateway, probe), 200, "{probe}");
        }
        gateway
    }

    /// The container's preStop, run beside its process.
    pub(crate) fn pre_stop(&self, gateway: &Gateway) -> Command {
        let hook = arguments(&self.container["lifecycle"]["preStop"]["exec"]["command"]);
        assert_eq!(hook[0], "/patchgate");
        // It asks the port that the process has, not the one that the system was asked for.
        let config = self.path("/hook.yaml");
        let text = std::fs::read_to_string(gateway.config()).unwrap();
        let (before, after) = text.split_once("admin:\n  address: 127.0.0.1:0\n").unwrap();
        let admin = format!("admin:\n  address: {}\n", gateway.address("admin"));
        std::fs::write(&config, [before, &admin, after].concat()).unwrap();
        let mut command = Command::new(BINARY);
        let path = Path::new(FOLDER).join(CONFIG);
        command.args(hook[1..].iter().map(|argument| match Path::new(argument) == path {
            true => config.clone().into_os_string(),
            false => argument.into(),
        }));
        command
    }

    /// The status that a probe gets.
    pub(crate) fn probe(&self, gateway: &Gateway, probe: &str) -> u16 {
        let get = &self.container[probe]["httpGet"];
        let address = self.address(gateway, get["port"].as_str().unwrap());
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

/// Arguments as rendered.
pub(crate) fn arguments(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect()
}

/// Every socket that a configuration has.
fn sockets(config: &str) -> BTreeMap<String, SocketAddr> {
    let config: Value = serde_saphyr::from_str(config).unwrap();
    let listeners = config["listeners"].as_array().unwrap().iter();
    let named = listeners.map(|listener| (listener["name"].as_str().unwrap(), &listener["address"]));
    let others = ["health", "admin"].into_iter().map(|name| (name, &config[name]["address"]));
    let all = named.chain(others).filter(|(_, address)| address.is_string());
    all.map(|(name, address)| (name.to_owned(), address.as_str().unwrap().parse().unwrap())).collect()
}

/// The ports that a process listens on, as the kernel says.
fn listening(process: u32) -> BTreeSet<u16> {
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
