//! `patchgate mark`: the header lines of a marked request, signed or not. Asks no server.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use patchgate_config::load::bytes_of;
use patchgate_config::mark_key::MarkKey;
use patchgate_proxy::trust::{
    Edit, Flags, Mark, MarkEdit, Signature, SignatureEdit, SpanId, TraceId, TraceParent, TraceState,
};

use crate::cli::mark::MarkArgs;

type Error = Box<dyn std::error::Error>;

/// Prints them.
pub(crate) fn mark(args: &MarkArgs) -> Result<ExitCode, Error> {
    let lines = lines(args, SystemTime::now())?;
    match io::stdout().lock().write_all(lines.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn lines(args: &MarkArgs, now: SystemTime) -> Result<String, Error> {
    let mark = Mark::new(&args.group, &args.version)?;
    let trace = match &args.trace {
        None => TraceId::from_random(fastrand::u128(..)),
        Some(text) => trace_id(text).ok_or("a trace id is 32 lowercase hexadecimal digits, not all of them zero")?,
    };
    let signature = match &args.key_file {
        None => SignatureEdit::Keep,
        Some(file) => {
            let expires = now.duration_since(SystemTime::UNIX_EPOCH)?.saturating_add(args.ttl).as_secs();
            SignatureEdit::Set(Signature::sign(&key(file)?, trace, mark, expires))
        }
    };
    let mut state = bytes::BytesMut::new();
    TraceState::default().write(&Edit { mark: MarkEdit::Set(mark), signature, ..Edit::KEEP }, &mut state);
    let parent =
        TraceParent { trace_id: trace, parent_id: SpanId::from_random(fastrand::u64(..)), flags: Flags::default() };
    let parent = parent.encode();
    let [parent, state] = [&parent[..], &state].map(String::from_utf8_lossy);
    Ok(format!("traceparent: {parent}\ntracestate: {state}\n"))
}

fn key(file: &Path) -> Result<MarkKey, Error> {
    let content = bytes_of(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let key = MarkKey::read(file.to_owned(), &content);
    Ok(key.map_err(|error| format!("{}: {error}; make one with `openssl rand -hex 32`", file.display()))?)
}

fn trace_id(text: &str) -> Option<TraceId> {
    let legal = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    TraceId::new(u128::from_str_radix(text, 16).ok().filter(|_| legal)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_printed_are_legal_headers_that_a_key_vouches_for() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("mark.key");
        std::fs::write(&file, "0f".repeat(32)).unwrap();
        let args = MarkArgs {
            group: "backend-canary".to_owned(),
            version: "v2".to_owned(),
            key_file: Some(file.clone()),
            ttl: Duration::from_secs(60),
            trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        };
        let told = lines(&args, SystemTime::UNIX_EPOCH).unwrap();
        let state = told.lines().nth(1).unwrap().strip_prefix("tracestate: ").unwrap();
        let state = TraceState::parse([state.as_bytes()]).unwrap();
        let signature = Signature::parse(state.signature().unwrap()).unwrap();
        let id = trace_id("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!(signature.verify(&[key(&file).unwrap()], id, state.mark().mark().unwrap(), 60), Ok(()));
        assert!(told.starts_with("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{told}");
        let plain = lines(&MarkArgs { key_file: None, ..args }, SystemTime::UNIX_EPOCH).unwrap();
        assert!(plain.ends_with("tracestate: patch-group=backend-canary,patch-version=v2\n"), "{plain}");
        std::fs::write(&file, "no key").unwrap();
        let error = key(&file).unwrap_err().to_string();
        assert!(error.contains("mark.key") && error.contains("openssl rand -hex 32"), "{error}");
    }
}
