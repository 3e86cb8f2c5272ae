//! `patchgate demo`: the main job before one's eyes. Two sample backends, two collectors, a gateway and a rollout in
//! one process; traffic of three kinds and a killed backend; what happened, as a table, and one request's whole story.

mod parts;
mod report;
mod story;
mod traffic;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use patchgate_config::load::{Loaded, from_text};
use patchgate_proxy::panics;

use crate::app::Gateway;
use crate::cli::DemoArgs;
use parts::{Backend, Collector};
use report::Report;
use traffic::{Kind, Traffic};

type Error = Box<dyn std::error::Error>;

/// What the two backends run.
const STABLE: &str = "v2.1.2";
const HOT_FIX: &str = "v2.1.3-alpha";
const GROUP: &str = "backend-canary";
const PERCENT: u32 = 25;

/// Runs it; failure if what was seen is not what should be.
pub(crate) fn demo(args: &DemoArgs) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let fine = runtime.block_on(show(args))?;
    runtime.shutdown_background();
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show(args: &DemoArgs) -> Result<bool, Error> {
    panics::install_hook();
    let stable = Backend::start(STABLE).await?;
    let hot_fix = Backend::start(HOT_FIX).await?;
    let (normal, canary) = (Collector::start().await?, Collector::start().await?);
    let text = config(&stable, &hot_fix, &normal, &canary);
    let loaded = load(&text)?;
    let gateway = Gateway::start(&loaded.model, None).await?;
    println!("{}", report::picture(&gateway, &stable, &hot_fix));
    let mut traffic = Traffic::new(&gateway, args.requests)?;
    let mut screen = Screen::default();
    for kind in [Kind::Unmarked, Kind::Marked, Kind::Assigned] {
        traffic.send(kind, |traffic| screen.draw(&Report::new(traffic, &gateway))).await?;
    }
    let story = story::of_one_marked_request(&gateway).await?;
    let hot_fix_address = hot_fix.address;
    hot_fix.kill();
    traffic.send(Kind::Fallback, |traffic| screen.draw(&Report::new(traffic, &gateway))).await?;
    let seen = Report::new(&traffic, &gateway);
    screen.last(&seen);
    let telemetry = Arc::clone(&gateway.telemetry);
    let shipped = gateway.stop().await;
    let (normal, canary) = (normal.spans(), canary.spans());
    println!("{}", story.tell(&canary));
    let fine = seen.verify(&telemetry.metrics, &normal, &canary, shipped, story.is_whole(&canary));
    if args.serve {
        serve(&loaded, &text, hot_fix_address).await?;
    }
    Ok(fine)
}

/// The table on the terminal, drawn over itself; elsewhere it is printed once, at the end.
#[derive(Debug, Default)]
struct Screen {
    lines: usize,
}

impl Screen {
    fn draw(&mut self, report: &Report) {
        if std::io::stdout().is_terminal() {
            self.last(report);
        }
    }

    fn last(&mut self, report: &Report) {
        let table = report.table();
        if self.lines > 0 {
            // Up to the table's first line, and clear what follows.
            print!("\x1b[{}A\x1b[J", self.lines);
        }
        self.lines = table.lines().count() + 1;
        println!("{table}");
    }
}

/// The same once more, for whoever wants to try: a gateway of its own, so that what was verified stays apart.
async fn serve(loaded: &Loaded, text: &str, hot_fix: SocketAddr) -> Result<(), Error> {
    let _hot_fix = Backend::start_at(HOT_FIX, hot_fix).await?;
    let gateway = Gateway::start(&loaded.model, None).await?;
    println!("{}", report::commands(&gateway, text));
    tokio::signal::ctrl_c().await?;
    println!();
    gateway.stop().await;
    Ok(())
}

/// A configuration as a user would write it, with the ports that were free.
fn config(stable: &Backend, hot_fix: &Backend, normal: &Collector, canary: &Collector) -> String {
    format!(
        r#"listeners:
  - {{ name: edge, address: "127.0.0.1:0", assign: true }}   # rollout rules mark requests here
  - {{ name: mesh, address: "127.0.0.1:0" }}                 # marks come with the requests
services:
  - name: checkout
    routes: [{{ path_prefix: /checkout }}]
    stable: {{ version: {STABLE}, endpoints: ["{}"] }}
rollouts:
  - name: checkout-npe-fix
    service: checkout
    version: {HOT_FIX}
    group: {GROUP}
    endpoints: ["{}"]
    assign: [{{ percent: {{ key: "cookie:uid" }} }}]
    stages: [{{ percent: {PERCENT} }}]
telemetry:
  service_name: patchgate-demo
  sampling: {{ default: 0.1 }}
  otlp: {{ endpoint: "http://{}" }}
  canary: {{ otlp: {{ endpoint: "http://{}" }} }}
health: {{ address: "127.0.0.1:0" }}
"#,
        stable.address, hot_fix.address, normal.address, canary.address
    )
}

fn load(text: &str) -> Result<Loaded, Error> {
    from_text("demo.yaml", text, &|_| None).map_err(|report| report.to_string().into())
}
