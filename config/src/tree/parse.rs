//! Text → tree, by the events of the YAML parser.
//!
//! What a configuration has no use for is refused instead of guessed at: tags, several documents, keys that are not
//! text. Anchors and aliases work; their total size is bounded, so that a small file cannot become a huge tree.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use super::{Entry, Kind, Node, push_index, push_key};
use crate::problem::Problems;
use crate::rules::{self, Rule};

/// Most nodes of a tree, aliases multiplied out.
const MAX_NODES: usize = 1_000_000;

/// Deepest nesting; the configuration itself needs 8.
const MAX_DEPTH: usize = 64;

/// Builds the tree of `text`; `None`: it is not YAML, and `problems` says where.
pub(crate) fn parse<'t>(text: &'t str, problems: &mut Problems) -> Option<Node<'t>> {
    let mut options = granit_parser::options! { flow_nesting_limit: MAX_DEPTH / 2, block_nesting_limit: MAX_DEPTH / 2 };
    options.set_emit_comments(false);
    let mut builder = Builder { problems, stack: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((Event::DocumentStart(..), span)) if builder.root.is_some() => {
                let help = "keep one document; put further ones into files of their own";
                builder.refuse(&rules::YAML_SYNTAX, bytes(&span), "a second document begins here", help);
                break;
            }
            Ok((event, span)) => builder.take(event, &span)?,
            Err(error) => {
                builder.syntax_error(text, &error);
                return None;
            }
        }
    }
    // A file with nothing in it is an empty mapping, which lacks everything.
    Some(builder.root.unwrap_or(Node { span: 0..0, kind: Kind::Mapping(Vec::new()), cut: false }))
}

struct Builder<'p, 't> {
    problems: &'p mut Problems,
    stack: Vec<Open<'t>>,
    anchors: HashMap<usize, Node<'t>>,
    root: Option<Node<'t>>,
    nodes: usize,
}

/// A collection whose end has not been read yet.
struct Open<'t> {
    kind: Kind<'t>,
    key: Pending<'t>,
    start: usize,
    flow: bool,
    anchor: usize,
}

/// The key of a mapping whose value has not been read yet.
enum Pending<'t> {
    None,
    Key(Cow<'t, str>, Range<usize>),
    /// One that is not text; its value is skipped.
    Refused,
}

