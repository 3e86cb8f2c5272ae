//! Tokens: the file by the library, and the commands that work on it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use patchgate_admin::rollout::Role;
use patchgate_admin::tokens::{self, NewToken, Tokens, TokensError};
use serde_json::Value;
use tempfile::TempDir;

use crate::scripted::{Ended, patchgate};

const NOW: u64 = 1_769_829_255_926;

fn new(name: &str) -> NewToken {
    NewToken { name: name.into(), role: Role::Viewer, services: vec!["*".into()], expires_ms: None }
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data/tokens.json");
    (folder, file)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_file_is_its_owners_alone_and_whole_after_every_change() {
    let (_folder, file) = place();
    let ann = tokens::create(&file, new("ann"), [1; 32], NOW).unwrap();
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let bob = tokens::create(&file, new("bob"), [2; 32], NOW).unwrap();
    let loaded = Tokens::load(&file).unwrap();
    assert_eq!(loaded.find(ann.reveal()).unwrap().name, "ann");
    assert_eq!(tokens::revoke(&file, "ann").unwrap().name, "ann");
    let loaded = Tokens::load(&file).unwrap();
    assert_eq!(loaded.find(ann.reveal()), None);
    assert_eq!(loaded.find(bob.reveal()).unwrap().role, Role::Viewer);
    assert_eq!(mode(&file), 0o600);
    let names = std::fs::read_dir(file.parent().unwrap()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["tokens.json", "tokens.json.lock"], "nothing is left behind");
}

#[test]
fn what_a_crash_left_behind_is_in_nobodys_way() {
    let (_folder, file) = place();
    tokens::create(&file, new("ann"), [1; 32], NOW).unwrap();
    std::fs::write(file.with_file_name("tokens.json.new"), "half a fi").unwrap();
    tokens::create(&file, new("bob"), [2; 32], NOW).unwrap();
    assert_eq!(Tokens::load(&file).unwrap().iter().count(), 2);
}

#[test]
fn a_refused_change_leaves_the_file_as_it_was() {
    let (_folder, file) = place();
    tokens::create(&file, new("ann"), [1; 32], NOW).unwrap();
    let before = std::fs::read(&file).unwrap();
    assert!(matches!(tokens::create(&file, new("ann"), [9; 32], NOW), Err(TokensError::Duplicate { .. })));
    assert!(matches!(tokens::create(&file, new("a b"), [9; 32], NOW), Err(TokensError::Invalid(_))));
    assert!(matches!(tokens::revoke(&file, "zoe"), Err(TokensError::Unknown { .. })));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_damaged_missing_or_open_file_is_an_error_and_never_no_tokens() {
    let (_folder, file) = place();
    assert!(matches!(Tokens::load(&file), Err(TokensError::Missing { .. })));
    assert!(matches!(tokens::revoke(&file, "ann"), Err(TokensError::Missing { .. })));
    assert!(!file.parent().unwrap().exists(), "asking makes nothing");
    tokens::create(&file, new("ann"), [1; 32], NOW).unwrap();
    let whole = std::fs::read_to_string(&file).unwrap();
    for damaged in [&whole[..whole.len() / 2], "", "[]", "\u{0}\u{0}"] {
        std::fs::write(&file, damaged).unwrap();
        let error = Tokens::load(&file).unwrap_err();
        assert!(matches!(error, TokensError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        let refused = tokens::create(&file, new("bob"), [2; 32], NOW);
        assert!(matches!(refused, Err(TokensError::Damaged { .. })), "nothing is written over damage");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged);
    }
    std::fs::write(&file, whole.replace("\"version\": 1", "\"version\": 9")).unwrap();
    assert!(matches!(Tokens::load(&file), Err(TokensError::Newer { found: 9, .. })));
    std::fs::write(&file, &whole).unwrap();
    for mode in [0o620, 0o602, 0o666] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = Tokens::load(&file).unwrap_err();
        assert!(matches!(error, TokensError::Open { .. }) && error.to_string().contains("chmod 600"), "{error}");
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o440)).unwrap();
    assert_eq!(Tokens::load(&file).unwrap().iter().count(), 1, "one that is mounted to be read is read");
}

#[test]
fn a_link_stays_a_link() {
    let folder = TempDir::new().unwrap();
    let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
    tokens::create(&real, new("ann"), [1; 32], NOW).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    tokens::create(&link, new("bob"), [2; 32], NOW).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(Tokens::load(&real).unwrap().iter().count(), 2);
}

#[test]
fn of_many_who_change_it_at_once_nobody_is_lost() {
    let (_folder, file) = place();
    std::thread::scope(|threads| {
        for number in 0..16u8 {
            let file = &file;
            threads.spawn(move || tokens::create(file, new(&format!("t{number}")), [number; 32], NOW).unwrap());
        }
    });
    assert_eq!(Tokens::load(&file).unwrap().iter().count(), 16);
}

fn token(file: &Path, arguments: &[&str]) -> Ended {
    patchgate(&[&["token"], arguments, &["--tokens", file.to_str().unwrap()]].concat(), &[])
}

#[test]
fn a_secret_is_shown_once_and_kept_nowhere() {
    let (_folder, file) = place();
    let made = token(
        &file,
        &["create", "--name", "ci", "--role", "operator", "--services", "shop-*,cart", "--expires", "90d"],
    );
    assert_eq!(made.code, 0, "{made:?}");
    let secret = made.out.trim_end();
    assert!(secret.starts_with("pgt_") && secret.len() == 68 && made.out.lines().count() == 1, "{made:?}");
    assert!(!made.err.contains(secret) && made.err.contains("shown this once"), "{made:?}");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(!kept.contains(&secret[4..]), "{kept}");
    let loaded = Tokens::load(&file).unwrap();
    let found = loaded.find(secret).unwrap();
    assert_eq!((found.role, found.is_for("shop-eu"), found.is_for("pay")), (Role::Operator, true, false));
    assert_eq!(found.expires_ms.unwrap() - found.created_ms, 90 * 86_400_000);
    let listed = token(&file, &["list"]);
    for part in ["ci", "operator", "shop-*,cart", "in 89d"] {
        assert!(listed.out.contains(part), "{part} in {listed:?}");
    }
    assert!(!listed.out.contains(&secret[4..]));
    let json: Value = serde_json::from_str(&token(&file, &["list", "-o", "json"]).out).unwrap();
    assert_eq!(json[0]["name"], "ci");
    assert!(json[0].get("hash").is_none(), "{json}");
}

#[test]
fn two_tokens_have_two_secrets() {
    let (_folder, file) = place();
    let one = token(&file, &["create", "--name", "one", "--role", "viewer"]);
    let json = token(&file, &["create", "--name", "two", "--role", "viewer", "-o", "json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_ne!(json["token"], one.out.trim_end());
}

#[test]
fn token_commands_say_what_helps() {
    let (_folder, file) = place();
    let none = token(&file, &["list"]);
    assert!(none.code == 1 && none.err.contains("patchgate token create --tokens"), "{none:?}");
    assert_eq!(token(&file, &["create", "--name", "ann", "--role", "admin"]).code, 0);
    let twice = token(&file, &["create", "--name", "ann", "--role", "admin"]);
    assert!(twice.code == 1 && twice.err.contains("patchgate token revoke ann"), "{twice:?}");
    let unknown = token(&file, &["revoke", "bob"]);
    assert!(unknown.code == 1 && unknown.err.contains("there is `ann`"), "{unknown:?}");
    let revoked = token(&file, &["revoke", "ann"]);
    assert_eq!((revoked.code, &*revoked.out), (0, "token `ann` is revoked\n"));
    let system = token(&file, &["create", "--name", "x", "--role", "system"]);
    assert_eq!(system.code, 2, "{system:?}");
}

#[test]
fn a_configuration_names_the_token_file() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("gate.yaml"));
    let text = format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - {{ name: shop, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["127.0.0.1:9"] }} }}
admin: {{ address: "127.0.0.1:0", store: {{ file: "{}" }} }}
"#,
        data.display()
    );
    std::fs::write(&file, text).unwrap();
    let made = patchgate(&["token", "create", "--name", "ann", "--role", "admin", "-c", file.to_str().unwrap()], &[]);
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(Tokens::load(&data.join("tokens.json")).unwrap().iter().count(), 1);
}
