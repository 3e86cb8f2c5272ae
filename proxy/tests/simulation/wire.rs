//! HTTP/1.1 as the simulation's clients and backends speak it: small, strict, and not the gateway's own.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use patchgate_proxy::simulation::Pipe;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Bytes read from a pipe and not yet taken.
pub(crate) struct Reader {
    bytes: Vec<u8>,
}

/// A head: its first line and its fields, names in lower case.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) line: String,
    fields: Vec<(String, String)>,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    Whole,
    /// The connection ended in it.
    Broken,
}

impl Head {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes `bytes`, and reads meanwhile what comes, so that nobody waits for the other; false if the connection
    /// takes no more.
    pub(crate) async fn write(&mut self, pipe: &mut Pipe, mut bytes: &[u8]) -> bool {
        let mut room = [0; 4096];
        while !bytes.is_empty() {
            let mut read = ReadBuf::new(&mut room);
            let written = poll_fn(|cx| {
                if let Poll::Ready(written) = Pin::new(&mut *pipe).poll_write(cx, bytes) {
                    return Poll::Ready(written);
                }
                Pin::new(&mut *pipe).poll_read(cx, &mut read).map(|done| match done {
                    Ok(()) if read.filled().is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
                    done => done.map(|()| 0),
                })
            });
            let Ok(written) = written.await else { return false };
            bytes = &bytes[written..];
            self.bytes.extend_from_slice(read.filled());
        }
        true
    }

    /// Some more; false at the end, whether it is a good one or not.
    pub(crate) async fn fill(&mut self, pipe: &mut Pipe) -> bool {
        let mut room = [0; 4096];
        match pipe.read(&mut room).await {
            Ok(read @ 1..) => {
                self.bytes.extend_from_slice(&room[..read]);
                true
            }
            _ => false,
        }
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.bytes.windows(2).position(|two| two == b"\r\n")?;
        let line = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        self.bytes.drain(..end + 2);
        Some(line)
    }

    async fn line(&mut self, pipe: &mut Pipe) -> Option<String> {
        loop {
            if let Some(line) = self.take_line() {
                return Some(line);
            }
            if !self.fill(pipe).await {
                return None;
            }
        }
    }

    /// The next head; `None`: the connection ended.
    pub(crate) async fn head(&mut self, pipe: &mut Pipe) -> Option<Head> {
        let line = self.line(pipe).await?;
        let mut fields = Vec::new();
        loop {
            let field = self.line(pipe).await?;
            if field.is_empty() {
                return Some(Head { line, fields });
            }
            let (name, value) = field.split_once(':')?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    async fn exactly(&mut self, pipe: &mut Pipe, count: usize, into: &mut Vec<u8>) -> BodyEnd {
        let mut left = count;
        loop {
            let taken = left.min(self.bytes.len());
            into.extend(self.bytes.drain(..taken));
            left -= taken;
            if left == 0 {
                return BodyEnd::Whole;
            }
            if !self.fill(pipe).await {
                return BodyEnd::Broken;
            }
        }
    }

    /// The body behind `head`, as its framing has it; one without framing goes to the connection's end if it is a
    /// response, and is empty if it is a request.
    pub(crate) async fn body(&mut self, pipe: &mut Pipe, head: &Head, is_response: bool) -> (Vec<u8>, BodyEnd) {
        let mut body = Vec::new();
        if head.get("transfer-encoding").is_some() {
            loop {
                let Some(size) = self.line(pipe).await else { return (body, BodyEnd::Broken) };
                let Ok(size) = usize::from_str_radix(&size, 16) else { return (body, BodyEnd::Broken) };
                if self.exactly(pipe, size, &mut body).await == BodyEnd::Broken || self.line(pipe).await.is_none() {
                    return (body, BodyEnd::Broken);
                }
                if size == 0 {
                    return (body, BodyEnd::Whole);
                }
            }
        }
        if let Some(length) = head.number("content-length") {
            let end = self.exactly(pipe, length as usize, &mut body).await;
            return (body, end);
        }
        if !is_response {
            return (body, BodyEnd::Whole);
        }
        loop {
            body.append(&mut self.bytes);
            let mut room = [0; 4096];
            match pipe.read(&mut room).await {
                Ok(0) => return (body, BodyEnd::Whole),
                Ok(read) => self.bytes.extend_from_slice(&room[..read]),
                Err(_) => return (body, BodyEnd::Broken),
            }
        }
    }
}

/// `length` bytes that tell whose they are.
pub(crate) fn tagged(tag: u64, length: usize) -> Vec<u8> {
    format!("{tag};").into_bytes().into_iter().cycle().take(length).collect()
}

/// Whether `body` is the beginning of what [`tagged`] makes.
pub(crate) fn is_tagged(tag: u64, body: &[u8]) -> bool {
    format!("{tag};").bytes().cycle().zip(body).all(|(expected, byte)| expected == *byte)
}
