//! What a command tells, in the form that was asked for, on standard output.

use std::io::{self, IsTerminal, Write};

use anstyle::AnsiColor;
use serde::Serialize;

use super::Failure;
use super::screen::Screen;
use crate::cli::server::Format;
use crate::reload::environment;

/// Where and how to tell.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) style: Style,
    /// What can be drawn in place; `None`: lines follow lines.
    screen: Option<Screen>,
}

/// Whether texts have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Coloured,
}

impl Output {
    /// Standard output, as it is: escapes go to terminals alone, colours where nobody minds (<https://no-color.org>).
    pub(crate) fn new(format: Format) -> Self {
        let set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
        let can_draw = io::stdout().is_terminal() && environment("TERM").is_none_or(|term| term != "dumb");
        let style = if can_draw && !set("NO_COLOR") { Style::Coloured } else { Style::Plain };
        let screen = (can_draw && format == Format::Table).then(Screen::default);
        Self { format, style, screen }
    }

    /// Tells `value`; `text` is how people are told.
    pub(crate) fn tell<T: Serialize>(&self, value: &T, text: impl FnOnce(Style) -> String) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&text(self.style)),
            Format::Json => print(&format!("{:#}\n", json(value))),
            Format::Yaml => print(&yaml(value)),
        }
    }

    /// Tells `value` as one of several, each a document of its own.
    pub(crate) fn tell_one_of_many<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(Style) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&text(self.style)),
            Format::Json => print(&format!("{}\n", json(value))),
            Format::Yaml => print(&format!("---\n{}", yaml(value))),
        }
    }

    /// Whether what is told can be told anew in its place.
    pub(crate) const fn draws(&self) -> bool {
        self.screen.is_some()
    }

    /// Draws `text` in the place of what was drawn last.
    pub(crate) fn draw(&mut self, text: &str) -> Result<(), Failure> {
        match &mut self.screen {
            Some(screen) => print(&screen.draw(text)),
            None => print(text),
        }
    }
}

impl Style {
    pub(crate) fn paint(self, colour: AnsiColor, text: &str) -> String {
        self.with(colour.on_default(), text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with(anstyle::Style::new().bold(), text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with(anstyle::Style::new().dimmed(), text)
    }

    fn with(self, style: anstyle::Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("{style}{text}{style:#}"),
        }
    }
}

/// Writes to standard output, now.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(Failure::Untold)
}

pub(crate) fn json<T: Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).expect("wire types have string keys")
}

pub(crate) fn yaml<T: Serialize>(value: &T) -> String {
    // By way of JSON, so that both forms are the same document.
    serde_saphyr::to_string(&json(value)).expect("texts, numbers and lists can be written to a string")
}
