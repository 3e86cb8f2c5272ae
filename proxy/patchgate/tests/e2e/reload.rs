//! Hot reload: under load, of bad files, and the way Kubernetes swaps a ConfigMap.

use std::os::unix::fs::symlink;

use patchgate_testkit::client::{self, Client};
use patchgate_testkit::eventually;
use patchgate_testkit::load::{Load, Tally};
use patchgate_testkit::process::Gateway;
use patchgate_testkit::upstream::Upstream;

use super::{BINARY, config, start};

/// As the issue of this capability demands.
const RELOADS: usize = 100;

#[test]
fn a_hundred_reloads_under_load_fail_no_request() {
    let (one, two) = (Upstream::named("one"), Upstream::named("two"));
    let configs = [one.address, two.address].map(|stable| config(stable, one.address, ""));
    let gateway = start(&configs[0]);
    let load = Load::start(gateway.address("web"), 8, "/", &[], |reply| match (reply.status, &*reply.text()) {
        (200, "one" | "two") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    for reload in 1..=RELOADS {
        gateway.rewrite(&configs[reload % 2]);
        eventually("the reload", || (gateway.times_said("configuration reloaded") >= reload).then_some(()));
        load.wait_for(20);
    }
    let Tally { fine, failures, .. } = load.stop();
    assert!(failures.is_empty(), "{failures:?} beside {fine} answers");
    assert!(one.requests() > RELOADS && two.requests() > RELOADS, "both configurations served");
    assert_eq!(gateway.sum("patchgate_snapshot_revision", &[]), 1.0 + RELOADS as f64);
    assert_eq!(gateway.sum("patchgate_config_reloads_total", &["rejected"]), 0.0);
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_once() {
    let stable = Upstream::named("stable");
    let gateway = start(&config(stable.address, stable.address, ""));
    gateway.rewrite("listeners: [{ name: web, adress: nonsense }]\n");
    gateway.wait_for("configuration rejected");
    let log = gateway.log();
    let told = log.iter().find_map(|line| line["message"].as_str()?.strip_prefix("configuration rejected"));
    assert!(told.is_some_and(|told| told.contains("adress") && told.contains("address")), "{told:?}");
    assert_eq!(client::get(gateway.address("web"), "/", &[]).text(), "stable");
    assert_eq!(gateway.sum("patchgate_config_last_reload_successful", &[]), 0.0);

    // The same file seen again is no news; SIGHUP asks for an answer.
    gateway.rewrite("listeners: [{ name: web, adress: nonsense }]\n");
    gateway.signal("HUP");
    eventually("an answer to SIGHUP", || (gateway.times_said("configuration rejected") >= 2).then_some(()));
    assert_eq!(gateway.times_said("configuration rejected"), 2);

    gateway.rewrite(&config(stable.address, stable.address, "trace: { random_flag: clear }"));
    gateway.wait_for("configuration reloaded");
    assert_eq!(gateway.sum("patchgate_config_last_reload_successful", &[]), 1.0);
}

#[test]
fn every_truncation_of_a_file_leaves_the_one_in_force() {
    let stable = Upstream::named("stable");
    let good = config(stable.address, stable.address, "");
    let gateway = start(&good);
    for end in (1..good.len()).step_by(good.len() / 40) {
        gateway.rewrite(&good[..end]);
        gateway.signal("HUP");
        assert_eq!(client::get(gateway.address("web"), "/", &[]).text(), "stable");
    }
    // Whatever was made of the halves, the whole is served again.
    gateway.rewrite(&format!("{good}\n# whole\n"));
    gateway.signal("HUP");
    eventually("the whole file", || (gateway.sum("patchgate_config_last_reload_successful", &[]) == 1.0).then_some(()));
    assert_eq!(client::get(gateway.address("web"), "/", &[]).text(), "stable");
}

#[test]
fn a_config_maps_symlink_swap_is_a_reload() {
    let (one, two) = (Upstream::named("one"), Upstream::named("two"));
    let folder = tempfile::TempDir::new().expect("there is a folder for temporary files");
    let at = |name: &str| folder.path().join(name);
    for (revision, upstream) in [("..r1", &one), ("..r2", &two)] {
        std::fs::create_dir(at(revision)).unwrap();
        std::fs::write(at(revision).join("patchgate.yaml"), config(upstream.address, one.address, "")).unwrap();
    }
    symlink("..r1", at("..data")).unwrap();
    symlink("..data/patchgate.yaml", at("patchgate.yaml")).unwrap();
    let mounted = at("patchgate.yaml");
    let gateway = Gateway::start_with(BINARY, folder, mounted);
    assert_eq!(client::get(gateway.address("web"), "/", &[]).text(), "one");
    symlink("..r2", gateway.folder().join("..data_tmp")).unwrap();
    std::fs::rename(gateway.folder().join("..data_tmp"), gateway.folder().join("..data")).unwrap();
    gateway.wait_for("configuration reloaded");
    assert_eq!(client::get(gateway.address("web"), "/", &[]).text(), "two");
}

#[test]
fn listeners_follow_the_file_and_what_stays_keeps_its_connections() {
    let stable = Upstream::named("stable");
    let base = config(stable.address, stable.address, "");
    let gateway = start(&base);
    let web = gateway.address("web");
    let mut kept = Client::connect(web).unwrap();
    assert_eq!(kept.get("/", &[]).unwrap().text(), "stable");
    let both = base.replace(
        r#"listeners: [{ name: web, address: "127.0.0.1:0" }]"#,
        r#"listeners: [{ name: web, address: "127.0.0.1:0" }, { name: more, address: "127.0.0.1:0" }]"#,
    );
    gateway.rewrite(&both);
    let more = eventually("the new listener", || gateway.find("more"));
    assert_eq!(client::get(more, "/", &[]).text(), "stable");
    assert_eq!(kept.get("/", &[]).unwrap().text(), "stable", "the old connection is still served");
    gateway.rewrite(&base);
    eventually("the new listener's end", || client_refused(more).then_some(()));
    assert_eq!(kept.get("/", &[]).unwrap().text(), "stable");
}

fn client_refused(address: std::net::SocketAddr) -> bool {
    Client::connect(address).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}
