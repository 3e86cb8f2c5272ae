//! From a change of the configuration file, or of a file that it names, to the snapshot in force, or to one line that
//! says why not.
//!
//! Watches folders rather than the file: editors replace files by renaming, and Kubernetes swaps the `..data` symlink
//! beside the one that is mounted, so that the file itself never changes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use patchgate_config::load::{Loaded, load};
use patchgate_config::model::Model;
use patchgate_config::rules::Severity;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::app::Gateway;

/// After a change the file is read once nothing has changed for this long: writers take several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// And at the latest this long after its first change: some writers never rest.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most links that are followed from the path to the file, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// The name that Kubernetes swaps beside a mounted file.
const SWAPPED: &str = "..data";

/// Follows one configuration file and those that it names.
#[derive(Debug)]
pub(crate) struct Reloader {
    path: PathBuf,
    watcher: Option<RecommendedWatcher>,
    /// Folders by their real paths.
    watched: BTreeSet<PathBuf>,
    names: Names,
    changes: mpsc::Receiver<()>,
    /// When the file changed first since it was last read.
    since: Option<Instant>,
    /// What was last tried: told again only if it changed.
    rejected: Option<String>,
    in_force: Arc<Model>,
}

/// Names of the file and of what leads to it: the watched folders may be busy with others.
#[derive(Debug, Clone, Default)]
struct Names(Arc<Mutex<BTreeSet<OsString>>>);

