//! Starts the service as a process of its own and starts it again when it crashes, as systemd or Kubernetes would.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::oneshot,
};

use crate::settings::told_to_stop;

/// The argument that tells the child what it is: unlike the environment, nothing below it inherits that.
const CHILD: &str = "supervised";

/// Between a crash and the next start. One can watch the service being away, and a crash at every start burns no CPU.
const PAUSE: Duration = Duration::from_millis(400);

pub(crate) fn is_child() -> bool {
    env::args().nth(1).is_some_and(|argument| argument == CHILD)
}

pub(crate) async fn run() -> io::Result<ExitCode> {
    let mut address = None;
    loop {
        let mut child = start(address)?;
        let process = child.id().unwrap_or_default();
        let status = attend(&mut child, &mut address).await?;
        match (status.code(), address) {
            (Some(code), _) if !crashed(code) => {
                return Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from));
            }
            // One that never came up would not come up the next time.
            (_, None) => return Ok(ExitCode::FAILURE),
            (_, Some(address)) => eprintln!("process {process} died ({status}); http://{address} is back in a moment"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn start(address: Option<SocketAddr>) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(CHILD).env("SUPERVISE", "0").stdin(Stdio::piped()).stdout(Stdio::piped());
    // A port that was free the first time is now the one that clients know.
    if let Some(address) = address {
        command.env("PORT", address.port().to_string());
    }
    command.spawn()
}

/// Waits for the child's end, passing on the order to stop and what it says at its first start.
async fn attend(child: &mut Child, address: &mut Option<SocketAddr>) -> io::Result<ExitStatus> {
    // The child stops when its standard input ends. So it also does when this process is killed.
    let mut lifeline = child.stdin.take();
    let listening = announcement(child.stdout.take(), address);
    tokio::pin!(listening);
    let mut silent = false;
    loop {
        tokio::select! {
            () = &mut listening, if !silent => silent = true,
            () = told_to_stop(), if lifeline.is_some() => lifeline = None,
            status = child.wait() => return status,
        }
    }
}

/// Reads all that the child prints, as a full pipe would stop it.
async fn announcement(stdout: Option<ChildStdout>, address: &mut Option<SocketAddr>) {
    let (Some(stdout), first) = (stdout, address.is_none()) else { return };
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if first {
            // Whoever started this may have closed the pipe after the first line.
            let _ = writeln!(io::stdout(), "{line}");
            *address = address.or_else(|| line.strip_prefix("listening on http://")?.parse().ok());
        }
    }
}

/// Without signals, a process that aborts ends with a code that no program of ours returns.
fn crashed(code: i32) -> bool {
    !(0..=2).contains(&code)
}

/// Resolves when the supervisor is gone or wants the child to stop; never in a process that has none.
pub(crate) async fn lifeline_ends() {
    if !is_child() {
        return std::future::pending().await;
    }
    let (ended, end) = oneshot::channel();
    // Not tokio's: a read of standard input would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = io::stdin().read(&mut [0]);
        let _ = ended.send(());
    });
    let _ = end.await;
}
