//! Help, completions and manual pages.

use crate::scripted::patchgate;

/// Every command that is a verb of its own.
const COMMANDS: [&[&str]; 28] = [
    &["run"],
    &["check"],
    &["schema"],
    &["demo"],
    &["rollout", "list"],
    &["rollout", "get"],
    &["rollout", "create"],
    &["rollout", "diff"],
    &["rollout", "status"],
    &["rollout", "pause"],
    &["rollout", "resume"],
    &["rollout", "promote"],
    &["rollout", "approve"],
    &["rollout", "complete"],
    &["rollout", "abort"],
    &["rollout", "force-stable"],
    &["rollout", "history"],
    &["explain"],
    &["log", "show"],
    &["log", "verify"],
    &["log", "prove"],
    &["log", "export"],
    &["token", "create"],
    &["token", "list"],
    &["token", "revoke"],
    &["drain"],
    &["completions"],
    &["man"],
];

#[test]
fn every_command_of_the_control_plane_has_help_with_an_example() {
    for command in &COMMANDS[4..] {
        let ended = patchgate(&[command, &["--help"][..]].concat(), &[]);
        assert_eq!(ended.code, 0, "{command:?}");
        let example = format!("  patchgate {}", command.join(" "));
        assert!(ended.out.contains(&example), "{example} in {}", ended.out);
    }
}

#[test]
fn a_token_cannot_be_an_argument() {
    for command in COMMANDS {
        let help = patchgate(&[command, &["--help"][..]].concat(), &[]).out;
        assert!(!help.contains("--token <") && !help.contains("--token="), "{command:?}: {help}");
    }
}

#[test]
fn every_shell_has_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = patchgate(&["completions", shell], &[]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.out.contains("force-stable") && ended.out.contains("idempotency-key"), "{shell}");
    }
}

#[test]
fn every_command_has_its_manual_page() {
    let folder = tempfile::TempDir::new().unwrap();
    let dir = folder.path().join("man1");
    assert_eq!(patchgate(&["man", dir.to_str().unwrap()], &[]).code, 0);
    for command in COMMANDS {
        let page = dir.join(format!("patchgate-{}.1", command.join("-")));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.contains(".SH SYNOPSIS"), "{}", page.display());
    }
    let first = patchgate(&["man"], &[]);
    assert!(first.code == 0 && first.out.contains(".TH patchgate 1"), "{}", first.out);
}