/// The environment as configurations see it.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Reloader {
    /// Follows `path`, of which `loaded` is in force.
    pub(crate) fn new(path: &Path, loaded: &Loaded) -> Self {
        // One is enough to say that there are some.
        let (changed, changes) = mpsc::channel(1);
        // It may have changed between its reading and its watching: looked at once in any case.
        let _ = changed.try_send(());
        let names = Names::default();
        let ours = names.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if ours.concerned_by(&event) {
                let _ = changed.try_send(());
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the configuration file cannot be watched; send SIGHUP to reload it");
        }
        let mut reloader = Self {
            path: path.to_owned(),
            watcher: watcher.ok(),
            watched: BTreeSet::new(),
            names,
            changes,
            since: None,
            rejected: None,
            in_force: Arc::clone(&loaded.model),
        };
        reloader.watch();
        reloader
    }

    /// Watches the folders of the file, of those that it names, and of what they link to, which may be others after each
    /// change.
    fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let files: BTreeSet<&Path> = self.in_force.files().chain([&*self.path]).collect();
        let trail: Vec<PathBuf> = files.iter().flat_map(|file| trail(file)).collect();
        // A file that is away for a moment may come back where it was.
        let away = files.iter().any(|file| !file.exists());
        self.names.set(&trail, away);
        // By their real paths: one folder under two names is watched once, and once unwatched for both.
        let folders: BTreeSet<PathBuf> = trail.iter().filter_map(|file| folder_of(file)?.canonicalize().ok()).collect();
        for folder in &folders {
            // Those watched already, too: one that was replaced is another folder under the same name.
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(folder.clone())),
                Err(error) => {
                    tracing::warn!(%error, folder = %folder.display(), "cannot be watched; send SIGHUP to reload");
                }
            }
        }
        if !away {
            for gone in self.watched.extract_if(.., |folder| !folders.contains(folder)) {
                // It may be gone from the disk, too.
                let _ = watcher.unwatch(&gone);
            }
        }
    }

    /// Ready once the file may have changed and its writer seems to have ended. A change is not lost with the future.
    pub(crate) async fn changed(&mut self) {
        let since = match self.since {
            Some(since) => since,
            None if self.changes.recv().await.is_some() => *self.since.insert(Instant::now()),
            None => return std::future::pending().await,
        };
        let settled = async {
            while tokio::time::timeout(SETTLE, self.changes.recv()).await.is_ok_and(|change| change.is_some()) {}
        };
        // Settled or not, it is read now; what changes later is told again.
        let _ = tokio::time::timeout_at(since + PATIENCE, settled).await;
        self.since = None;
    }

    /// Loads the file and, if it is good and differs from what is in force, serves it. `asked`: by SIGHUP, so that
    /// something is told in any case.
    #[tracing::instrument(name = "reload", skip_all)]
    pub(crate) fn reload(&mut self, gateway: &mut Gateway, asked: bool) {
        self.watch();
        match load(&self.path, &environment) {
            Err(error) => self.reject(gateway, error.to_string(), asked),
            Ok(loaded) if loaded.model == self.in_force => {
                if self.rejected.take().is_some() {
                    gateway.rejected(None);
                    gateway.telemetry.metrics.reload_restored();
                    tracing::info!(file = %self.path.display(), "the configuration in force is back");
                } else if asked {
                    tracing::info!(file = %self.path.display(), "the configuration has not changed");
                }
            }
            Ok(loaded) => match gateway.apply(&loaded.model) {
                Err(error) => self.reject(gateway, error.to_string(), asked),
                Ok(()) => {
                    self.rejected = None;
                    self.in_force = Arc::clone(&loaded.model);
                    // It may name other files.
                    self.watch();
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
        gateway.rejected(Some(why.clone()));
        self.rejected = Some(why);
    }
}

impl Names {
    /// Those of `trail` from now on, and those before if `away`.
    fn set(&self, trail: &[PathBuf], away: bool) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !away {
            names.clear();
        }
        names.extend(trail.iter().filter_map(|file| Some(file.file_name()?.to_owned())));
    }

    /// Whether the file may be another after this.
    fn concerned_by(&self, event: &notify::Result<notify::Event>) -> bool {
        match event {
            // Reading is no change.
            Ok(event) if event.kind.is_access() => false,
            Ok(event) if !event.paths.is_empty() => {
                let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let mut touched = event.paths.iter().filter_map(|path| path.file_name());
                touched.any(|name| name == SWAPPED || names.contains(name))
            }
            // An error, or events that were lost, may hide one.
            Ok(_) | Err(_) => true,
        }
    }
}

/// The path and what it links to, one after the other.
fn trail(path: &Path) -> Vec<PathBuf> {
    let follow = |link: &PathBuf| Some(folder_of(link)?.join(std::fs::read_link(link).ok()?));
    std::iter::successors(Some(path.to_owned()), follow).take(MAX_LINKS).collect()
}

fn folder_of(file: &Path) -> Option<&Path> {
    let folder = file.parent()?;
    Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, EventKind, Flag, ModifyKind};
    use notify::{Error, Event};

    use super::*;

    fn event(kind: EventKind, path: &str) -> notify::Result<Event> {
        Ok(Event::new(kind).add_path(path.into()))
    }

    #[test]
    fn only_changes_of_the_file_and_of_what_leads_to_it_count() {
        let names = Names::default();
        names.set(&["conf/gate.yaml".into(), "conf/current.yaml".into()], false);
        let changed = EventKind::Modify(ModifyKind::Any);
        for path in ["/etc/gate.yaml", "/etc/current.yaml", "/etc/..data"] {
            assert!(names.concerned_by(&event(changed, path)), "{path}");
        }
        assert!(!names.concerned_by(&event(changed, "/etc/gate.yaml.swp")));
        assert!(!names.concerned_by(&event(EventKind::Create(CreateKind::File), "/etc/access.log")));
        assert!(!names.concerned_by(&event(EventKind::Access(AccessKind::Read), "/etc/gate.yaml")));
        assert!(names.concerned_by(&Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))));
        assert!(names.concerned_by(&Err(Error::generic("lost"))));
    }

    #[test]
    fn names_are_kept_while_the_file_is_away() {
        let names = Names::default();
        names.set(&["gate.yaml".into(), "v1.yaml".into()], false);
        names.set(&["gate.yaml".into()], true);
        let target = event(EventKind::Modify(ModifyKind::Any), "v1.yaml");
        assert!(names.concerned_by(&target));
        names.set(&["gate.yaml".into(), "v2.yaml".into()], false);
        assert!(!names.concerned_by(&target));
    }

    #[test]
    fn a_trail_follows_relative_links_and_ends_even_if_they_do_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("b", at("a")).unwrap();
        std::os::unix::fs::symlink("c", at("b")).unwrap();
        assert_eq!(trail(&at("a")), [at("a"), at("b"), at("c")]);
        std::os::unix::fs::symlink("a", at("c")).unwrap();
        assert_eq!(trail(&at("a")).len(), MAX_LINKS);
    }
}
