//! `patchgate check` and `patchgate schema`.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use patchgate_config::diagnostic::Report;
use patchgate_config::load::{LoadError, load, schema as json_schema};
use patchgate_config::report::{self, Colour};
use patchgate_config::rules::Severity;

use crate::cli::{CheckArgs, CheckFormat};
use crate::reload::environment;

/// Warnings, and they were not to be.
const STRICT: u8 = 2;

/// Checks a file; see `patchgate check --help` for the exit code.
pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    let loaded = load(&args.config, &environment);
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
