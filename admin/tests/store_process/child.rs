//! A test that starts itself once more, as a process of its own that can be killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

/// Tells a test that it is the child: which one, and the data directory.
const ROLE: &str = "PATCHGATE_STORE_CHILD";
const DATA: &str = "PATCHGATE_STORE_DATA";

/// The data directory, in the child of this test; none in the test itself.
pub(crate) fn child_of(test: &str) -> Option<PathBuf> {
    (std::env::var_os(ROLE)? == test).then(|| std::env::var_os(DATA).unwrap().into())
}

/// The child of a test; killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    out: BufReader<ChildStdout>,
    /// Open as long as the child is to run.
    _in: ChildStdin,
}

impl Child {
    pub(crate) fn start(test: &str, data: &Path) -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()), test, data)
    }

    /// Starts it with a command that ends in this executable.
    pub(crate) fn run(mut command: Command, test: &str, data: &Path) -> Self {
        command.args(["--exact", test, "--nocapture", "--test-threads", "1"]).env(ROLE, test).env(DATA, data);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let _in = process.stdin.take().unwrap();
        Self { process, out, _in }
    }

    /// What it says next behind `word`; none once it has ended. The test harness says other things between.
    pub(crate) fn said(&mut self, word: &str) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some((_, rest)) = line.split_once(word) {
                return Some(rest.trim().to_owned());
            }
        }
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it ends by itself; whether well.
    pub(crate) fn ended_well(&mut self) -> bool {
        self.process.wait().unwrap().success()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
