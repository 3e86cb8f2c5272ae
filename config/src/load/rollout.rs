//! Rollouts by themselves: what `rollout create` and the admin API are given, in the form of an entry of `rollouts`.
//!
//! Takes the same way as a whole configuration. Whether a rollout gets along with those that are live is no question of
//! its text, and is asked elsewhere.

use std::path::Path;

use super::{LoadError, read};
use crate::diagnostic::Report;
use crate::expand::{Env, Expanded, expand};
use crate::model::{Model, Rollout};
use crate::problem::{self, Problems};
use crate::raw::read::read_rollouts;
use crate::tree::parse::parse;
use crate::tree::{Entry, Kind, Node};
use crate::{lint, rules, validate};

/// A rollout that can be created.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedRollout {
    /// What it says.
    pub rollout: Rollout,
    /// Its risks; no errors among them.
    pub report: Report,
}

/// Rollouts that can be created.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedRollouts {
    /// At least one, in order of precedence.
    pub rollouts: Vec<Rollout>,
    /// Their risks; no errors among them.
    pub report: Report,
}

/// Where the list of rollouts is in the tree.
const LIST: &str = "rollouts";

/// The path of a rollout that was written without a list.
const ONLY: &str = "rollouts[0]";

/// Loads the one rollout that a YAML or JSON text consists of; `file` is how reports call it.
///
/// `env`: looks up what `${NAME}` stands for; `None`: it stands for itself, as it must in what others send. `model`: what
/// the rollout is for; `None`: services are not known, and not asked for.
///
/// # Errors
/// The text has errors; the report tells all of them, and its risks.
pub fn rollout(file: &str, text: &str, env: Option<Env<'_>>, model: Option<&Model>) -> Result<LoadedRollout, Report> {
    let LoadedRollouts { mut rollouts, report } = from_text(file, text, env, model, Form::Alone)?;
    match rollouts.pop() {
        Some(rollout) => Ok(LoadedRollout { rollout, report }),
        None => Err(report),
    }
}

/// Loads a YAML or JSON text that is one rollout, or has several under `rollouts`; else as [`rollout`].
///
/// # Errors
/// The text has errors; the report tells all of them, and its risks.
pub fn rollouts(file: &str, text: &str, env: Option<Env<'_>>, model: Option<&Model>) -> Result<LoadedRollouts, Report> {
    from_text(file, text, env, model, Form::AloneOrList)
}

/// Loads a file; else as [`rollouts`].
///
/// # Errors
/// The file cannot be read, or has errors; then all of them are told, and its risks.
pub fn rollout_file(path: &Path, env: Option<Env<'_>>, model: Option<&Model>) -> Result<LoadedRollouts, LoadError> {
    let text = read(path)?;
    rollouts(&path.display().to_string(), &text, env, model).map_err(LoadError::Invalid)
}

/// How rollouts may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One, without a list.
    Alone,
    /// One, or a list of them under a key.
    AloneOrList,
}

fn from_text(
    file: &str,
    text: &str,
    env: Option<Env<'_>>,
    model: Option<&Model>,
    form: Form,
) -> Result<LoadedRollouts, Report> {
    let mut problems = Problems::default();
    let expanded = match env {
        Some(env) => expand(text, env, &mut problems),
        None => Expanded::verbatim(text),
    };
    let mut tree = parse(&expanded.text, &mut problems);
    let alone = tree.as_ref().is_some_and(|tree| form == Form::Alone || !has_list(tree));
    if let Some(tree) = tree.as_mut().filter(|_| alone) {
        put_into_list(tree);
    }
    let rollouts = tree.as_mut().and_then(|tree| checked(tree, model, &mut problems));
    let mut report = problems.into_report(file, text, &expanded, tree.as_ref());
    if alone {
        for found in &mut report.diagnostics {
            if let Some(rest) = found.path.strip_prefix(ONLY) {
                found.path = rest.trim_start_matches('.').to_owned();
            }
        }
    }
    match rollouts {
        Some(rollouts) if !report.has_errors() => Ok(LoadedRollouts { rollouts, report }),
        _ => Err(report),
    }
}

fn has_list(tree: &Node<'_>) -> bool {
    matches!(&tree.kind, Kind::Mapping(entries) if entries.iter().any(|entry| entry.key == LIST))
}

/// From here on a rollout alone is the only one of a list, so that there is one way for both.
fn put_into_list(tree: &mut Node<'_>) {
    let span = tree.span.clone();
    let node = |kind| Node { span: span.clone(), kind, cut: false };
    let rollout = std::mem::replace(tree, node(Kind::Sequence(Vec::new())));
    let list = node(Kind::Sequence(vec![rollout]));
    *tree = node(Kind::Mapping(vec![Entry { key: LIST.into(), key_span: span.clone(), value: list }]));
}

fn checked(tree: &mut Node<'_>, model: Option<&Model>, problems: &mut Problems) -> Option<Vec<Rollout>> {
    let raw = read_rollouts(tree, problems)?;
    let list = raw.rollouts.unwrap_or_default();
    if list.is_empty() && !tree.lost_entries(LIST) {
        let help = "write at least one, as in the list `rollouts` of a configuration";
        problems.at(&rules::EMPTY_LIST, &problem::Path::ROOT.key(LIST), "there is no rollout", help);
        return None;
    }
    lint::rollouts(&list, model, problems);
    let services: Option<Vec<&str>> = model.map(|model| model.services.iter().map(|service| &*service.name).collect());
    validate::rollouts(&list, services.as_deref(), problems)
}
