//! The PROXY protocol with a real HAProxy on either side.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use patchgate_testkit::client::{Client, Reply};
use patchgate_testkit::eventually;
use patchgate_testkit::tools::debian;
use patchgate_testkit::upstream::Upstream;
use socket2::{Domain, SockRef, Socket, Type};

use super::Running;

/// A HAProxy on a port of its own, which it is given as a socket; ends when it is dropped.
struct HaProxy {
    address: SocketAddr,
    process: Child,
    _config: tempfile::NamedTempFile,
}

impl HaProxy {
    /// `bind` and `lines` are more of its one listener.
    fn start(mode: &str, bind: &str, lines: &str) -> Self {
        let program = debian("haproxy", "haproxy");
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&socket).set_cloexec(false).unwrap();
        let mut config = tempfile::NamedTempFile::new().unwrap();
        write!(
            config,
            "defaults\n mode {mode}\n timeout connect 10s\n timeout client 30s\n timeout server 30s\n\
             listen one\n bind fd@{} {bind}\n {lines}\n",
            socket.as_raw_fd()
        )
        .unwrap();
        let mut haproxy = Command::new(program);
        haproxy.args(["-db", "-f"]).arg(config.path()).stdout(Stdio::null());
        let process = haproxy.spawn().unwrap();
        Self { address: socket.local_addr().unwrap(), process, _config: config }
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// GET from this address of loopback.
fn get_from(address: [u8; 4], to: SocketAddr) -> Reply {
    // Until the other side serves, what connects is closed or waits.
    eventually("an answer", || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.connect(&to.into()).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Client::over(TcpStream::from(socket)).get("/", &[]).ok()
    })
}

#[test]
fn what_haproxy_says_of_a_client_is_understood() {
    let upstream = Upstream::start(|seen| http::Response::new(seen.header("x-forwarded-for").into()));
    let listener = "proxy_protocol: { from: [127.0.0.1/32] }";
    let gateway = Running::with(upstream.address, upstream.address, listener, "");
    for how in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"] {
        let haproxy = HaProxy::start("tcp", "", &format!("server gateway {} {how}", gateway.address()));
        assert_eq!(get_from([127, 0, 0, 9], haproxy.address).text(), "127.0.0.9", "{how}");
    }
}

#[test]
fn haproxy_understands_what_it_is_told_of_a_client() {
    let answer = "http-request return status 200 content-type text/plain lf-string %ci";
    let haproxy = HaProxy::start("http", "accept-proxy", answer);
    for version in ["v1", "v2"] {
        let gateway = Running::start(&format!(
            r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: ["{}"] }}
    proxy_protocol: {version}
"#,
            haproxy.address
        ));
        for _ in 0..2 {
            let reply = get_from([127, 0, 0, 9], gateway.address());
            assert_eq!((reply.status, reply.text().as_str()), (200, "127.0.0.9"), "{version}");
        }
    }
}
