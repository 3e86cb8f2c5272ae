//! The YAML document as a tree in which every node knows its place.
//!
//! [`parse`] builds it from the parser's events, [`de`] lets serde read it. A node whose value serde refused is *cut*:
//! it is then as if it were not written, so that reading can go on to the next problem.

pub(crate) mod de;
pub(crate) mod parse;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use crate::problem::Step;

/// A value and its place in the expanded text.
#[derive(Debug, Clone)]
pub(crate) struct Node<'t> {
    /// All of a scalar or a flow collection; of a block collection the first key or entry.
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind<'t>,
    pub(crate) cut: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind<'t> {
    /// A scalar's text; `plain` if it is written without quotes, and so may be a number, a boolean or null.
    Scalar {
        text: Cow<'t, str>,
        plain: bool,
    },
    Sequence(Vec<Node<'t>>),
    Mapping(Vec<Entry<'t>>),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry<'t> {
    pub(crate) key: Cow<'t, str>,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node<'t>,
}

/// What a path of the raw types leads to.
pub(crate) enum Sought {
    /// This place, or that of the nearest parent that is written; and the whole path with the file's own indexes.
    At(Range<usize>, String),
    /// A value that was cut out, or something in one.
    Cut,
}

impl<'t> Node<'t> {
    /// Whether this is YAML's null: nothing, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.plain().is_some_and(|text| ["", "~", "null", "Null", "NULL"].contains(&text))
    }

    /// The text of a scalar without quotes.
    pub(crate) fn plain(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }

    /// The direct child at a position, cut or not.
    pub(crate) fn child_mut(&mut self, position: usize) -> Option<&mut Node<'t>> {
        match &mut self.kind {
            Kind::Scalar { .. } => None,
            Kind::Sequence(items) => items.get_mut(position),
            Kind::Mapping(entries) => entries.get_mut(position).map(|entry| &mut entry.value),
        }
    }

    /// What this is, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing".to_owned(),
            Kind::Scalar { text, .. } => format!("`{text}`"),
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// Follows positions (cut children count) and tells the path in words, and the node.
    pub(crate) fn follow(&self, positions: impl IntoIterator<Item = usize>) -> (String, &Self) {
        let mut path = String::new();
        let mut node = self;
        for position in positions {
            let next = match &node.kind {
                Kind::Scalar { .. } => None,
                Kind::Sequence(items) => {
                    push_index(&mut path, position);
                    items.get(position)
                }
                Kind::Mapping(entries) => entries.get(position).map(|entry| {
                    push_key(&mut path, &entry.key);
                    &entry.value
                }),
            };
            let Some(next) = next else { break };
            node = next;
        }
        (path, node)
    }

    /// The path of the scalar or the key that covers a place.
    pub(crate) fn path_at(&self, at: usize) -> Option<String> {
        let mut way = Vec::new();
        self.covers(at, &mut way).then(|| self.follow(way.into_iter().rev()).0)
    }

    /// Whether a scalar or a key in here covers `at`; `way`: the positions to it, innermost first.
    fn covers(&self, at: usize, way: &mut Vec<usize>) -> bool {
        let inside = |span: &Range<usize>| span.contains(&at);
        let found = match &self.kind {
            Kind::Scalar { .. } => return inside(&self.span),
            Kind::Sequence(items) => items.iter().position(|item| item.covers(at, way)),
            Kind::Mapping(entries) => {
                entries.iter().position(|entry| inside(&entry.key_span) || entry.value.covers(at, way))
            }
        };
        way.extend(found);
        found.is_some()
    }

    /// Whether an entry of the root's list `name` was cut, or all of the list.
    pub(crate) fn lost_entries(&self, name: &str) -> bool {
        let Kind::Mapping(entries) = &self.kind else { return false };
        let list = entries.iter().find(|entry| entry.key == name).map(|entry| &entry.value);
        list.is_some_and(|list| {
            list.cut || matches!(&list.kind, Kind::Sequence(items) if items.iter().any(|item| item.cut))
        })
    }

    /// Finds what a path of the raw types leads to. There, cut entries of a list do not count.
    pub(crate) fn seek(&self, steps: &[Step]) -> Sought {
        let mut path = String::new();
        let mut node = Some(self);
        let mut span = self.span.clone();
        for step in steps {
            let next = match (step, node.map(|node| &node.kind)) {
                (Step::Key(name), kind) => {
                    push_key(&mut path, name);
                    match kind {
                        Some(Kind::Mapping(entries)) => {
                            entries.iter().find(|entry| entry.key == *name).map(|entry| &entry.value)
                        }
                        _ => None,
                    }
                }
                (Step::Index(index), Some(Kind::Sequence(items))) => {
                    let found = items.iter().enumerate().filter(|(_, item)| !item.cut).nth(*index);
                    push_index(&mut path, found.map_or(*index, |(written, _)| written));
                    found.map(|(_, item)| item)
                }
                (Step::Index(index), _) => {
                    push_index(&mut path, *index);
                    None
                }
            };
            if next.is_some_and(|next| next.cut) {
                return Sought::Cut;
            }
            span = next.map_or(span, |next| next.span.clone());
            node = next;
        }
        Sought::At(span, path)
    }
}

fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

fn push_index(path: &mut String, index: usize) {
    // Writing to a string cannot fail.
    let _ = write!(path, "[{index}]");
}
