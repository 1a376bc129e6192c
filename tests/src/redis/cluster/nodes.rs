//! What `CLUSTER NODES` says.

use std::ops::RangeInclusive;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows a primary.
    Replica,
}

/// A node, as another knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its name.
    pub id: String,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// What it is.
    pub role: Role,
    /// The name of the primary that it follows.
    pub primary: Option<String>,
    /// Whether most primaries hold it for gone, or the one that tells does.
    pub failed: bool,
    /// Whether the one that tells has a connection to it.
    pub connected: bool,
    /// Whether it is not yet known to be a node.
    pub in_handshake: bool,
    /// The slots that it has; those that move are still here.
    pub slots: Vec<RangeInclusive<u16>>,
}

pub(super) fn parse(text: &str) -> Vec<ClusterNode> {
    text.lines().filter_map(node).collect()
}

/// `ID HOST:PORT@BUS[,NAME] FLAGS PRIMARY PING PONG EPOCH LINK SLOTS…`
fn node(line: &str) -> Option<ClusterNode> {
    let mut words = line.split_whitespace();
    let (id, address, flags, primary) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let port = address.split_once(':')?.1.split('@').next()?.parse().ok()?;
    let flags: Vec<_> = flags.split(',').collect();
    let connected = words.nth(3)? == "connected";
    Some(ClusterNode {
        id: id.to_owned(),
        port,
        role: if flags.contains(&"master") { Role::Primary } else { Role::Replica },
        primary: (primary != "-").then(|| primary.to_owned()),
        failed: flags.iter().any(|flag| matches!(*flag, "fail" | "fail?")),
        connected,
        in_handshake: flags.iter().any(|flag| matches!(*flag, "handshake" | "noaddr")),
        slots: words.filter_map(range).collect(),
    })
}

/// What is in brackets moves, and is told again by whom has it.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_with_its_slots_and_without_those_that_move() {
        let text = "a1 127.0.0.1:7001@17001,host myself,master - 0 0 1 connected 0-5460 9 [93->-b2] [7-<-c3]\n\
                    b2 127.0.0.1:7002@17002 slave,fail? a1 0 1 1 disconnected\n\
                    c3 127.0.0.1:7003@17003 handshake - 0 0 0 connected\n";
        let nodes = parse(text);
        assert_eq!(nodes.len(), 3);
        assert_eq!(
            (nodes[0].port, nodes[0].role, nodes[0].slots.clone()),
            (7001, Role::Primary, vec![0..=5460, 9..=9])
        );
        assert_eq!((nodes[1].role, nodes[1].primary.as_deref()), (Role::Replica, Some("a1")));
        assert!(nodes[1].failed && !nodes[1].connected && !nodes[0].failed && nodes[0].connected);
        assert!(nodes[2].in_handshake);
    }
}
