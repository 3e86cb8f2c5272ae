//! Tree → [`Config`] or [`Rollouts`], past every value that does not fit.
//!
//! serde stops at its first error. So each error is noted, the value that caused it is cut out of the tree, and the
//! reading starts again, until nothing is refused. The long lists are first read entry by entry, so that an error costs
//! the reading of one entry and not of the file.

use serde::de::DeserializeOwned;

use super::{Config, Listener, Rollout, Rollouts, Service};
use crate::problem::Problems;
use crate::rules;
use crate::tree::de::Fault;
use crate::tree::{Kind, Node};

/// After so many refused values a file is no configuration of ours; the rest is not read.
const MAX_REFUSED: usize = 1000;

/// Reads the tree; what it refused is cut from `tree` and noted. `None`: the root itself does not fit.
pub(crate) fn read(tree: &mut Node<'_>, problems: &mut Problems) -> Option<Config> {
    settle(tree, problems, |reader| {
        reader.entries::<Listener>("listeners");
        reader.entries::<Service>("services");
        reader.entries::<Rollout>("rollouts");
    })
}

/// Reads a tree of rollouts alone, like [`read`].
pub(crate) fn read_rollouts(tree: &mut Node<'_>, problems: &mut Problems) -> Option<Rollouts> {
    settle(tree, problems, |reader| reader.entries::<Rollout>("rollouts"))
}

fn settle<T: DeserializeOwned>(
    tree: &mut Node<'_>,
    problems: &mut Problems,
    entries: impl FnOnce(&mut Reader<'_, '_>),
) -> Option<T> {
    if let Ok(whole) = T::deserialize(&*tree) {
        return Some(whole);
    }
    let mut reader = Reader { tree, problems, refused: 0 };
    entries(&mut reader);
    reader.settle(&[])
}

struct Reader<'r, 't> {
    tree: &'r mut Node<'t>,
    problems: &'r mut Problems,
    refused: usize,
}

impl Reader<'_, '_> {
    /// Settles every entry of the list `name`.
    fn entries<T: DeserializeOwned>(&mut self, name: &str) {
        let Kind::Mapping(entries) = &self.tree.kind else { return };
        let Some(at) = entries.iter().position(|entry| entry.key == name) else { return };
        let Kind::Sequence(items) = &entries[at].value.kind else { return };
        for item in 0..items.len() {
            self.settle::<T>(&[at, item]);
        }
    }

    /// Reads the node at `place` until it fits, cutting what does not. `None`: all of it was cut, or it is enough.
    fn settle<T: DeserializeOwned>(&mut self, place: &[usize]) -> Option<T> {
        while self.refused < MAX_REFUSED {
            let node = self.tree.follow(place.iter().copied()).1;
            let fault = match T::deserialize(node) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            };
            let whole: Vec<usize> = place.iter().copied().chain(fault.trail()).collect();
            if !fault.told {
                self.note(fault, &whole);
            }
            self.cut(&whole);
            if whole.len() == place.len() {
                return None;
            }
        }
        None
    }

    fn note(&mut self, fault: Fault, whole: &[usize]) {
        let (path, node) = self.tree.follow(whole.iter().copied());
        let mut span = node.span.clone();
        if let (true, Some((&last, parents))) = (fault.is_key(), whole.split_last())
            && let Kind::Mapping(entries) = &self.tree.follow(parents.iter().copied()).1.kind
            && let Some(entry) = entries.get(last)
        {
            span = entry.key_span.clone();
        }
        self.refused += 1;
        if self.refused == MAX_REFUSED {
            let message = format!("{MAX_REFUSED} values do not fit: what follows was not read");
            self.problems.in_expanded(&rules::WRONG_TYPE, span.clone(), path.clone(), message, "correct these first");
        }
        self.problems.in_expanded(fault.rule, span, path, fault.message, fault.help);
    }

    fn cut(&mut self, whole: &[usize]) {
        let mut node = &mut *self.tree;
        for &position in whole {
            match node.child_mut(position) {
                Some(child) => node = child,
                None => return,
            }
        }
        node.cut = true;
    }
}
