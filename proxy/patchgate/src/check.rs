//! `patchgate check` and `patchgate schema`.

use std::io::IsTerminal;
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
        Err(error @ LoadError::Unreadable { .. }) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    tell(report, args.format);
    match &loaded {
        Err(_) => ExitCode::FAILURE,
        Ok(_) if args.strict && report.count(Severity::Warning) > 0 => ExitCode::from(STRICT),
        Ok(_) => ExitCode::SUCCESS,
    }
}

fn tell(report: &Report, format: CheckFormat) {
    match format {
        CheckFormat::Human => {
            let colour = if std::io::stdout().is_terminal() { Colour::Always } else { Colour::Never };
            print!("{}", report::human(report, colour));
        }
        CheckFormat::Json => println!("{:#}", report::json(report)),
        CheckFormat::Sarif => println!("{:#}", report::sarif(report)),
    }
}

/// Prints the schema.
pub(crate) fn schema() -> ExitCode {
    println!("{:#}", json_schema());
    ExitCode::SUCCESS
}
