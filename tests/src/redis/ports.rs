//! Ports for servers that come back: a port that a killed server left must not be anybody else's when it returns.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Below the ports that systems give to outgoing connections (Linux from 32768 on), as is that of the bus.
const FIRST: u16 = 10_000;
const COUNT: u16 = 12_000;

/// What a node of a Cluster adds to its port for the bus that the nodes talk over, unless it is told otherwise.
const TO_BUS: u16 = 10_000;

/// A port that is free with its bus's, and that no other call in this process is given.
pub(super) fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    // Processes that start at the same time look in different places.
    let start = (nanos / 97).wrapping_add(std::process::id().wrapping_mul(631));
    (0..u32::from(COUNT))
        .filter_map(|step| u16::try_from(start.wrapping_add(step) % u32::from(COUNT)).ok())
        .map(|offset| FIRST + offset)
        .find(|port| !given.contains(port) && is_free(*port) && is_free(port + TO_BUS) && given.insert(*port))
        .expect("a port from 10000 on is free")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_even_when_it_is_free_again() {
        let ports: HashSet<_> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
    }
}
