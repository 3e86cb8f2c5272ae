//! Server-sent events (WHATWG HTML §9.2) off a reader. Pure: no connection, no clock.

use std::io::{self, BufRead, ErrorKind, Read};

/// Most bytes of one event. A rollout with a long definition is far below.
const MAX_EVENT: u64 = 16 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Where a stream goes on after it.
    pub(crate) id: Option<String>,
    /// What kind of event.
    pub(crate) event: String,
    /// What it says.
    pub(crate) data: String,
}

/// The events of a stream, until it ends. An event that is not whole by then is left out.
#[derive(Debug)]
pub(crate) struct Messages<R> {
    reader: R,
    id: Option<String>,
}

impl<R: BufRead> Messages<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self { reader, id: None }
    }

    fn message(&mut self) -> io::Result<Option<Message>> {
        let (mut event, mut data, mut left) = (String::new(), None::<String>, MAX_EVENT);
        loop {
            let Some(line) = line(&mut self.reader, &mut left)? else { return Ok(None) };
            if line.is_empty() {
                match data.take() {
                    Some(data) => {
                        let event = if event.is_empty() { "message".to_owned() } else { event };
                        return Ok(Some(Message { id: self.id.clone(), event, data }));
                    }
                    None => {
                        event.clear();
                        left = MAX_EVENT;
                        continue;
                    }
                }
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => match &mut data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => data = Some(value.to_owned()),
                },
                "event" => value.clone_into(&mut event),
                "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
                // A comment, which is a heartbeat, or a field of another time.
                _ => {}
            }
        }
    }
}

impl<R: BufRead> Iterator for Messages<R> {
    type Item = io::Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        self.message().transpose()
    }
}

/// The next line without its end; `None`: the stream ends. `left` bounds the event that it is of.
fn line(reader: &mut impl BufRead, left: &mut u64) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = reader.by_ref().take(*left).read_until(b'\n', &mut bytes)?;
    *left -= read as u64;
    if bytes.pop_if(|last| *last == b'\n').is_none() {
        return if *left == 0 {
            Err(io::Error::new(ErrorKind::InvalidData, "an event is too large"))
        } else {
            Ok(None)
        };
    }
    bytes.pop_if(|last| *last == b'\r');
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(Option<String>, String, String)> {
        let messages = Messages::new(text.as_bytes()).map(|message| message.unwrap());
        messages.map(|message| (message.id, message.event, message.data)).collect()
    }

    fn message(id: &str, event: &str, data: &str) -> (Option<String>, String, String) {
        ((!id.is_empty()).then(|| id.to_owned()), event.to_owned(), data.to_owned())
    }

    #[test]
    fn fields_make_an_event_and_an_empty_line_ends_it() {
        let text = ": hello\n\nevent: rollout\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent:rollout\r\ndata:x\r\n\r\n";
        assert_eq!(all(text), [message("7", "rollout", "{\"a\":\n1}"), message("7", "rollout", "x")]);
    }

    #[test]
    fn heartbeats_and_events_without_data_are_no_events() {
        assert_eq!(all(":\n\n: hb\n\nevent: x\n\nid: 4\n\nretry: 10\n\ndata\n\n"), [message("4", "message", "")]);
    }

    #[test]
    fn an_event_that_breaks_off_is_left_out() {
        for text in ["data: whole\n\ndata: half", "data: whole\n\ndata: half\n", "data: whole\n\nid: 9\ndata: half\n"] {
            assert_eq!(all(text), [message("", "message", "whole")], "{text:?}");
        }
        assert_eq!(all(""), []);
    }

    #[test]
    fn an_event_without_end_does_not_fill_the_memory() {
        let endless = io::repeat(b'x');
        let mut messages = Messages::new(io::BufReader::new(io::Read::chain(&b"data: "[..], endless)));
        assert_eq!(messages.next().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
        let mut lines = b"data: y\n".repeat(64).into_iter().cycle().take(MAX_EVENT as usize * 2).collect::<Vec<_>>();
        lines.extend(b"\n\n");
        assert!(Messages::new(&*lines).next().unwrap().is_err(), "nor one of many lines");
    }
}
