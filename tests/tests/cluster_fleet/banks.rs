//! The processes of the service, one of which is killed now and then.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cratestack_tests::{
    Client,
    fleet::{Bank, Rng, Setup},
};
use tokio::{task::block_in_place, time::sleep};

use crate::clients::Shop;

/// It has a database of its own, which none of the routes here uses.
const DATABASE: &str = "sqlite::memory:";

pub struct Banks {
    setup: Setup,
    running: Mutex<Vec<Bank>>,
    killed: Mutex<HashSet<u32>>,
}

impl Banks {
    pub fn start(setup: Setup, count: usize) -> Self {
        let running = (0..count).map(|nth| start(&setup, nth)).collect();
        Self { setup, running: Mutex::new(running), killed: Mutex::default() }
    }

    pub fn client(&self, nth: usize) -> Client {
        let running = self.running.lock().unwrap();
        running[nth % running.len()].client()
    }

    /// Whether this process was killed.
    pub fn was_killed(&self, pid: u32) -> bool {
        self.killed.lock().unwrap().contains(&pid)
    }

    pub fn kills(&self) -> usize {
        self.killed.lock().unwrap().len()
    }

    /// With SIGKILL, whatever it is at; another one takes its place.
    fn kill_one(&self, rng: &mut Rng) {
        let nth = {
            let mut running = self.running.lock().unwrap();
            let nth = usize::try_from(rng.below(running.len() as u64)).unwrap();
            self.killed.lock().unwrap().insert(running[nth].pid());
            running[nth].kill();
            nth
        };
        let successor = start(&self.setup, nth);
        self.running.lock().unwrap()[nth] = successor;
    }
}

fn start(setup: &Setup, nth: usize) -> Bank {
    Bank::start(env!("CARGO_BIN_EXE_bank"), DATABASE, setup, nth)
}

pub async fn kill_until(shop: Arc<Shop>, mut rng: Rng, end: Instant) {
    loop {
        let pause = Duration::from_millis(rng.between(1_000, 4_000));
        if Instant::now() + pause > end {
            return;
        }
        sleep(pause).await;
        block_in_place(|| shop.banks.kill_one(&mut rng));
    }
}
