//! Problems as the stages find them, before they have a line: at a place of the source, of the expanded text, or at a
//! path of the raw types. [`Problems::into_report`] turns them into diagnostics of the file as written.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Report};
use crate::expand::Expanded;
use crate::rules::Rule;
use crate::tree::{Node, Sought};

/// The way from the root to a value of the raw types; lives on the stack of the functions that walk them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Option<Step>,
}

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Key(&'static str),
    Index(usize),
}

/// All that the stages have found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

#[derive(Debug)]
struct Problem {
    rule: &'static Rule,
    place: Place,
    message: String,
    help: String,
}

#[derive(Debug)]
enum Place {
    /// Bytes of the source.
    Source(Range<usize>),
    /// Bytes of the expanded text, and the path of what stands there.
    Expanded(Range<usize>, String),
    /// A path of the raw types.
    Path(Vec<Step>),
    /// A path of the raw types, for there is nothing at any of the others.
    NoneOf(Vec<Step>, Vec<Vec<Step>>),
}

/// Finds the places of problems in the file as written.
struct Locator<'a> {
    lines: Lines<'a>,
    expanded: &'a Expanded,
    tree: Option<&'a Node<'a>>,
    /// References of the source that got no value.
    unset: Vec<Range<usize>>,
}

/// Offsets to lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

// === impl Path ===

impl Path<'_> {
    /// The file as a whole.
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: None };

    /// The field `name` of this.
    pub(crate) fn key(&self, name: &'static str) -> Path<'_> {
        Path { parent: Some(self), step: Some(Step::Key(name)) }
    }

    /// Entry `at` of this.
    pub(crate) fn index(&self, at: usize) -> Path<'_> {
        Path { parent: Some(self), step: Some(Step::Index(at)) }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> =
            std::iter::successors(Some(self), |path| path.parent).filter_map(|path| path.step).collect();
        steps.reverse();
        steps
    }
}

// === impl Problems ===

impl Problems {
    /// Notes a breach of `rule` at a path.
    pub(crate) fn at(
        &mut self,
        rule: &'static Rule,
        path: &Path<'_>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(rule, Place::Path(path.steps()), message.into(), help.into());
    }

    /// Notes a breach of `rule` at a path, for there is nothing at any of `absent`.
    pub(crate) fn none_of(
        &mut self,
        rule: &'static Rule,
        absent: &[Path<'_>],
        path: &Path<'_>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let absent = absent.iter().map(Path::steps).collect();
        self.push(rule, Place::NoneOf(path.steps(), absent), message.into(), help.into());
    }

    /// Notes a breach of `rule` at bytes of the source.
    pub(crate) fn in_source(
        &mut self,
        rule: &'static Rule,
        range: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(rule, Place::Source(range), message.into(), help.into());
    }

    /// Notes a breach of `rule` at bytes of the expanded text, where the value at `path` stands.
    pub(crate) fn in_expanded(
        &mut self,
        rule: &'static Rule,
        range: Range<usize>,
        path: String,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(rule, Place::Expanded(range, path), message.into(), help.into());
    }

    fn push(&mut self, rule: &'static Rule, place: Place, message: String, help: String) {
        self.found.push(Problem { rule, place, message, help });
    }

    /// The problems as diagnostics of the file as written, in its order.
    pub(crate) fn into_report(self, file: &str, source: &str, expanded: &Expanded, tree: Option<&Node<'_>>) -> Report {
        let unset = self.found.iter().filter_map(Problem::reference).collect();
        let locator = Locator { lines: Lines::new(source), expanded, tree, unset };
        let mut diagnostics: Vec<Diagnostic> =
            self.found.into_iter().filter_map(|problem| locator.diagnostic(problem)).collect();
        diagnostics.sort_by_key(|found| (found.line, found.column, found.severity()));
        Report { file: file.to_owned(), source: source.to_owned(), diagnostics }
    }
}

impl Problem {
    /// The reference that got no value, if that is the problem: nothing else is found in the source itself.
    fn reference(&self) -> Option<Range<usize>> {
        match &self.place {
            Place::Source(range) => Some(range.clone()),
            Place::Expanded(..) | Place::Path(_) | Place::NoneOf(..) => None,
        }
    }
}

// === impl Locator ===

impl Locator<'_> {
    /// The problem at its place, unless it is a mere consequence: of a value that was cut out of the tree, or of a
    /// variable without a value.
    fn diagnostic(&self, problem: Problem) -> Option<Diagnostic> {
        let Problem { rule, place, message, help } = problem;
        let (range, path) = match place {
            Place::Source(range) => {
                let at = self.expanded.of_reference(&range).zip(self.tree);
                let path = at.and_then(|(at, tree)| tree.path_at(at.start)).unwrap_or_default();
                (range, path)
            }
            Place::Expanded(range, path) => (self.unless_stand_in(&range)?, path),
            Place::Path(steps) => self.seek(&steps)?,
            Place::NoneOf(steps, absent) => {
                absent.iter().all(|steps| self.seek(steps).is_some()).then(|| self.seek(&steps))??
            }
        };
        let (line, column, end_column) = self.lines.place(&range);
        Some(Diagnostic { rule, path, line, column, end_column, message, help })
    }

    /// The place and the path that steps lead to, unless a problem there is a mere consequence.
    fn seek(&self, steps: &[Step]) -> Option<(Range<usize>, String)> {
        match self.tree?.seek(steps) {
            Sought::At(range, path) => Some((self.unless_stand_in(&range)?, path)),
            Sought::Cut => None,
        }
    }

    /// The range in the source; `None`: a scalar whose text is not what it will be once the variable is set.
    fn unless_stand_in(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let source = self.expanded.to_source(range);
        // No scalar begins like a collection, and a problem of a collection does not come from one value in it.
        let is_scalar = !self.expanded.text.get(range.clone()).is_some_and(|text| text.starts_with(['{', '[']));
        let has_stand_in = self.unset.iter().any(|unset| unset.start < source.end && source.start < unset.end);
        (!is_scalar || !has_stand_in).then_some(source)
    }
}

// === impl Lines ===

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, starts: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect() }
    }

    /// Line, column and end column. A stretch of several lines is shown by its first.
    fn place(&self, range: &Range<usize>) -> (usize, usize, usize) {
        let line = self.starts.partition_point(|&start| start <= range.start).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let text = self.text.get(start..).unwrap_or("").lines().next().unwrap_or("");
        let column = |offset: usize| text.char_indices().take_while(|&(at, _)| start + at < offset).count() + 1;
        let (column, end) = (column(range.start), column(range.end));
        (line, column, end.max(column + 1))
    }
}
