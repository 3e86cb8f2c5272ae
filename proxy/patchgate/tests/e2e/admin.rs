//! A gateway with an admin API, and a client of that which speaks plain HTTP.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use patchgate_admin::log::Fold;
use patchgate_admin::store::file::scan;
use patchgate_testkit::client::Client;
use patchgate_testkit::process::Gateway;
use serde_json::{Value, json};

/// The events of a data directory, folded as an auditor would.
pub(crate) fn folded(data: &Path) -> Fold {
    let mut fold = Fold::default();
    for record in scan(data).unwrap() {
        fold.record(&record.unwrap()).unwrap();
    }
    fold
}

/// One service, `shop`, and an event log in `data`.
pub(crate) fn config(stable: SocketAddr, data: &Path) -> String {
    format!(
        r#"
workers: 2
listeners: [{{ name: web, address: "127.0.0.1:0", assign: true }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v2.1.2, endpoints: ["{stable}"] }}
admin:
  address: "127.0.0.1:0"
  store: {{ file: "{}" }}
  limits: {{ requests_per_second: 10000 }}
health: {{ address: "127.0.0.1:0" }}
drain: {{ delay: 200ms, timeout: 10s }}
"#,
        data.display()
    )
}

/// A rollout of `shop` that gives a share of the requests to `hot_fix`.
pub(crate) fn rollout(name: &str, hot_fix: SocketAddr) -> Value {
    json!({
        "name": name, "service": "shop", "version": "v2.1.3", "group": "backend-canary",
        "endpoints": [hot_fix.to_string()], "assign": [{"percent": {"key": "random"}}],
        "stages": [{"percent": "1%"}, {"percent": "25%"}, {"percent": "50%"}, {"percent": "100%"}],
    })
}

/// Somebody who uses the API.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    address: SocketAddr,
    actor: &'static str,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Admin {
    pub(crate) fn of(gateway: &Gateway, actor: &'static str) -> Self {
        Self { address: gateway.address("admin"), actor }
    }

    /// What the API says; as an error if the connection broke before it had.
    pub(crate) fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        let (actor, length) = (self.actor, body.len().to_string());
        let own = [("x-patchgate-actor", actor), ("content-type", "application/json"), ("content-length", &*length)];
        for (name, value) in own.iter().chain(fields) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut client = Client::connect(self.address)?;
        client.send(head + "\r\n" + body)?;
        let reply = client.reply()?;
        let body = serde_json::from_slice(&reply.body).map_err(io::Error::other)?;
        Ok(Answer { status: reply.status, body })
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &[], "").unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// A change, with the version that was seen.
    pub(crate) fn change(&self, path: &str, version: u64) -> Answer {
        self.ask("POST", path, &[("if-match", &format!("\"{version}\""))], "{}").unwrap()
    }

    pub(crate) fn create(&self, rollout: &Value) -> Answer {
        self.ask("POST", "/v1/rollouts", &[], &json!({ "rollout": rollout }).to_string()).unwrap()
    }
}
