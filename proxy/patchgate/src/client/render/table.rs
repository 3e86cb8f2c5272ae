//! Columns that stand below each other.

use anstyle::AnsiColor;
use unicode_width::UnicodeWidthStr;

use super::super::output::Style;

/// Room between two columns.
const GAP: &str = "  ";

/// Rows of cells.
#[derive(Debug)]
pub(crate) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// A text, and its colour.
#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    colour: Option<AnsiColor>,
}

impl Cell {
    pub(crate) const fn coloured(text: String, colour: Option<AnsiColor>) -> Self {
        Self { text, colour }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), colour: None }
    }
}

impl Table {
    /// Without rows. A head may be empty; if all are, there is no head line.
    pub(crate) fn new<const N: usize>(heads: [&'static str; N]) -> Self {
        Self { heads: heads.into(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its lines, each with its end, without blanks before it.
    pub(crate) fn render(&self, style: Style) -> String {
        self.lines(style).map(|line| line + "\n").collect()
    }

    /// Its lines.
    pub(crate) fn lines(&self, style: Style) -> impl Iterator<Item = String> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(move |row| row.get(column)).map(|cell| cell.text.width());
            cells.chain([self.heads[column].width()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let head = self.heads.iter().any(|head| !head.is_empty()).then(|| {
            let cells = self.heads.iter().map(|head| (*head, head.width()));
            style.dim(&line(cells.map(|(head, wide)| (head.to_owned(), wide)), &widths))
        });
        let rows = self.rows.iter().map(|row| {
            let painted = |cell: &Cell| match cell.colour {
                Some(colour) => style.paint(colour, &cell.text),
                None => cell.text.clone(),
            };
            line(row.iter().map(|cell| (painted(cell), cell.text.width())), &widths)
        });
        head.into_iter().chain(rows).collect::<Vec<_>>().into_iter()
    }
}

/// Cells with the width that they take, filled up to their columns' widths.
fn line(cells: impl Iterator<Item = (String, usize)>, widths: &[usize]) -> String {
    let mut line = String::new();
    for ((text, wide), width) in cells.zip(widths) {
        line.push_str(&text);
        line.extend(std::iter::repeat_n(' ', width - wide));
        line.push_str(GAP);
    }
    line.truncate(line.trim_end().len());
    line
}
