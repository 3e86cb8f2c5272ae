//! Listeners over a reload: renamed, widened, swapped.

use std::net::{SocketAddr, TcpListener};

use patchgate_testkit::client::Client;
use patchgate_testkit::upstream::Upstream;

use super::{Running, snapshot};

fn config(listeners: &str, stable: SocketAddr) -> String {
    format!(
        r#"
listeners: [{listeners}]
services:
  - {{ name: shop, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["{stable}"] }} }}
"#
    )
}

/// A port that nobody has at the moment.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn reload(gateway: &mut Running, config: &str) {
    let next = snapshot(config);
    let proxy = gateway.proxy.as_mut().unwrap();
    let prepared = proxy.prepare(&next).unwrap_or_else(|error| panic!("{error}"));
    proxy.apply(next, prepared);
}

#[test]
fn a_renamed_listener_keeps_its_socket_and_its_connections() {
    let (upstream, port) = (Upstream::named("served"), free());
    let web = format!("{{ name: web, address: \"127.0.0.1:{port}\" }}");
    let mut gateway = Running::start(&config(&web, upstream.address));
    let mut kept = gateway.client();
    assert_eq!(kept.get("/", &[]).unwrap().status, 200);
    let renamed = format!("{{ name: edge, address: \"127.0.0.1:{port}\", limits: {{ header_count: 3 }} }}");
    reload(&mut gateway, &config(&renamed, upstream.address));
    assert_eq!(kept.get("/", &[]).unwrap().status, 200);
    let fields = [("a", "1"), ("b", "2"), ("c", "3")];
    assert_eq!(gateway.get("/", &fields).status, 431, "its new rules are in force");
}

#[test]
fn a_listener_can_be_widened_to_all_addresses() {
    let (upstream, port) = (Upstream::named("served"), free());
    let narrow = format!("{{ name: web, address: \"127.0.0.1:{port}\" }}");
    let mut gateway = Running::start(&config(&narrow, upstream.address));
    reload(&mut gateway, &config(&narrow.replace("127.0.0.1", "0.0.0.0"), upstream.address));
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], port));
    assert_eq!(Client::connect(elsewhere).unwrap().get("/", &[]).unwrap().status, 200);
}

#[test]
fn two_listeners_can_swap_their_addresses() {
    let (upstream, one, two) = (Upstream::named("served"), free(), free());
    let both = |first: u16, second: u16| {
        format!(
            "{{ name: a, address: \"127.0.0.1:{first}\", limits: {{ header_count: 3 }} }}, \
             {{ name: b, address: \"127.0.0.1:{second}\" }}"
        )
    };
    let mut gateway = Running::start(&config(&both(one, two), upstream.address));
    reload(&mut gateway, &config(&both(two, one), upstream.address));
    let fields = [("a", "1"), ("b", "2"), ("c", "3")];
    let status = |port: u16| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Client::connect(address).unwrap().get("/", &fields).unwrap().status
    };
    assert_eq!((status(one), status(two)), (200, 431));
}
