//! A blocking HTTP/1.1 client that sends what it is told and reads what really comes: no pool, no retries, no
//! redirects, no repair.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A read that takes longer is a failure of the test.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

/// A response as it came over the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Field lines in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
}

impl Reply {
    /// The first field of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the server ends the connection after this.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: Read + Write> Client<S> {
    /// On a connection that was made elsewhere.
    #[must_use]
    pub fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// What it runs on.
    pub fn stream(&self) -> &S {
        self.stream.get_ref()
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server has closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())?;
        self.stream.get_mut().flush()
    }

    /// GET of `path` from host `test` with these field lines, and the reply.
    ///
    /// # Errors
    /// When the connection breaks before the reply is whole.
    pub fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> io::Result<Reply> {
        self.send(head("GET", path, fields) + "\r\n")?;
        self.reply()
    }

    /// Reads one final response to a request that was no HEAD; interim ones are passed over.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ends before the response does, `InvalidData` if it is no HTTP.
    pub fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let reply = self.reply_to("GET")?;
            if reply.status >= 200 || reply.status == 101 {
                return Ok(reply);
            }
        }
    }

    /// Reads one response, interim or final, to a request of this method.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn reply_to(&mut self, method: &str) -> io::Result<Reply> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| invalid(&line))?;
        let mut reply = Reply { status, headers: self.fields()?, ..Reply::default() };
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(reply);
        }
        if reply.header("transfer-encoding").is_some() {
            self.chunks(&mut reply)?;
        } else if let Some(length) = reply.header("content-length") {
            reply.body = vec![0; length.parse().map_err(|_| invalid(length))?];
            self.stream.read_exact(&mut reply.body)?;
        } else {
            self.stream.read_to_end(&mut reply.body)?;
        }
        Ok(reply)
    }

    /// Reads all bytes until the server closes.
    ///
    /// # Errors
    /// When it resets instead.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    fn chunks(&mut self, reply: &mut Reply) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size =
                usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16).map_err(|_| invalid(&line))?;
            if size == 0 {
                reply.trailers = self.fields()?;
                return Ok(());
            }
            let begin = reply.body.len();
            reply.body.resize(begin + size, 0);
            self.stream.read_exact(&mut reply.body[begin..])?;
            if !self.line()?.is_empty() {
                return Err(invalid("a chunk without its end"));
            }
        }
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\r\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(|_| invalid("a line that is no text"))
    }
}

/// A request's head without its end, for host `test`.
#[must_use]
pub fn head(method: &str, path: &str, fields: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

/// GET on a connection of its own.
///
/// # Panics
/// When no whole reply comes.
pub fn get(to: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Reply {
    let reply = Client::connect(to).and_then(|mut client| client.get(path, fields));
    reply.unwrap_or_else(|error| panic!("GET {path} from {to}: {error}"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
