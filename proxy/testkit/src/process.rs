//! A real process of the binary under test: its configuration in a folder of its own, its log read line by line.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::eventually;

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    folder: TempDir,
    config: PathBuf,
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Runs `binary` with this configuration and waits until it serves.
    ///
    /// # Panics
    /// When it ends instead; the log says why.
    #[must_use]
    pub fn start(binary: &str, config: &str) -> Self {
        let folder = TempDir::new().expect("there is a folder for temporary files");
        let path = folder.path().join("patchgate.yaml");
        std::fs::write(&path, config).expect("a temporary file can be written");
        Self::start_with(binary, folder, path)
    }

    /// The same with a configuration file that lies somewhere in `folder`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(binary: &str, folder: TempDir, config: PathBuf) -> Self {
        let mut command = Command::new(binary);
        command.args(["run", "--log-format", "json", "-c"]).arg(&config);
        Self::start_as(command, folder, config)
    }

    /// Runs a command that is to serve `config`, which lies in `folder`, and to log JSON.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_as(mut command: Command, folder: TempDir, config: PathBuf) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary under test was built");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stderr, kept) = (child.stderr.take(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut gateway = Self { folder, config, child, log, reader: Some(reader) };
        eventually("the gateway to serve", || {
            let ended = gateway.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "the gateway ended at once: {:#?}", gateway.log());
            gateway.said("serving").then_some(())
        });
        gateway
    }

    /// Where a listener really listens; `health` is one, too.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.find(listener).unwrap_or_else(|| panic!("no listener {listener} in {:#?}", self.log()))
    }

    /// Where a listener listens, if it does by now.
    #[must_use]
    pub fn find(&self, listener: &str) -> Option<SocketAddr> {
        let told = |line: &Value| line["message"] == "listening" && line["listener"] == listener;
        let log = self.log();
        log.iter().rev().find(|line| told(line))?["address"].as_str()?.parse().ok()
    }

    /// The log so far, a JSON object a line.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a log line begins so.
    #[must_use]
    pub fn said(&self, begin: &str) -> bool {
        self.times_said(begin) > 0
    }

    /// How many log lines begin so.
    #[must_use]
    pub fn times_said(&self, begin: &str) -> usize {
        let says = |line: &Value| line["message"].as_str().is_some_and(|message| message.starts_with(begin));
        self.log().iter().filter(|line| says(line)).count()
    }

    /// Waits for a log line that begins so.
    pub fn wait_for(&self, begin: &str) {
        eventually(begin, || self.said(begin).then_some(()));
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The folder made for it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the configuration as an editor does: a new file, renamed over the old one.
    ///
    /// # Panics
    /// When that fails.
    pub fn rewrite(&self, config: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, config).and_then(|()| std::fs::rename(new, &self.config)).expect("the folder is writable");
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
        assert!(sent.success(), "{kill}");
    }

    /// Waits for the process's end.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait(&mut self) -> ExitStatus {
        let status = eventually("the gateway to end", || self.child.try_wait().expect("a child can be asked"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading a log does not panic");
        }
        status
    }

    /// One metric's samples: the text after the name, and the value.
    ///
    /// # Panics
    /// When there is no health listener.
    #[must_use]
    pub fn metric(&self, name: &str) -> Vec<(String, f64)> {
        let scrape = crate::client::get(self.address("health"), "/metrics", &[]).text();
        scrape
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(" # ").next()?.rsplit_once(' '))
            .filter_map(|(key, value)| Some((key.strip_prefix(name)?.to_owned(), value.parse().ok()?)))
            .filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'))
            .collect()
    }

    /// The sum of one metric's samples whose labels contain all of `labels`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.metric(name).into_iter();
        samples.filter(|(text, _)| labels.iter().all(|label| text.contains(label))).map(|(_, value)| value).sum()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Ended already, or to be ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
