//! Drawing in place with plain escapes: up, over what was there, and nothing left of it.

use std::io;

use unicode_width::UnicodeWidthChar;

/// What was drawn last.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    lines: usize,
}

/// Room on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    rows: usize,
    columns: usize,
}

impl Size {
    /// As the terminal says; what most have, if it does not.
    fn now() -> Self {
        match rustix::termios::tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                Self { rows: size.ws_row.into(), columns: size.ws_col.into() }
            }
            _ => Self { rows: 24, columns: 80 },
        }
    }
}

impl Screen {
    /// What to write so that `text` stands where the last text was.
    pub(crate) fn draw(&mut self, text: &str) -> String {
        let (frame, lines) = frame(self.lines, text, Size::now());
        self.lines = lines;
        frame
    }
}

/// What to write over `before` lines, and how many lines stand there then. A line that would wrap is cut, and so are
/// lines that would scroll away: neither could be overwritten.
fn frame(before: usize, text: &str, size: Size) -> (String, usize) {
    let mut frame = String::new();
    if before > 0 {
        frame.push_str(&format!("\x1b[{before}A\r"));
    }
    let room = size.rows.saturating_sub(1).max(1);
    let all: Vec<&str> = text.lines().collect();
    let shown = if all.len() > room { room.saturating_sub(1) } else { all.len() };
    for line in &all[..shown] {
        frame.push_str(&clip(line, size.columns));
        frame.push_str("\x1b[K\n");
    }
    let mut lines = shown;
    if shown < all.len() {
        frame.push_str(&clip(&format!("… {} more lines", all.len() - shown), size.columns));
        frame.push_str("\x1b[K\n");
        lines += 1;
    }
    frame.push_str("\x1b[J");
    (frame, lines)
}

/// As much of a line as fits, with all its colours.
fn clip(line: &str, columns: usize) -> String {
    let (mut clipped, mut width, mut escape) = (String::new(), 0, false);
    for c in line.chars() {
        if escape || c == '\x1b' {
            // A colour: `ESC [ … m`. It takes no room.
            escape = c != 'm';
            clipped.push(c);
            continue;
        }
        width += c.width().unwrap_or(0);
        if width <= columns {
            clipped.push(c);
        }
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { rows: 5, columns: 8 };

    #[test]
    fn a_frame_covers_the_one_before() {
        let (first, lines) = frame(0, "a\nb\n", SIZE);
        assert_eq!((first.as_str(), lines), ("a\x1b[K\nb\x1b[K\n\x1b[J", 2));
        let (second, lines) = frame(lines, "c\n", SIZE);
        assert_eq!((second.as_str(), lines), ("\x1b[2A\rc\x1b[K\n\x1b[J", 1));
    }

    #[test]
    fn what_does_not_fit_is_cut_and_told() {
        let (text, lines) = frame(0, "1\n2\n3\n4\n5\n6\n", SIZE);
        assert_eq!(lines, 4, "one row is left for the cursor");
        assert!(text.contains("3\x1b[K") && !text.contains("4\x1b[K") && text.contains("… 3 more"), "{text:?}");
    }

    #[test]
    fn a_line_is_cut_by_its_width_and_keeps_its_colours() {
        assert_eq!(clip("0123456789", 8), "01234567");
        assert_eq!(clip("\x1b[32m0123\x1b[0m456789", 8), "\x1b[32m0123\x1b[0m4567");
        assert_eq!(clip("日本語日本語", 8), "日本語日");
        assert_eq!(clip("\x1b[32m0123456789\x1b[0m", 8), "\x1b[32m01234567\x1b[0m", "and their end");
    }
}
