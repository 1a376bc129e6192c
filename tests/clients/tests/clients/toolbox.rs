//! Python and Node with the clients' packages, in the versions of the lock files, below the target directory. Nothing
//! is installed globally.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Below this package: what the page shows.
pub const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// The interpreter of a virtual environment that has the packages of `clients/python/requirements.txt`.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let requirements = format!("{CLIENTS}/python/requirements.txt");
        let python = folder.join("bin/python");
        install(&folder, &[&requirements], || {
            let advice = "install Python 3.10 or newer with venv (Debian: apt install python3-venv)";
            run(Command::new("python3").args(["-m", "venv"]).arg(&folder), advice);
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--requirement", &requirements]);
            run(&mut pip, "the versions of requirements.txt come from PyPI: is it reachable?");
        });
        python
    })
}

/// A folder with `node_modules` as `clients/node/package-lock.json` has them, and the programs beside it.
pub fn node() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
        let locks = ["package.json", "package-lock.json"].map(|name| format!("{CLIENTS}/node/{name}"));
        let advice = "install Node 20 or newer with npm (https://nodejs.org, or Debian's nodejs and npm)";
        let version = run(Command::new("node").arg("--version"), advice);
        let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        assert!(major.is_some_and(|major: u32| major >= 20), "node is {}: {advice}", version.trim());
        install(&folder, &locks.each_ref().map(String::as_str), || {
            fs::create_dir_all(&folder).expect("the target directory can be written");
            for lock in &locks {
                let name = Path::new(lock).file_name().expect("a file");
                fs::copy(lock, folder.join(name)).expect("the target directory can be written");
            }
            run(
                Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder),
                advice,
            );
        });
        // Node looks for packages above the program that imports them.
        for entry in fs::read_dir(format!("{CLIENTS}/node")).expect("the clients are there") {
            let path = entry.expect("an entry can be read").path();
            if path.extension().is_some_and(|extension| extension == "mjs") {
                fs::copy(&path, folder.join(path.file_name().expect("a file"))).expect("a file can be copied");
            }
        }
        folder
    })
}

/// curl, with the options that the page uses.
pub fn curl() -> &'static str {
    static CURL: OnceLock<&str> = OnceLock::new();
    CURL.get_or_init(|| {
        let advice = "install curl 7.76 or newer (Debian: apt install curl)";
        let version = run(Command::new("curl").arg("--version"), advice);
        let number = version.split_whitespace().nth(1).unwrap_or_default();
        let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
        let release = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        assert!(release >= (7, 76), "curl is {number}: {advice}");
        "curl"
    })
}

/// Runs `install` unless it has run for these very lock files.
fn install(folder: &Path, locks: &[&str], install: impl FnOnce()) {
    let wanted: String = locks.iter().map(|lock| fs::read_to_string(lock).expect("the lock files are there")).collect();
    fs::create_dir_all(folder.parent().expect("a folder in the target directory")).expect("it can be written");
    // Two runs may share the target directory.
    let turn = File::create(folder.with_extension("lock")).expect("the target directory can be written");
    turn.lock().expect("a file can be locked");
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return;
    }
    let _ = fs::remove_dir_all(folder);
    install();
    fs::write(stamp, wanted).expect("the target directory can be written");
}

fn run(command: &mut Command, advice: &str) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {advice}"));
    assert!(output.status.success(), "{command:?}: {}\n{advice}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
