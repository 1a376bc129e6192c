//! Who keeps a server of a test's own: a shell that owns the server and its directory, and ends with the test's process.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// The server ends, and its directory goes, when this is dropped or the process ends in any way.
#[derive(Debug)]
pub(crate) struct Keeper {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub(crate) directory: PathBuf,
}

impl Keeper {
    /// Runs the shell's script. It is given the folder for temporary files, the server's program and the arguments; it
    /// tells the directory that it has made, and then answers each command by a line.
    pub(crate) fn spawn(script: &str, program: &Path, arguments: &[String]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script, "keeper"]).arg(env::temp_dir()).arg(program).args(arguments);
        // A variable such as PGDATA or PGOPTIONS belongs to the caller's own servers.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        // Postgres refuses to run as root, and no server need.
        if is_root() {
            let (uid, gid) = normal_user();
            command.uid(uid).gid(gid);
        }
        // No inherited output: whoever reads the test's output to its end would wait for the keeper, too.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.current_dir("/").process_group(0).spawn().expect("`sh` runs");
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("the output is piped"));
        let mut keeper = Self { process, commands, answers, directory: PathBuf::new() };
        keeper.directory = keeper.answer().into();
        assert!(keeper.directory.is_dir(), "the user that runs the server has no directory for temporary files");
        keeper
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        let commands = self.commands.as_mut().expect("the keeper listens until it is dropped");
        writeln!(commands, "{command}").expect("the keeper listens");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the keeper answers in text");
        line.trim_end().to_owned()
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("log")).unwrap_or_default()).into_owned()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.process.wait();
    }
}

pub(crate) fn is_root() -> bool {
    id(&["-u"]) == Some(0)
}

pub(crate) fn normal_user() -> (u32, u32) {
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|user| Some((id(&["-u", user])?, id(&["-g", user])?)))
        .expect("no server of a test runs as root, and there is no user `postgres` or `nobody` to run it as")
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
