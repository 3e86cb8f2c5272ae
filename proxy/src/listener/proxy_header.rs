//! The PROXY protocol's header, in both versions: a load balancer's word for whom a connection is
//! (<https://www.haproxy.org/download/3.3/doc/proxy-protocol.txt>). Pure, but for the reading.
//!
//! Read to its last byte and no further, strictly and within bounds: whoever may send one says who a client is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::ListenerRef;
use crate::worker::Worker;

/// What a header of version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The fixed part of version 2: signature, version and command, family, length.
const FIXED: usize = SIGNATURE.len() + 4;

/// A header of version 1 is no longer, its line end included.
const MAX_LINE: usize = 107;

/// What follows the fixed part of version 2 is no longer: addresses take 36 bytes, further fields what is left.
const MAX_REST: usize = 4096;

/// The type of the field with a checksum of the header.
const CRC32C: u8 = 0x03;

/// What came is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no header of the PROXY protocol: {0}")]
struct Malformed(&'static str);

/// The client that a connection is for; `None`: the connection is to be closed.
pub(super) async fn client(
    worker: &Worker,
    listener: &ListenerRef,
    stream: &mut TcpStream,
    peer: SocketAddr,
) -> Option<SocketAddr> {
    let (is_known, time) = listener.with(|listener| {
        let ranges = listener.proxy_protocol.as_deref().unwrap_or_default();
        let address = peer.ip().to_canonical();
        (ranges.iter().any(|range| range.contains(&address)), listener.limits.header_timeout)
    });
    let (client, result) = if is_known {
        match tokio::time::timeout(time, read(stream)).await {
            Ok(Ok(Some(client))) => (Some(client), "client"),
            Ok(Ok(None)) => (Some(peer), "own"),
            Ok(Err(malformed)) => {
                tracing::debug!(%peer, %malformed);
                (None, "malformed")
            }
            Err(_) => (None, "timeout"),
        }
    } else {
        (None, "stranger")
    };
    worker.telemetry.proxy_header(result);
    client
}

/// Takes the header off a connection. `None`: the connection is its peer's own, as a health check is.
///
/// # Errors
/// What came instead, or that nothing more does.
async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, Malformed> {
    let mut header = [0; FIXED + MAX_REST];
    fill(stream, &mut header[..SIGNATURE.len()]).await?;
    if header[..SIGNATURE.len()] == SIGNATURE {
        fill(stream, &mut header[SIGNATURE.len()..FIXED]).await?;
        let end = FIXED + usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
        let rest = header.get_mut(FIXED..end).ok_or(Malformed("it is too long"))?;
        fill(stream, rest).await?;
        return version_2(&mut header[..end]);
    }
    let mut end = SIGNATURE.len();
    // Asked at once, so that a client of another protocol is not waited for.
    if !header.starts_with(b"PROXY ") {
        return Err(Malformed("it begins otherwise"));
    }
    while header[end - 1] != b'\n' {
        if end == MAX_LINE {
            return Err(Malformed("the line is too long"));
        }
        // Looked at first: what is behind the line is not the header's.
        let room = &mut header[end..MAX_LINE];
        let there = stream.peek(room).await.map_err(|_| Malformed("it breaks off"))?;
        let line = room[..there].iter().position(|&byte| byte == b'\n').map_or(there, |at| at + 1);
        if line == 0 {
            return Err(Malformed("it breaks off"));
        }
        fill(stream, &mut room[..line]).await?;
        end += line;
    }
    version_1(&header[..end])
}

async fn fill(stream: &mut TcpStream, room: &mut [u8]) -> Result<(), Malformed> {
    stream.read_exact(room).await.map(drop).map_err(|_| Malformed("it breaks off"))
}

/// The client of a header of version 1, its line end included.
fn version_1(line: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let line = line.strip_suffix(b"\r\n").ok_or(Malformed("the line does not end in CRLF"))?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed("the line is no text"))?;
    let mut words = line.strip_prefix("PROXY ").ok_or(Malformed("it begins otherwise"))?.split(' ');
    let mut next = || words.next().ok_or(Malformed("the line is too short"));
    let client = match next()? {
        // What follows is to be ignored.
        "UNKNOWN" => return Ok(None),
        "TCP4" => pair::<Ipv4Addr>(next()?, next()?, next()?, next()?)?,
        "TCP6" => pair::<Ipv6Addr>(next()?, next()?, next()?, next()?)?,
        _ => return Err(Malformed("an unknown family")),
    };
    match words.next() {
        None => Ok(Some(client)),
        Some(_) => Err(Malformed("the line is too long")),
    }
}

/// The first of two addresses, both of which must be such.
fn pair<A>(from: &str, to: &str, from_port: &str, to_port: &str) -> Result<SocketAddr, Malformed>
where
    A: FromStr + Into<IpAddr>,
{
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| Malformed("no address"));
    let (client, _, port, _) = (address(from)?, address(to)?, port(from_port)?, port(to_port)?);
    Ok(SocketAddr::new(client, port))
}

fn port(text: &str) -> Result<u16, Malformed> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Malformed("no port"))
}

/// The client of a whole header of version 2. Its checksum, if it has one, is zeroed.
fn version_2(header: &mut [u8]) -> Result<Option<SocketAddr>, Malformed> {
    let (fixed, rest) = header.split_first_chunk::<FIXED>().ok_or(Malformed("it breaks off"))?;
    if !fixed.starts_with(&SIGNATURE) || usize::from(u16::from_be_bytes([fixed[14], fixed[15]])) != rest.len() {
        return Err(Malformed("it is not as long as it says"));
    }
    let is_local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed("an unknown version or command")),
    };
    let (addresses, client) = match fixed[13] {
        0x00 => (0, None),
        0x11 => {
            let ([a, b, c, d, _, _, _, _, high, low], _) = first_of(rest)?;
            (12, Some(SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low])))))
        }
        0x21 => {
            let (source, rest) = first_of::<16>(rest)?;
            let ([.., high, low], _) = first_of::<18>(rest)?;
            (36, Some(SocketAddr::from((*source, u16::from_be_bytes([*high, *low])))))
        }
        // A Unix socket has no address that anybody could go by.
        0x31 => (216, None),
        // A local connection's family means nothing.
        _ if is_local => return Ok(None),
        _ => return Err(Malformed("an unknown family")),
    };
    if is_local {
        return Ok(None);
    }
    check_fields(header, FIXED + addresses)?;
    Ok(client)
}

fn first_of<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Malformed> {
    bytes.split_first_chunk().ok_or(Malformed("its addresses break off"))
}

/// Walks over the fields that begin `at`; one with a checksum must have the header's.
fn check_fields(header: &mut [u8], mut at: usize) -> Result<(), Malformed> {
    if at > header.len() {
        return Err(Malformed("its addresses break off"));
    }
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + 3) else { return Err(Malformed("a field breaks off")) };
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let bytes = header.get_mut(value.clone()).ok_or(Malformed("a field breaks off"))?;
        if kind == CRC32C {
            let sum: [u8; 4] = (&*bytes).try_into().map_err(|_| Malformed("a checksum of another length"))?;
            bytes.fill(0);
            if crc32c::crc32c(header) != u32::from_be_bytes(sum) {
                return Err(Malformed("its checksum is another"));
            }
        }
        at = value.end;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
