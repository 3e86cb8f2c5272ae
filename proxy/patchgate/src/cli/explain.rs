//! `patchgate explain`.

use clap::Args;

use super::parse;
use super::server::ServerArgs;

pub(crate) const EXAMPLES: &str = "\
Examples:
  patchgate explain http://shop.example.com/checkout
  patchgate explain --header 'x-beta: 1' --tracestate patch-group=backend-canary,patch-version=v2.1.3 http://shop.example.com/checkout
  patchgate explain --trace 4bf92f3577b34da6a3ce929d0e0e4736";

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Where the request goes: http://HOST/PATH?QUERY, or /PATH.
    #[arg(required_unless_present = "trace")]
    pub(crate) url: Option<String>,
    /// A header field of it; may be given several times.
    #[arg(long, value_name = "NAME: VALUE", value_parser = parse::header)]
    pub(crate) header: Vec<(String, String)>,
    /// Its tracestate. Without --traceparent one is made up, as no tracestate is read without it.
    #[arg(long, value_name = "LIST")]
    pub(crate) tracestate: Option<String>,
    /// Its traceparent.
    #[arg(long, value_name = "VALUE")]
    pub(crate) traceparent: Option<String>,
    /// The client's address [default: 127.0.0.1].
    #[arg(long, value_name = "IP")]
    pub(crate) client: Option<std::net::IpAddr>,
    /// The listener that it comes to [default: the first one].
    #[arg(long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    /// Its method [default: GET].
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// Instead: the trace id of a request that came a moment ago.
    #[arg(
        long,
        value_name = "ID",
        value_parser = parse::trace_id,
        conflicts_with_all = ["url", "header", "tracestate", "traceparent", "client", "listener", "method"]
    )]
    pub(crate) trace: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
