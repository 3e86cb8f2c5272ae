//! The machine misbehaves around the control plane: its disk is full, its clock is set. Requests are served as before,
//! and so are orders, as soon as they can be.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use patchgate_admin::time::parse;
use patchgate_testkit::eventually;
use patchgate_testkit::load::Load;
use patchgate_testkit::process::Gateway;
use patchgate_testkit::tools;
use patchgate_testkit::upstream::Upstream;
use serde_json::Value;

use super::BINARY;
use super::admin::{Admin, config, folded, rollout};

/// Clients that all must be served all the time.
fn load(gateway: &Gateway) -> Load {
    Load::start(gateway.address("web"), 4, "/", &[], |reply| match (reply.status, &*reply.text()) {
        (200, "stable" | "hot-fix") => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

/// The binary, started by a shell that does `first`.
fn start_after(folder: &Path, first: &str, config: &str) -> Gateway {
    let script = folder.join("patchgate.sh");
    std::fs::write(&script, format!("#!/bin/sh\n{first}\nexec '{BINARY}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    Gateway::start(script.to_str().unwrap(), config)
}

#[test]
fn a_full_disk_refuses_orders_and_serves_requests_and_heals_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    // No file may have more than 8 KiB, and the signal that says so is ignored: writes fail as on a full disk.
    let full = "trap '' XFSZ; ulimit -S -f 16";
    let gateway = start_after(folder.path(), full, &config(stable.address, &data));
    let admin = Admin::of(&gateway, "ann");
    let load = load(&gateway);
    let created = admin.create(&rollout("fix", hot_fix.address));
    assert_eq!(created.status, 201, "{created:?}");

    let mut version = 2;
    let refused = loop {
        let order = if version % 2 == 0 { "pause" } else { "resume" };
        let answer = admin.change(&format!("/v1/rollouts/fix/{order}"), version);
        if answer.status != 200 {
            break answer;
        }
        version += 1;
        assert_eq!(answer.body["sequence"], version);
    };
    assert_eq!((refused.status, &refused.body["code"]), (503, &"log_unwritable".into()), "{refused:?}");
    assert!(gateway.sum("patchgate_log_append_failures_total", &[]) > 0.0);
    // What was not acknowledged did not happen, here or on disk.
    assert_eq!(admin.get("/v1/rollouts/fix")["version"], version);
    assert_eq!(folded(&data).state().sequence, version);
    load.wait_for(200);

    let lifted = Command::new(tools::debian("prlimit", "util-linux"))
        .args(["--pid", &gateway.id().to_string(), "--fsize=unlimited"])
        .status()
        .unwrap();
    assert!(lifted.success());
    let aborted = eventually("the log to heal", || {
        let answer = admin.change("/v1/rollouts/fix/abort", version);
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(aborted.body["rollout"]["state"], "aborted");
    assert_eq!(folded(&data).state().sequence, version + 1);
    load.wait_for(200);
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{tally:?}");
}

#[test]
fn a_clock_that_is_set_breaks_no_order_ends_no_hold_and_fails_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let clock = folder.path().join("clock");
    let (stable, hot_fix) = (Upstream::named("stable"), Upstream::named("hot-fix"));
    let _wrapper = tools::debian("faketime", "faketime");
    let set = |by: &str| {
        std::fs::write(folder.path().join("new"), by).unwrap();
        std::fs::rename(folder.path().join("new"), &clock).unwrap();
    };
    set("+0");
    // The wall clock is what the file says; the monotonic one is the machine's.
    let fake = format!(
        "export LD_PRELOAD=$(find /usr/lib -name libfaketime.so.1 | head -n 1) FAKETIME_NO_CACHE=1 \
         FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_TIMESTAMP_FILE='{}'",
        clock.display()
    );
    let mut plan = rollout("fix", hot_fix.address);
    plan["stages"][0]["hold"] = "30m".into();
    plan["deadline"] = "2h".into();
    let mut gateway = start_after(folder.path(), &fake, &config(stable.address, &data));
    let load = load(&gateway);
    let admin = Admin::of(&gateway, "ann");
    assert_eq!(admin.create(&plan).status, 201);
    let mut version = 2;
    let mut pause_and_resume = |admin: &Admin| {
        for order in ["pause", "resume"] {
            let answer = admin.change(&format!("/v1/rollouts/fix/{order}"), version);
            assert_eq!(answer.status, 200, "{answer:?}");
            version += 1;
        }
    };
    let stays = |seen: Value| assert_eq!((&seen["state"], &seen["stage"]), (&"canary".into(), &0.into()), "{seen:#}");
    for by in ["-3600", "+3600", "-7200", "+7200"] {
        set(by);
        load.wait_for(200);
        pause_and_resume(&admin);
        stays(admin.get("/v1/rollouts/fix"));
    }

    // A start with the clock an hour back: the log goes on after what it has.
    set("-3600");
    load.expect_end();
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    let tally = load.join();
    assert!(tally.failures.is_empty(), "{tally:?}");
    let before = folded(&data).state().clock.clone();
    let gateway = start_after(folder.path(), &fake, &config(stable.address, &data));
    let told = parse(gateway.log()[0]["timestamp"].as_str().unwrap()).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    assert!(now - u128::from(told) > 3_500_000, "its wall clock is an hour back");
    let admin = Admin::of(&gateway, "ann");
    pause_and_resume(&admin);
    stays(admin.get("/v1/rollouts/fix"));
    let fold = folded(&data);
    assert!(fold.state().clock > before, "{} after {before}", fold.state().clock);
    assert_eq!(fold.state().sequence, version);
}
