//! What happens to the services and to the database, at any moment.

use std::{
    collections::HashSet,
    process::{Command, Stdio},
    time::Duration,
};

use cratestack_tests::fleet::{Bank, Rng};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::{
    LEASE, World,
    check::{self, Bought},
};

/// So many kills of services are followed by one of the database.
const OF_THE_DATABASE: u64 = 10;
/// After so many kills a service is stopped.
const STOPS: u64 = 12;
/// After so many kills all is judged, so that a defect is told early.
const LOOKS: u64 = 250;

#[derive(Debug, Clone, Copy)]
enum OfTheDatabase {
    /// By `-m immediate`.
    Immediate,
    /// Its main process, by SIGKILL.
    Postmaster,
    /// One session, by SIGKILL, after which it restarts itself.
    Session,
    /// All sessions of the services, as an administrator ends them.
    Sessions,
}

/// Kills so often, and gives back what the customers have bought that are done by then, who are none unless one failed.
pub async fn strike(
    world: &World,
    fleet: &mut [Bank],
    kills: u64,
    customers: &mut JoinSet<Result<Vec<Bought>, String>>,
) -> Result<Vec<Bought>, String> {
    let mut rng = Rng::of_round(world.seed, 0);
    let mut stopped: Option<JoinHandle<()>> = None;
    let mut number = 0;
    let mut seen = HashSet::new();
    while number < kills {
        sleep(Duration::from_millis(rng.between(10, 180))).await;
        // A customer ends before the end only where something is wrong.
        if let Some(ended) = customers.try_join_next() {
            return ended.unwrap();
        }
        number += 1;
        let first = usize::try_from(rng.below(fleet.len() as u64)).unwrap();
        let together = match rng.below(100) {
            0..80 => 1,
            80..92 => 2,
            _ => fleet.len(),
        };
        let killed: Vec<_> = (0..together).map(|nth| (first + nth) % fleet.len()).collect();
        for nth in &killed {
            fleet[*nth].kill();
            world.report.killed_a_service();
        }
        world.report.kill(number, kills);
        look(world, &mut seen).await;
        for nth in killed {
            fleet[nth] = world.start_bank(nth);
            world.services.write().await[nth] = fleet[nth].client();
        }
        if number % OF_THE_DATABASE == 0 && world.server.is_some() {
            strike_database(world, &mut rng).await;
        }
        if number % STOPS == 0 && stopped.as_ref().is_none_or(JoinHandle::is_finished) {
            let nth = usize::try_from(rng.below(fleet.len() as u64)).unwrap();
            world.report.stopped(fleet[nth].pid());
            stopped = Some(stop(fleet[nth].pid(), LEASE + Duration::from_millis(rng.below(1_000))));
        }
        if number % LOOKS == 0 {
            check::judge(world, &[]).await?;
        }
    }
    if let Some(stopped) = stopped {
        stopped.await.unwrap();
    }
    Ok(Vec::new())
}

/// What is recorded at this moment, no run does again from here on.
async fn look(world: &World, seen: &mut HashSet<(String, String)>) {
    let mut recorded = world.books.recorded_steps().await;
    recorded.retain(|step| seen.insert(step.clone()));
    world.ledger.saw_recorded(&recorded);
}

/// Stops a process for so long, and lets it go on, unless it was killed meanwhile. On SQLite it may hold the lock that
/// everybody waits for, the harness too.
fn stop(process: u32, pause: Duration) -> JoinHandle<()> {
    let signal = move |name: &str| {
        // There is no process any more that was killed.
        let _ = Command::new("kill").args([name, &process.to_string()]).stderr(Stdio::null()).status();
    };
    signal("-STOP");
    tokio::spawn(async move {
        sleep(pause).await;
        signal("-CONT");
    })
}

async fn strike_database(world: &World, rng: &mut Rng) {
    use OfTheDatabase::{Immediate, Postmaster, Session, Sessions};
    let server = world.server.as_ref().expect("only Postgres is killed");
    sleep(Duration::from_millis(rng.between(30, 250))).await;
    world.report.killed_the_database();
    match rng.pick(&[Immediate, Postmaster, Session, Sessions]) {
        Immediate => {
            server.stop_immediate().await;
            server.start().await;
        }
        Postmaster => {
            server.kill().await;
            server.start().await;
        }
        Session => {
            let sessions = world.books.sessions().await;
            if let Some(nth) = rng.any().checked_rem(sessions.len() as u64) {
                let session = sessions[usize::try_from(nth).unwrap()].to_string();
                // It may have ended by itself.
                let _ = Command::new("kill").args(["-KILL", &session]).status();
            }
        }
        Sessions => world.books.end_sessions().await,
    }
    while !world.books.answers().await {
        sleep(Duration::from_millis(10)).await;
    }
}
