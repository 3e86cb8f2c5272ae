//! Listening sockets: one a worker for each listener, sharing the port by `SO_REUSEPORT`.
//!
//! Bound on the control plane's thread, so that a taken port is known before anything of a new configuration is in
//! force; handed to the workers afterwards.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

/// Connections the kernel queues for a socket; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Binds one socket for each of `workers` at `address`. With port 0 all get the port the first was given. `alone`: a
/// port that anybody listens on is refused.
///
/// # Errors
/// That of the operating system, as when another program holds the port.
pub(crate) fn bind(address: SocketAddr, workers: usize, alone: bool) -> io::Result<Vec<TcpListener>> {
    if alone {
        // A plain bind first: `SO_REUSEPORT` would let a second patchgate of the same user share the port silently.
        drop(socket(address, false)?);
    }
    let first = socket(address, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(socket(address, true)?);
    }
    Ok(sockets)
}

/// Has the kernel drop what would begin a new connection, so that the socket can be closed once its queue is empty.
///
/// Closing a listening socket resets every handshake that completed and was not accepted yet, and under load there is
/// always one. A client whose first packet is dropped sends it again a second later and is then refused, before it
/// could send a request.
///
/// # Errors
/// That of the operating system.
pub(super) fn refuse_new(socket: &tokio::net::TcpListener) -> io::Result<()> {
    SockRef::from(socket).attach_filter(&DROP_SYN)
}

/// Classic BPF over a TCP header: 0 bytes are kept of a segment with SYN and without ACK, all of any other.
static DROP_SYN: [SockFilter; 5] = [
    // A = flags, the byte at offset 13 (RFC 9293 §3.1)
    SockFilter::new(LOAD_BYTE, 0, 0, 13),
    SockFilter::new(AND, 0, 0, SYN | ACK),
    SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
    SockFilter::new(RETURN, 0, 0, 0),
    SockFilter::new(RETURN, 0, 0, u32::MAX),
];

const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// Opcodes of `linux/bpf_common.h`: class, size and mode.
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_gets_a_socket_on_one_port() {
        let sockets = bind(([127, 0, 0, 1], 0).into(), 3, true).unwrap();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|&port| port == ports[0] && port != 0));
    }

    #[test]
    fn a_port_that_is_listened_on_is_refused() {
        let held = bind(([127, 0, 0, 1], 0).into(), 1, true).unwrap();
        let error = bind(held[0].local_addr().unwrap(), 1, true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
