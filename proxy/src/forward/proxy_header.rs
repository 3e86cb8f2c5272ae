//! The PROXY protocol's header towards a backend: for whom its connection is
//! (<https://www.haproxy.org/download/3.3/doc/proxy-protocol.txt>). Pure.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::{BufMut, BytesMut};
use patchgate_config::snapshot::ProxyVersion;

/// What a header of version 2 begins with, up to the version and the command PROXY.
const BEGIN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21";

/// Appends the header of a client that connected to `local`.
pub(super) fn write(version: ProxyVersion, client: SocketAddr, local: Option<SocketAddr>, out: &mut BytesMut) {
    let local = local.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let (from, to) = match (client.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (IpAddr::V4(from), IpAddr::V4(to)),
        // Both must be of one family.
        (from, to) => (mapped(from), mapped(to)),
    };
    let (from_port, to_port) = (client.port(), local.port());
    match version {
        ProxyVersion::V1 => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            let written = write!(out.writer(), "PROXY {family} {from} {to} {from_port} {to_port}\r\n");
            debug_assert!(written.is_ok(), "a growing buffer takes every write");
        }
        ProxyVersion::V2 => {
            out.extend_from_slice(BEGIN);
            match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    out.extend_from_slice(&[0x11, 0, 12]);
                    out.extend_from_slice(&from.octets());
                    out.extend_from_slice(&to.octets());
                }
                (from, to) => {
                    out.extend_from_slice(&[0x21, 0, 36]);
                    for address in [from, to] {
                        out.extend_from_slice(&octets(address));
                    }
                }
            }
            out.put_u16(from_port);
            out.put_u16(to_port);
        }
    }
}

fn mapped(address: IpAddr) -> IpAddr {
    IpAddr::from(octets(address))
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: ProxyVersion, client: &str, local: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(version, client.parse().unwrap(), local.parse().ok(), &mut out);
        out.to_vec()
    }

    #[test]
    fn version_1_is_a_line() {
        let line = |client, local| String::from_utf8(written(ProxyVersion::V1, client, local)).unwrap();
        assert_eq!(line("192.0.2.7:12345", "10.0.0.1:80"), "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n");
        assert_eq!(line("[2001:db8::1]:1", "[::1]:2"), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
        assert_eq!(line("[::ffff:192.0.2.7]:1", "10.0.0.1:2"), "PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n");
        assert_eq!(line("[2001:db8::1]:1", "10.0.0.1:2"), "PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 1 2\r\n");
    }

    #[test]
    fn version_2_is_as_long_as_it_says() {
        let header = written(ProxyVersion::V2, "192.0.2.7:12345", "10.0.0.1:80");
        assert_eq!(header[..13], *BEGIN);
        assert_eq!(header[13..], [0x11, 0, 12, 192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80]);
        let header = written(ProxyVersion::V2, "[2001:db8::1]:1", "10.0.0.1:2");
        assert_eq!((header.len(), &header[13..16]), (16 + 36, &[0x21, 0, 36][..]));
    }
}
