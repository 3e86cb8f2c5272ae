//! Hot reload: under load, of bad files, and the way Kubernetes swaps a ConfigMap.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
fn a_file_that_is_put_back_after_a_rejection_is_a_success_again() {
    let stable = Upstream::named("stable");
    let good = config(stable.address, stable.address, "");
    let gateway = start(&good);
    gateway.rewrite("listeners: nonsense\n");
    gateway.wait_for("configuration rejected");
    assert_eq!(gateway.sum("patchgate_config_last_reload_successful", &[]), 0.0);
    gateway.rewrite(&good);
    gateway.wait_for("the configuration in force is back");
    assert_eq!(gateway.sum("patchgate_config_last_reload_successful", &[]), 1.0);
    assert_eq!(gateway.sum("patchgate_snapshot_revision", &[]), 1.0, "nothing was applied anew");
}

/// `path` as seen from this process's folder, which the gateway inherits.
fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let up = here.components().skip(1).map(|_| "..");
    up.collect::<PathBuf>().join(path.strip_prefix("/").unwrap())
}

#[test]
fn a_file_that_is_away_for_a_moment_is_followed_on_by_any_path() {
    let stable = Upstream::named("stable");
    let revision = |number: u32| {
        let revision = format!("telemetry: {{ service_name: revision-{number} }}");
        config(stable.address, stable.address, &revision)
    };
    for linked in [false, true] {
        let folder = tempfile::TempDir::new().unwrap();
        let real = folder.path().join("real");
        std::fs::create_dir(&real).unwrap();
        symlink("real", folder.path().join("link")).unwrap();
        std::fs::write(real.join("gate.yaml"), revision(1)).unwrap();
        let path = if linked { folder.path().join("link/gate.yaml") } else { relative(&real.join("gate.yaml")) };
        let gateway = Gateway::start_with(BINARY, folder, path);
        std::fs::remove_file(gateway.config()).unwrap();
        gateway.wait_for("configuration rejected");
        for number in 2..=3 {
            gateway.rewrite(&revision(number));
            let reloaded = || (gateway.times_said("configuration reloaded") + 1 >= number as usize).then_some(());
            eventually("the file's return", reloaded);
        }
    }
}

/// Does something again and again while `during` runs.
fn while_doing(mut again: impl FnMut() + Send, during: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                again();
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        // Also when `during` panics, lest the scope wait for ever.
        let end = Finally(&done);
        during();
        drop(end);
    });
}

struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn neither_a_busy_folder_nor_a_busy_file_starves_the_reload() {
    let stable = Upstream::named("stable");
    let gateway = start(&config(stable.address, stable.address, ""));
    let busy = gateway.folder().join("access.log");
    let changed = config(stable.address, stable.address, "trace: { random_flag: clear }");
    let other = || std::fs::write(&busy, "a line").unwrap();
    while_doing(other, || {
        gateway.rewrite(&changed);
        gateway.wait_for("configuration reloaded");
    });
    let path = gateway.config().to_owned();
    let permissions = std::fs::metadata(&path).unwrap().permissions();
    // A change of the file itself, though not of its text.
    let touch = || drop(std::fs::set_permissions(&path, permissions.clone()));
    while_doing(touch, || {
        gateway.rewrite(&config(stable.address, stable.address, ""));
        eventually("the second reload", || (gateway.times_said("configuration reloaded") >= 2).then_some(()));
    });
}

#[test]
fn what_needs_a_restart_is_told_as_long_as_it_differs_from_what_runs() {
    let stable = Upstream::named("stable");
    let text = config(stable.address, stable.address, "");
    let gateway = start(&text);
    let moved = text.replace(r#"health: { address: "127.0.0.1:0" }"#, r#"health: { address: "127.0.0.1:1" }"#);
    assert_ne!(moved, text);
    let clear = "trace: { random_flag: clear }\n";
    for (reload, (text, told)) in
        [(moved.clone(), 1), (format!("{moved}{clear}"), 2), (format!("{text}{clear}"), 2)].into_iter().enumerate()
    {
        gateway.rewrite(&text);
        eventually("the reload", || (gateway.times_said("configuration reloaded") > reload).then_some(()));
        assert_eq!(gateway.times_said("health.address changes with a restart only"), told, "reload {reload}");
    }
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
