//! Whether the admin API can be reached, who says where it is, and what makes us known there.

use std::net::TcpListener;

use bytes::Bytes;
use http::Response;
use patchgate_testkit::upstream::Upstream;
use serde_json::json;

use crate::scripted::{Api, json_response, patchgate, problem, rollout};

/// An address where nobody listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn config(folder: &tempfile::TempDir, admin: &str) -> String {
    let file = folder.path().join("gate.yaml");
    let data = folder.path().join("data");
    let text = format!(
        r#"
listeners: [{{ name: web, address: "127.0.0.1:0" }}]
services:
  - {{ name: shop, routes: [{{ path_prefix: / }}], stable: {{ version: v1, endpoints: ["127.0.0.1:9"] }} }}
admin: {{ address: "{admin}", store: {{ file: "{}" }} }}
"#,
        data.display()
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn who_cannot_be_reached_is_told_with_who_named_it() {
    let (folder, nobody) = (tempfile::TempDir::new().unwrap(), nobody());
    let file = config(&folder, &nobody);
    let url = format!("http://{nobody}");
    for (arguments, environment, origin) in [
        (&["--server", &*url][..], "http://127.0.0.1:1", "from --server".to_owned()),
        (&["-c", &*file], "http://127.0.0.1:1", format!("admin.address of {file}")),
        (&[], &*url, "from $PATCHGATE_SERVER".to_owned()),
    ] {
        let list = [&["rollout", "list"], arguments].concat();
        let ended = patchgate(&list, &[("PATCHGATE_SERVER", &environment)]);
        assert_eq!(ended.code, 1, "{ended:?}");
        let told = format!("patchgate: error: cannot reach the admin API at {url} ({origin}): connection refused; ");
        assert!(ended.err.starts_with(&told) && ended.err.lines().count() == 1, "{ended:?}");
    }
}

#[test]
fn a_configuration_names_the_server() {
    let api = Api::start(|_, _| json_response(200, &rollout("canary")));
    let folder = tempfile::TempDir::new().unwrap();
    let file = config(&folder, api.url.strip_prefix("http://").unwrap());
    let ended = patchgate(&["rollout", "get", "fix", "-c", &file], &[("PATCHGATE_SERVER", &"http://127.0.0.1:1")]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let any = file.replace("gate.yaml", "none.yaml");
    let ended = patchgate(&["rollout", "get", "fix", "-c", &any], &[]);
    assert!(ended.code == 1 && ended.err.contains("none.yaml"), "{ended:?}");
}

#[test]
fn a_token_is_sent_from_where_it_is_kept_and_shown_nowhere() {
    let refuse = |_: usize, _: &_| problem(401, "unauthenticated", "this token is unknown", json!({}));
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "pgt_secret2\n").unwrap();
    for (arguments, expected) in [
        (&["rollout", "list"][..], "Bearer pgt_secret1"),
        (&["rollout", "list", "--token-file", file.to_str().unwrap()], "Bearer pgt_secret2"),
    ] {
        let api = Api::start(refuse);
        let environment: [(&str, &dyn AsRef<std::ffi::OsStr>); 2] =
            [("PATCHGATE_TOKEN", &"pgt_secret1"), ("PATCHGATE_SERVER", &api.url)];
        let ended = patchgate(arguments, &environment);
        assert_eq!(api.seen()[0].header("authorization"), expected);
        assert_eq!(api.seen()[0].header("x-patchgate-actor"), "", "a token has a name");
        assert_eq!(ended.code, 1);
        assert!(ended.err.contains("$PATCHGATE_TOKEN") && !ended.err.contains("secret"), "{ended:?}");
    }
    let empty = patchgate(&["rollout", "list"], &[("PATCHGATE_TOKEN", &" ")]);
    assert!(empty.code == 1 && empty.err.contains("holds no token"), "{empty:?}");
}

#[test]
fn a_token_does_not_follow_a_redirect() {
    let elsewhere = Upstream::named("elsewhere");
    let location = format!("http://{}/v1/rollouts", elsewhere.address);
    let api = Api::start(move |_, _| {
        Response::builder().status(307).header("location", &location).body(Bytes::new()).unwrap()
    });
    let ended = patchgate(&["rollout", "list", "--server", &api.url], &[("PATCHGATE_TOKEN", &"pgt_secret")]);
    assert!(ended.code == 1 && ended.err.contains("not as an admin API does"), "{ended:?}");
    assert_eq!(elsewhere.requests(), 0);
}

#[test]
fn a_proxy_of_the_environment_sees_nothing() {
    let proxy = Upstream::named("proxy");
    let api = Api::start(|_, _| json_response(200, &rollout("canary")));
    let address = format!("http://{}", proxy.address);
    let environment: [(&str, &dyn AsRef<std::ffi::OsStr>); 4] =
        [("http_proxy", &address), ("HTTP_PROXY", &address), ("ALL_PROXY", &address), ("no_proxy", &"")];
    let ended = patchgate(&["rollout", "get", "fix", "--server", &api.url], &environment);
    assert_eq!((ended.code, proxy.requests()), (0, 0), "{ended:?}");
}

#[test]
fn what_is_no_admin_api_is_told_as_such() {
    let site = Upstream::named("<html>");
    let ended = patchgate(&["rollout", "list", "--server", &format!("http://{}", site.address)], &[]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("answers, but not as an admin API does"), "{ended:?}");
    for (url, expected) in
        [("https://gate", "TLS"), ("http://a:b@gate", "--token-file"), ("ftp://gate", "http://HOST:PORT")]
    {
        let ended = patchgate(&["rollout", "list", "--server", url], &[]);
        assert!(ended.code == 1 && ended.err.contains(expected), "{ended:?}");
    }
}
