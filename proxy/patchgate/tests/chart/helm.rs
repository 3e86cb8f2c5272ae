//! What Helm makes of values, as objects.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use patchgate_testkit::tools;
use serde_json::Value;

/// One real Helm.
pub(crate) struct Helm {
    pub(crate) major: u8,
    program: PathBuf,
}

/// Everything that a release consists of.
#[derive(Debug, Clone)]
pub(crate) struct Objects(pub(crate) Vec<Value>);

impl Helm {
    /// Helm 4, which most tests are content with.
    pub(crate) fn newest() -> Self {
        Self { major: 4, program: tools::helm(4) }
    }

    /// All that are in use.
    pub(crate) fn all() -> [Self; 2] {
        [Self { major: 3, program: tools::helm(3) }, Self::newest()]
    }

    /// Runs it with these arguments, and without the user's own settings and clusters.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let home = self.program.with_file_name("home");
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HELM_") || name.starts_with("KUBE")) {
            command.env_remove(name);
        }
        for kept in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "KUBECONFIG"] {
            command.env(kept, home.join(kept));
        }
        command.args(arguments).output().unwrap()
    }

    /// The text that `chart` renders to, or what is wrong with the values.
    pub(crate) fn template(&self, chart: &Path, release: &str, options: &[&str]) -> Result<String, String> {
        let output = self.run(&[&["template", release, chart.to_str().unwrap()], options].concat());
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// Our chart with a file of values.
    pub(crate) fn render(&self, release: &str, values: &Path) -> String {
        let rendered = self.template(&super::chart(), release, &["-f", values.to_str().unwrap()]);
        rendered.unwrap_or_else(|why| panic!("{}, Helm {}: {why}", values.display(), self.major))
    }
}

impl Objects {
    /// Those of a rendered text.
    pub(crate) fn of(rendered: &str) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(rendered).unwrap_or_else(|why| panic!("{why}"));
        Self(documents.into_iter().filter(|document| !document.is_null()).collect())
    }

    /// All of one kind.
    pub(crate) fn kind(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// What runs the pods: a Deployment or a StatefulSet.
    pub(crate) fn workload(&self) -> &Value {
        let all = [self.kind("Deployment"), self.kind("StatefulSet")].concat();
        assert_eq!(all.len(), 1, "one workload: {all:#?}");
        all[0]
    }

    /// The gateway's container, or the sidecar.
    pub(crate) fn container(&self) -> &Value {
        let pod = &self.workload()["spec"]["template"]["spec"];
        let lists =
            ["containers", "initContainers"].iter().flat_map(|list| pod[*list].as_array().into_iter().flatten());
        lists.into_iter().find(|container| container["name"] == "patchgate").unwrap()
    }

    /// In an order that does not depend on who rendered them.
    pub(crate) fn sorted(mut self) -> Self {
        self.0.sort_by_key(|object| format!("{} {}", object["kind"], object["metadata"]["name"]));
        self
    }
}
