//! Certificates that change under load.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use patchgate_testkit::client::Client;
use patchgate_testkit::eventually;
use patchgate_testkit::pki::{self, Authority, Issued};
use patchgate_testkit::process::Gateway;
use patchgate_testkit::upstream::Upstream;
use rustls::ClientConfig;

use super::{BINARY, config};

/// Changes of the certificate.
const SWAPS: usize = 10;

fn with_tls(upstream: &Upstream, certificate: &Path, key: &Path) -> String {
    let files = format!("certificate_file: \"{}\", private_key_file: \"{}\"", certificate.display(), key.display());
    let tls = format!("address: \"127.0.0.1:0\", tls: {{ certificates: [{{ {files} }}] }} }}]");
    config(upstream.address, upstream.address, "").replacen("address: \"127.0.0.1:0\" }]", &tls, 1)
}

/// The certificate that a new connection is shown.
fn shown(gateway: &Gateway, trusting: &Arc<ClientConfig>) -> Vec<u8> {
    let stream = pki::connect(gateway.address("web"), "a.test", trusting).unwrap();
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn put(issued: &Issued, certificate: &Path, key: &Path) {
    std::fs::copy(&issued.certificate, certificate).unwrap();
    std::fs::copy(&issued.key, key).unwrap();
}

#[test]
fn certificates_that_are_replaced_under_load_fail_no_request() {
    let (authority, upstream) = (Authority::new(), Upstream::named("stable"));
    let issued = ["one", "two"].map(|name| authority.server(name, &["a.test"]));
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (certificate, key, file) = (at("tls.crt"), at("tls.key"), at("gate.yaml"));
    put(&issued[0], &certificate, &key);
    std::fs::write(&file, with_tls(&upstream, &certificate, &key)).unwrap();
    let gateway = Gateway::start_with(BINARY, folder, file);
    let trusting = Arc::new(authority.client_config(None));
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = |kept: &mut Option<Client<pki::ClientStream>>, keep: bool| {
        let client = match kept.take() {
            Some(client) => Ok(client),
            None => pki::connect(gateway.address("web"), "a.test", &trusting).map(Client::over),
        };
        let mut client = client.unwrap();
        assert_eq!(client.get("/", &[]).unwrap().text(), "stable");
        done.fetch_add(1, Ordering::SeqCst);
        *kept = keep.then_some(client);
    };
    std::thread::scope(|scope| {
        for keep in [true, false, false] {
            let (ask, stop) = (&ask, &stop);
            scope.spawn(move || {
                let mut kept = None;
                while !stop.load(Ordering::SeqCst) {
                    ask(&mut kept, keep);
                }
            });
        }
        let mut before = shown(&gateway, &trusting);
        for swap in 1..=SWAPS {
            // First the one, then the other: what is between the two does not go together, and is not served by.
            put(&issued[swap % 2], &certificate, &key);
            before = eventually("the other certificate", || {
                Some(shown(&gateway, &trusting)).filter(|after| *after != before)
            });
            let target = done.load(Ordering::SeqCst) + 20;
            eventually("the load to go on", || (done.load(Ordering::SeqCst) >= target).then_some(()));
        }
        stop.store(true, Ordering::SeqCst);
    });
    // Under load a reader can come between the two files; the one in force serves on.
    std::fs::write(&key, "no key").unwrap();
    gateway.wait_for("configuration rejected");
    assert_eq!(gateway.sum("patchgate_config_last_reload_successful", &[]), 0.0);
    shown(&gateway, &trusting);
    put(&issued[SWAPS % 2], &certificate, &key);
    gateway.wait_for("the configuration in force is back");
    let ends = gateway.sum("patchgate_tls_certificate_not_after_timestamp_seconds", &["tls.crt"]);
    assert!(ends > 2e9, "{ends}");
    let closed = ["timeout", "malformed", "bad_certificate", "incompatible", "refused"];
    let failed: f64 = closed.iter().map(|result| gateway.sum("patchgate_tls_handshakes_total", &[result])).sum();
    assert_eq!(failed, 0.0);
}

#[test]
fn a_mounted_secret_that_is_swapped_is_served() {
    let (authority, upstream) = (Authority::new(), Upstream::named("stable"));
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    for revision in ["r1", "r2"] {
        let secret = at("secret").join(format!("..{revision}"));
        std::fs::create_dir_all(&secret).unwrap();
        let issued = authority.server(revision, &["a.test"]);
        put(&issued, &secret.join("tls.crt"), &secret.join("tls.key"));
    }
    symlink("..r1", at("secret/..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{file}"), at("secret").join(file)).unwrap();
    }
    let file = at("gate.yaml");
    std::fs::write(&file, with_tls(&upstream, &at("secret/tls.crt"), &at("secret/tls.key"))).unwrap();
    let gateway = Gateway::start_with(BINARY, folder, file);
    let trusting = Arc::new(authority.client_config(None));
    let before = shown(&gateway, &trusting);
    symlink("..r2", gateway.folder().join("secret/..data_tmp")).unwrap();
    std::fs::rename(gateway.folder().join("secret/..data_tmp"), gateway.folder().join("secret/..data")).unwrap();
    gateway.wait_for("configuration reloaded");
    assert_ne!(shown(&gateway, &trusting), before);
}
