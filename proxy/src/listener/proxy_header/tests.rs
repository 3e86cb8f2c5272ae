//! Headers as they are, as they must not be, and any bytes at all.

use proptest::prelude::*;

use super::*;

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

fn read_v2(command: u8, family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    version_2(&mut v2(command, family, rest))
}

const TCP4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x30, 0x39, 0, 80];

#[test]
fn version_1_tells_the_client() {
    let told = |line: &str| version_1(line.as_bytes()).unwrap().map(|client| client.to_string());
    assert_eq!(told("PROXY TCP4 192.0.2.1 10.0.0.1 12345 80\r\n").as_deref(), Some("192.0.2.1:12345"));
    assert_eq!(told("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n").as_deref(), Some("[2001:db8::1]:0"));
    assert_eq!(told("PROXY UNKNOWN\r\n"), None);
    assert_eq!(told("PROXY UNKNOWN ffff::1 whatever there is\r\n"), None);
}

#[test]
fn version_1_is_refused_unless_it_is_exact() {
    let lines = [
        "PROXY TCP4 192.0.2.1 10.0.0.1 12345 80\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 12345\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 12345 80 \r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 12345 80 81\r\n",
        "PROXY  TCP4 192.0.2.1 10.0.0.1 12345 80\r\n",
        "PROXY TCP4 192.0.2.1  10.0.0.1 12345 80\r\n",
        "PROXY TCP4 192.0.2.01 10.0.0.1 12345 80\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 012345 80\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 +1 80\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 65536 80\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1  80\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY \r\n",
        "proxy UNKNOWN\r\n",
        "GET / HTTP/1.1\r\n",
    ];
    for line in lines {
        version_1(line.as_bytes()).expect_err(line);
    }
}

#[test]
fn version_2_tells_the_client() {
    assert_eq!(read_v2(0x21, 0x11, &TCP4).unwrap(), Some("192.0.2.1:12345".parse().unwrap()));
    let mut tcp6 = [0; 36];
    tcp6[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
    tcp6[32..34].copy_from_slice(&443u16.to_be_bytes());
    assert_eq!(read_v2(0x21, 0x21, &tcp6).unwrap(), Some("[2001:db8::1]:443".parse().unwrap()));
    // LOCAL, unspecified, Unix: the peer's own, whatever else they say.
    assert_eq!(read_v2(0x20, 0x11, &TCP4).unwrap(), None);
    assert_eq!(read_v2(0x20, 0x7f, b"??").unwrap(), None);
    assert_eq!(read_v2(0x21, 0x00, b"").unwrap(), None);
    assert_eq!(read_v2(0x21, 0x31, &[0; 216]).unwrap(), None);
}

#[test]
fn version_2_is_refused_unless_it_is_exact() {
    for (command, family, rest) in [
        (0x11, 0x11, &TCP4[..]),
        (0x22, 0x11, &TCP4),
        (0x21, 0x12, &TCP4),
        (0x21, 0x41, &TCP4),
        (0x21, 0x11, &TCP4[..11]),
        (0x21, 0x21, &TCP4),
        (0x21, 0x31, &[0; 215]),
        (0x21, 0x00, &[4, 0]),
        (0x21, 0x00, &[4, 0, 1]),
        (0x21, 0x00, &[CRC32C, 0, 3, 0, 0, 0]),
    ] {
        read_v2(command, family, rest).expect_err(&format!("{command:x} {family:x} {rest:?}"));
    }
    let mut header = v2(0x21, 0x11, &TCP4);
    header.push(0);
    version_2(&mut header).unwrap_err();
}

#[test]
fn a_checksum_must_be_that_of_the_header() {
    // A field that means nothing here, the checksum's, and one more.
    let fields = [&TCP4[..], &[4, 0, 2, 7, 7], &[CRC32C, 0, 4, 0, 0, 0, 0], &[0xe0, 0, 0]].concat();
    let mut header = v2(0x21, 0x11, &fields);
    let sum = crc32c::crc32c(&header).to_be_bytes();
    let at = FIXED + 12 + 5 + 3;
    header[at..at + 4].copy_from_slice(&sum);
    assert_eq!(version_2(&mut header.clone()).unwrap(), Some("192.0.2.1:12345".parse().unwrap()));
    for bit in 0..header.len() * 8 {
        let mut flipped = header.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // A flip in the command's last bit makes it LOCAL, of which nothing is believed.
        assert!(!matches!(version_2(&mut flipped), Ok(Some(_))) || is_checksum_gone(&flipped), "bit {bit}");
    }
}

/// Whether the flip made the checksum's field one of another kind.
fn is_checksum_gone(header: &[u8]) -> bool {
    let mut at = FIXED + 12;
    while let Some(&[kind, high, low]) = header.get(at..at + 3) {
        if kind == CRC32C {
            return false;
        }
        at += 3 + usize::from(u16::from_be_bytes([high, low]));
    }
    true
}

proptest! {
    #[test]
    fn any_client_is_told_as_it_is(client: SocketAddr, proxy: SocketAddr) {
        prop_assume!(client.is_ipv4() == proxy.is_ipv4());
        let plain = SocketAddr::new(client.ip(), client.port());
        let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (client.ip(), proxy.ip());
        let line = format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), proxy.port());
        prop_assert!(line.len() <= MAX_LINE);
        prop_assert_eq!(version_1(line.as_bytes()), Ok(Some(plain)));
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let ports = [client.port().to_be_bytes(), proxy.port().to_be_bytes()].concat();
        let rest = [octets(from), octets(to), ports].concat();
        prop_assert_eq!(read_v2(0x21, if client.is_ipv4() { 0x11 } else { 0x21 }, &rest), Ok(Some(plain)));
    }

    #[test]
    fn no_bytes_are_too_strange(command: u8, family: u8, rest in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_v2(command, family, &rest);
        let _ = version_1(&rest);
        let _ = version_1(&[b"PROXY ", &rest[..], b"\r\n"].concat());
    }
}
