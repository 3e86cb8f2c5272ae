//! `patchgate check` and `patchgate schema`.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;
use patchgate_config::diagnostic::Report;
use patchgate_config::load::{LoadError, load, schema as json_schema};
use patchgate_config::report::{self, Colour};
use patchgate_config::rules::Severity;

use crate::cli::{CheckArgs, CheckFormat};
use crate::reload::environment;

/// Warnings, and they were not to be.
const STRICT: u8 = 2;

/// Most bytes of an answer that are shown.
const MAX_ANSWER: u64 = 1024;

/// A gateway that does not say within this time whether it is ready is not.
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks a file, a gateway, or both; see `patchgate check --help` for the exit code.
pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    let file = args.config.as_deref().map_or(ExitCode::SUCCESS, |config| check_file(config, args));
    match &args.health {
        Some(url) if file == ExitCode::SUCCESS => check_health(url),
        _ => file,
    }
}

fn check_file(config: &Path, args: &CheckArgs) -> ExitCode {
    let loaded = load(config, &environment);
    let report = match &loaded {
        Ok(loaded) => &loaded.report,
        Err(LoadError::Invalid(report)) => report,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = tell(report, args.format) {
        return untold(&error);
    }
    match &loaded {
        Err(_) => ExitCode::FAILURE,
        Ok(_) if args.strict && report.count(Severity::Warning) > 0 => ExitCode::from(STRICT),
        Ok(_) => ExitCode::SUCCESS,
    }
}

/// Asks `/readyz`: for `helm test`, and for images, which have no other client.
fn check_health(url: &str) -> ExitCode {
    match ready(url) {
        Ok(()) => match print(format_args!("{url} is ready\n")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => untold(&error),
        },
        Err(why) => {
            eprintln!("patchgate: error: {url} is not ready: {why}");
            ExitCode::FAILURE
        }
    }
}

fn ready(url: &str) -> Result<(), String> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent();
    let probe = format!("{}/readyz", url.trim_end_matches('/'));
    let mut answer = agent.get(probe).call().map_err(|error| error.to_string())?;
    if answer.status() == StatusCode::OK {
        return Ok(());
    }
    let says = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string().unwrap_or_default();
    Err(format!("status {}, {}", answer.status().as_u16(), says.trim()))
}

fn tell(report: &Report, format: CheckFormat) -> io::Result<()> {
    match format {
        CheckFormat::Human => {
            let colour = if io::stdout().is_terminal() { Colour::Always } else { Colour::Never };
            print(report::human(report, colour))
        }
        CheckFormat::Json => print(format_args!("{:#}\n", report::json(report))),
        CheckFormat::Sarif => print(format_args!("{:#}\n", report::sarif(report))),
    }
}

/// Prints the schema.
pub(crate) fn schema() -> ExitCode {
    match print(format_args!("{:#}\n", json_schema())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => untold(&error),
    }
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no error.
fn print(text: impl Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match write!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn untold(error: &io::Error) -> ExitCode {
    eprintln!("patchgate: error: cannot write to standard output: {error}");
    ExitCode::FAILURE
}
