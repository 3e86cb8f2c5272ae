//! The Helm chart: rendered by real Helm 3 and 4, judged by Kubernetes' own schemas, and run as real processes.
//!
//! - [`helm`]: what Helm makes of values, as objects;
//! - [`matrix`]: every file of values in `charts/patchgate/ci`, golden and by what must hold of each;
//! - [`objects`]: what must hold of all objects of a release; [`security`]: Pod Security's level "restricted";
//! - [`refused`]: wrong values, each with the words that it is refused in;
//! - [`lifecycle`]: a release from its installation to its end;
//! - [`sidecar`]: the library chart, in a chart of a service;
//! - [`values`]: that every value is explained, in the README, too;
//! - [`process`]: the rendered container as a process, begun by a small [`kubelet`].

#![allow(clippy::unwrap_used, reason = "a test that finds something amiss panics")]

mod helm;
mod kubelet;
mod lifecycle;
mod matrix;
mod objects;
mod process;
mod refused;
mod security;
mod sidecar;
mod values;

use std::path::PathBuf;

use patchgate_testkit::tools::workspace;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_patchgate");

/// The chart.
fn chart() -> PathBuf {
    workspace().join("charts/patchgate")
}

/// The files of values to render, by their names without the ending.
fn cases() -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(chart().join("ci")).unwrap();
    let mut cases: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().to_str().unwrap().strip_suffix("-values.yaml").unwrap().to_owned(), entry.path())
        })
        .collect();
    cases.sort();
    cases
}
