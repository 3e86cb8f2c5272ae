use super::*;

const NOW: Millis = 1_769_829_255_926;

fn new(name: &str) -> NewToken {
    NewToken { name: name.into(), role: Role::Operator, services: vec!["shop-*".into()], expires_ms: None }
}

fn secret(byte: u8) -> Secret {
    Secret::from_random([byte; SECRET_BYTES])
}

/// Tokens `ann` (secret of ones) and `bob` (secret of twos).
fn two() -> Tokens {
    let mut tokens = Tokens::default();
    tokens.add(new("ann"), &secret(1), NOW).unwrap();
    tokens.add(new("bob"), &secret(2), NOW).unwrap();
    tokens
}

fn damage(text: &str) -> String {
    match Tokens::parse(text.as_bytes()) {
        Err(Misread::Damaged(what)) => what,
        Err(Misread::Form(found)) => format!("form {found}"),
        Ok(tokens) => panic!("{text} is read as {tokens:?}"),
    }
}

#[test]
fn a_secret_finds_its_own_token_and_nothing_else_does() {
    let tokens = two();
    assert_eq!(tokens.find(secret(1).reveal()).unwrap().name, "ann");
    assert_eq!(tokens.find(secret(2).reveal()).unwrap().name, "bob");
    let one = secret(1).reveal().to_owned();
    for wrong in [secret(3).reveal(), "", "ann", &one[1..], &one.to_uppercase(), &format!("{one} ")] {
        assert_eq!(tokens.find(wrong), None, "{wrong}");
    }
    let hash = tokens.iter().next().unwrap().hash.to_string();
    assert_eq!(tokens.find(&hash), None, "who has read the file has no secret");
}

#[test]
fn a_secret_has_256_bits_and_a_prefix_that_scanners_know() {
    let text = secret(0xab).reveal().to_owned();
    assert_eq!(text, format!("pgt_{}", "ab".repeat(32)));
}

#[test]
fn what_is_written_is_read_back_and_holds_no_secret() {
    let mut tokens = two();
    tokens.add(NewToken { expires_ms: Some(NOW + 1), ..new("eve") }, &secret(7), NOW).unwrap();
    let text = tokens.to_json();
    assert_eq!(Tokens::parse(text.as_bytes()).ok(), Some(tokens.clone()));
    for secret in [secret(1), secret(2), secret(7)] {
        assert!(!text.contains(secret.reveal()) && !text.contains(&secret.reveal()[PREFIX.len()..]), "{text}");
        assert!(!format!("{tokens:?}").contains(secret.reveal()));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}

#[test]
fn a_name_is_taken_once() {
    let mut tokens = two();
    let error = tokens.add(new("bob"), &secret(9), NOW).unwrap_err();
    assert!(matches!(&error, TokensError::Duplicate { name } if name == "bob"), "{error}");
    assert!(error.to_string().contains("patchgate token revoke bob"), "{error}");
    assert_eq!(tokens, two(), "nothing has changed");
}

#[test]
fn a_revoked_token_is_worth_nothing_and_its_name_is_free_again() {
    let mut tokens = two();
    assert_eq!(tokens.remove("ann").unwrap().name, "ann");
    assert_eq!(tokens.find(secret(1).reveal()), None);
    assert_eq!(tokens.find(secret(2).reveal()).unwrap().name, "bob");
    tokens.add(new("ann"), &secret(3), NOW).unwrap();
    assert_eq!(tokens.find(secret(1).reveal()), None);
    let error = tokens.remove("zoe").unwrap_err().to_string();
    assert!(error.contains("`zoe`") && error.contains("`bob`, `ann`"), "{error}");
}

#[test]
fn a_token_expires_at_its_time() {
    let mut tokens = Tokens::default();
    tokens.add(NewToken { expires_ms: Some(NOW + 10), ..new("ann") }, &secret(1), NOW).unwrap();
    let token = tokens.find(secret(1).reveal()).unwrap();
    assert!(!token.is_expired(NOW + 9) && token.is_expired(NOW + 10));
    assert!(!two().iter().any(|token| token.is_expired(Millis::MAX)));
    let error = tokens.add(NewToken { expires_ms: Some(NOW), ..new("bob") }, &secret(2), NOW).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[test]
fn a_token_goes_for_the_services_that_its_patterns_name() {
    let mut tokens = Tokens::default();
    let services = vec!["shop".to_owned(), "pay-*".to_owned()];
    tokens.add(NewToken { services, ..new("ann") }, &secret(1), NOW).unwrap();
    let token = tokens.iter().next().unwrap();
    assert!(token.is_for("shop") && token.is_for("pay-eu"));
    assert!(!token.is_for("shop-eu") && !token.is_for("pay") && !token.is_for(""));
}

#[test]
fn what_makes_no_token_is_refused() {
    let long = "n".repeat(65);
    for name in ["", "a b", "ann\n", "ünal", "a`b", &*long] {
        let error = Tokens::default().add(new(name), &secret(1), NOW).unwrap_err().to_string();
        assert!(error.contains("name has 1 to 64"), "{name:?}: {error}");
    }
    for services in [vec![], vec![String::new()], vec!["a b".to_owned()], vec!["ok".to_owned(), "\t".to_owned()]] {
        let error = Tokens::default().add(NewToken { services, ..new("ann") }, &secret(1), NOW).unwrap_err();
        assert!(error.to_string().contains("patterns of service names"), "{error}");
    }
    let error = Tokens::default().add(NewToken { role: Role::System, ..new("ann") }, &secret(1), NOW).unwrap_err();
    assert!(error.to_string().contains("patchgate's own"), "{error}");
}

#[test]
fn every_way_to_damage_a_file_is_told_without_what_was_in_it() {
    let whole = two().to_json();
    let hash = two().iter().next().unwrap().hash.to_string();
    for (text, expected) in [
        (String::new(), "not what patchgate writes"),
        ("[]".to_owned(), "not what patchgate writes"),
        ("{}".to_owned(), "not what patchgate writes"),
        (r#"{"version":1}"#.to_owned(), "not what patchgate writes"),
        (whole[..whole.len() / 2].to_owned(), "not what patchgate writes"),
        (whole.replace("\"role\"", "\"rôle\""), "not what patchgate writes"),
        (whole.replace("operator", "emperor"), "not what patchgate writes"),
        (whole.replace("\"services\"", "\"admin\": true, \"services\""), "not what patchgate writes"),
        (whole.replace("operator", "system"), "patchgate's own"),
        (whole.replace("bob", "ann"), "token 2: `ann` is there twice"),
        (whole.replace(&hash, "abc"), "token 1: its hash is none"),
        (whole.replace("shop-*", ""), "patterns of service names"),
        (whole.replace("\"version\": 1", "\"version\": 2"), "form 2"),
    ] {
        let told = damage(&text);
        assert!(told.contains(expected), "{told} of {text}");
        assert!(!told.contains(&hash[..8]), "{told}");
    }
    let twice = whole.replace(&two().iter().nth(1).unwrap().hash.to_string(), &hash);
    assert!(damage(&twice).contains("`bob` is there twice"), "one secret for two names");
}

#[test]
fn a_damaged_file_of_any_bytes_is_an_error_and_never_no_tokens() {
    let whole = two().to_json().into_bytes();
    for at in 0..whole.len() {
        let mut cut = whole.clone();
        cut.truncate(at);
        assert!(Tokens::parse(&cut).is_err() || at == whole.len() - 1, "cut at {at}: only the line's end may miss");
    }
}