impl<'t> Builder<'_, 't> {
    /// Takes one event; `None`: reading further makes no sense.
    fn take(&mut self, event: Event<'t>, span: &Span) -> Option<()> {
        if event.tag().is_some() {
            let help = "remove it; quotes make a value text";
            let tag = span.tag_span().unwrap_or(*span);
            self.refuse(&rules::YAML_SYNTAX, bytes(&tag), "tags are not supported", help);
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let kind = Kind::Scalar { text, plain: style == ScalarStyle::Plain };
                self.finish(Node { span: bytes(span), kind, cut: false }, anchor)
            }
            Event::SequenceStart(style, anchor, _) => self.open(Kind::Sequence(Vec::new()), style, anchor, span),
            Event::MappingStart(style, anchor, _) => self.open(Kind::Mapping(Vec::new()), style, anchor, span),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, bytes(span)),
            _ => Some(()),
        }
    }

    fn open(&mut self, kind: Kind<'t>, style: StructureStyle, anchor: usize, span: &Span) -> Option<()> {
        let flow = style == StructureStyle::Flow;
        self.stack.push(Open { kind, key: Pending::None, start: bytes(span).start, flow, anchor });
        Some(())
    }

    fn close(&mut self, span: &Span) -> Option<()> {
        let mut open = self.stack.pop()?;
        if let Kind::Mapping(entries) = &mut open.kind {
            self.drop_duplicates(entries);
        }
        let first = match &open.kind {
            Kind::Mapping(entries) => entries.first().map(|entry| entry.key_span.clone()),
            Kind::Sequence(items) => items.first().map(|item| item.span.clone()),
            Kind::Scalar { .. } => None,
        };
        let end = bytes(span).end.max(open.start);
        let span = first.filter(|_| !open.flow).unwrap_or(open.start..end);
        self.finish(Node { span, kind: open.kind, cut: false }, open.anchor)
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Node<'t>, anchor: usize) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let help = "use fewer aliases, or split the file";
            self.refuse(&rules::YAML_SYNTAX, node.span, "the file has more than a million values", help);
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        match &mut open.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping(entries) => match (std::mem::replace(&mut open.key, Pending::None), node) {
                (Pending::Key(key, key_span), value) => entries.push(Entry { key, key_span, value }),
                (Pending::Refused, _) => {}
                (Pending::None, Node { kind: Kind::Scalar { text, .. }, span, .. }) => {
                    open.key = Pending::Key(text, span);
                }
                (Pending::None, node) => {
                    open.key = Pending::Refused;
                    let help = "a key is text; put `{`, `[` and `${` in quotes where they are meant literally";
                    self.refuse(&rules::WRONG_TYPE, node.span, "a key that is not text", help);
                }
            },
            Kind::Scalar { .. } => {}
        }
        Some(())
    }

    /// Puts a copy of an anchor's node at `span`.
    fn alias(&mut self, anchor: usize, span: Range<usize>) -> Option<()> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.refuse(&rules::YAML_SYNTAX, span, "an alias inside its own anchor", "write the value out");
            return None;
        };
        let (nodes, depth) = measure(node);
        if depth + self.stack.len() > MAX_DEPTH {
            self.refuse(&rules::YAML_SYNTAX, span, "aliases nested too deeply", "write the value out");
            return None;
        }
        let copy = Node { span, ..node.clone() };
        self.nodes = self.nodes.saturating_add(nodes);
        self.finish(copy, 0)
    }

    /// Keeps the first of several equal keys.
    fn drop_duplicates(&mut self, entries: &mut Vec<Entry<'t>>) {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by(|&a, &b| entries[a].key.cmp(&entries[b].key));
        const HELP: &str = "keep one of the two";
        let mut repeated = vec![false; entries.len()];
        for pair in order.windows(2).filter(|pair| entries[pair[0]].key == entries[pair[1]].key) {
            repeated[pair[1]] = true;
        }
        let mut repeated = repeated.into_iter();
        let parent = self.path();
        entries.retain(|Entry { key, key_span, .. }| {
            let again = repeated.next().unwrap_or(false);
            if again {
                let message = format!("`{key}` is given twice");
                let mut path = parent.clone();
                push_key(&mut path, key);
                self.problems.in_expanded(&rules::DUPLICATE_FIELD, key_span.clone(), path, message, HELP);
            }
            !again
        });
    }

    fn syntax_error(&mut self, text: &str, error: &ScanError) {
        let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
        let help = "check indentation, quotes and brackets here and in the lines above; indent with spaces";
        self.refuse(&rules::YAML_SYNTAX, at..at, error.info(), help);
    }

    fn refuse(&mut self, rule: &'static Rule, span: Range<usize>, message: impl Into<String>, help: &str) {
        let path = self.path();
        self.problems.in_expanded(rule, span, path, message, help);
    }

    /// The path of what is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.stack {
            match (&open.kind, &open.key) {
                (Kind::Sequence(items), _) => push_index(&mut path, items.len()),
                (_, Pending::Key(key, _)) => push_key(&mut path, key),
                _ => {}
            }
        }
        path
    }
}

/// A node's size and depth.
fn measure(node: &Node<'_>) -> (usize, usize) {
    let children: Vec<&Node<'_>> = match &node.kind {
        Kind::Scalar { .. } => Vec::new(),
        Kind::Sequence(items) => items.iter().collect(),
        Kind::Mapping(entries) => entries.iter().map(|entry| &entry.value).collect(),
    };
    children.into_iter().map(measure).fold((1, 1), |(nodes, depth), (more, deep)| (nodes + more, depth.max(deep + 1)))
}

fn bytes(span: &Span) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or(0);
    start..span.end.byte_offset().unwrap_or(start).max(start)
}
