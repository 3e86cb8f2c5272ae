//! From a change of the configuration file to the snapshot in force, or to one line that says why not.
//!
//! Watches folders rather than the file: editors replace files by renaming, and Kubernetes swaps the `..data` symlink
//! beside the one that is mounted, so that the file itself never changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use patchgate_config::load::{Loaded, load};
use patchgate_config::rules::Severity;
use tokio::sync::mpsc;

use crate::app::Gateway;

/// After a change the file is read once nothing has changed for this long: writers take several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// Follows one configuration file.
#[derive(Debug)]
pub(crate) struct Reloader {
    path: PathBuf,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    changes: mpsc::UnboundedReceiver<()>,
    /// What was last tried: told again only if it changed.
    rejected: Option<String>,
    in_force: String,
}

/// The environment as configurations see it.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Reloader {
    /// Follows `path`, of which `loaded` is in force.
    pub(crate) fn new(path: &Path, loaded: &Loaded) -> Self {
        let (changed, changes) = mpsc::unbounded_channel();
        // It may have changed between its reading and its watching: looked at once in any case.
        let _ = changed.send(());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change; an error may have hidden one.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = changed.send(());
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the configuration file cannot be watched; send SIGHUP to reload it");
        }
        let mut reloader = Self {
            path: path.to_owned(),
            watcher: watcher.ok(),
            watched: BTreeSet::new(),
            changes,
            rejected: None,
            in_force: loaded.model.digest.clone(),
        };
        reloader.watch();
        reloader
    }

    /// Watches the folders of the file and of what it links to, which may be others after each change.
    fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders: BTreeSet<PathBuf> = [Some(self.path.clone()), self.path.canonicalize().ok()]
            .into_iter()
            .flatten()
            .filter_map(|file| Some(folder_of(&file)?.to_owned()))
            .collect();
        for gone in self.watched.difference(&folders) {
            // It may be gone from the disk, too.
            let _ = watcher.unwatch(gone);
        }
        for new in folders.difference(&self.watched) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, folder = %new.display(), "cannot be watched; send SIGHUP to reload");
            }
        }
        self.watched = folders;
    }

    /// Ready once the file may have changed and its writer seems to have ended.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        while tokio::time::timeout(SETTLE, self.changes.recv()).await.is_ok_and(|change| change.is_some()) {}
    }

    /// Loads the file and, if it is good and differs from what is in force, serves it. `asked`: by SIGHUP, so that
    /// something is told in any case.
    #[tracing::instrument(name = "reload", skip_all)]
    pub(crate) fn reload(&mut self, gateway: &mut Gateway, asked: bool) {
        self.watch();
        match load(&self.path, &environment) {
            Err(error) => self.reject(gateway, error.to_string(), asked),
            Ok(loaded) if loaded.model.digest == self.in_force => {
                self.rejected = None;
                if asked {
                    tracing::info!(file = %self.path.display(), "the configuration has not changed");
                }
            }
            Ok(loaded) => match gateway.apply(&loaded.model) {
                Err(error) => self.reject(gateway, error.to_string(), asked),
                Ok(()) => {
                    self.rejected = None;
                    self.in_force = loaded.model.digest;
                    tracing::info!(
                        file = %self.path.display(),
                        revision = gateway.revision(),
                        warnings = loaded.report.count(Severity::Warning),
                        "configuration reloaded"
                    );
                }
            },
        }
    }

    fn reject(&mut self, gateway: &Gateway, why: String, asked: bool) {
        if !asked && self.rejected.as_ref() == Some(&why) {
            return;
        }
        gateway.telemetry.metrics.reload_rejected();
        tracing::error!(
            file = %self.path.display(),
            in_force = gateway.revision(),
            "configuration rejected, the one in force serves on:\n{why}"
        );
        self.rejected = Some(why);
    }
}

fn folder_of(file: &Path) -> Option<&Path> {
    let folder = file.parent()?;
    Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}
