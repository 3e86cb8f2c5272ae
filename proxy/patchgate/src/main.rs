//! The `patchgate` binary: arguments in, exit code out. Everything else is in the modules, top to bottom.

mod app;
mod check;
mod cli;
mod client;
mod control;
mod demo;
mod health;
mod logs;
mod mark;
mod otel;
mod reload;
mod run;
mod supervisor;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

/// Many small, short-lived allocations a request are what it is made for. Without huge pages (its feature `no_thp`):
/// they cost 2 MiB for each thread that allocates at all, and brought nothing.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => return check::check(&args),
        Command::Schema => return check::schema(),
        Command::Demo(args) => demo::demo(&args),
        Command::Mark(args) => mark::mark(&args),
        Command::Rollout(args) => return client::end(client::rollout(&args)),
        Command::Explain(args) => return client::end(client::explain(&args)),
        Command::Log(args) => return client::end(client::log(&args)),
        Command::Token(args) => return client::end(client::token(&args)),
        Command::Drain(args) => return client::end(client::drain(&args)),
        Command::Completions { shell } => return client::end(client::completions(shell)),
        Command::Man { dir } => return client::end(client::man(dir.as_deref())),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("patchgate: error: {error}");
            ExitCode::FAILURE
        }
    }
}
