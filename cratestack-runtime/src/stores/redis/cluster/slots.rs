//! Which primary has which slot: what a node tells of all, and what a redirect tells of one.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use redis::cluster::NodeAddress;
use redis::cluster_routing::Slot;
use redis::{ErrorKind, RedisError, RedisResult, Value};

use super::super::node::Node;

/// What a node says who does not know where another one is.
const UNKNOWN_HOST: &str = "?";

/// The answer to `CLUSTER SLOTS`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Topology {
    pub(super) slots: Vec<(RangeInclusive<u16>, NodeAddress)>,
    pub(super) replicas: Vec<NodeAddress>,
}

impl Topology {
    /// As the node on this host tells it, which may leave out its own host.
    pub(super) fn parse(answer: &Value, host: &str) -> RedisResult<Self> {
        let mut topology = Self { slots: Vec::new(), replicas: Vec::new() };
        let ranges = if let Value::Array(ranges) = answer { ranges.as_slice() } else { &[] };
        for range in ranges {
            let Value::Array(parts) = range else { continue };
            let [Value::Int(first), Value::Int(last), nodes @ ..] = parts.as_slice() else { continue };
            let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(*last)) else { continue };
            let mut nodes = nodes.iter().map(|node| address(node, host));
            // The first one is the primary. A slot whose primary nobody can reach has none.
            if let Some(Some(primary)) = nodes.next() {
                topology.slots.push((first..=last, primary));
            }
            topology.replicas.extend(nodes.flatten());
        }
        topology.replicas.sort_unstable();
        topology.replicas.dedup();
        if topology.slots.is_empty() {
            return Err(RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "a node of the Cluster names no primary that has slots",
                format!("{answer:?}"),
            )));
        }
        Ok(topology)
    }
}

/// From a host, or none for the host of the node that tells, a port, and what does not matter here.
fn address(node: &Value, asked_host: &str) -> Option<NodeAddress> {
    let Value::Array(parts) = node else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let port = u16::try_from(*port).ok().filter(|port| *port > 0)?;
    let host = match host {
        Value::Nil => "",
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        _ => return None,
    };
    reachable(host, asked_host).map(|host| NodeAddress::new(host, port))
}

/// `HOST:PORT`, as a redirect of the node on `asked_host` spells it. `None` where the node does not know.
pub(super) fn redirected(address: &str, asked_host: &str) -> Option<NodeAddress> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    reachable(host, asked_host).map(|host| NodeAddress::new(host, port))
}

fn reachable<'a>(host: &'a str, asked_host: &'a str) -> Option<&'a str> {
    match host {
        UNKNOWN_HOST => None,
        // Bound to every address of its own, it does not know by which it is reached.
        "" | "0.0.0.0" | "::" => Some(asked_host),
        host => Some(host),
    }
}

/// A node, and where it is.
pub(super) struct Member {
    pub(super) address: NodeAddress,
    pub(super) node: Arc<Node>,
}

/// Who has which slot, as far as this process knows.
#[derive(Default)]
pub(super) struct SlotMap {
    /// By the number of a primary. Keyed, as the client's slots do not tell their own numbers.
    owners: HashMap<Slot, u16>,
    primaries: Vec<Arc<Member>>,
    replicas: Vec<NodeAddress>,
}

impl SlotMap {
    /// The primary that has the slot, and its number.
    pub(super) fn owner(&self, slot: Slot) -> Option<(usize, &Arc<Member>)> {
        let number = usize::from(*self.owners.get(&slot)?);
        self.primaries.get(number).map(|primary| (number, primary))
    }

    pub(super) fn primaries(&self) -> &[Arc<Member>] {
        &self.primaries
    }

    pub(super) fn replicas(&self) -> &[NodeAddress] {
        &self.replicas
    }

    /// The node at this address, which stays known until the slots are told anew.
    pub(super) fn member(&mut self, address: &NodeAddress, open: impl FnOnce() -> Arc<Member>) -> &Arc<Member> {
        let number = self.number(address, open);
        &self.primaries[number]
    }

    fn number(&mut self, address: &NodeAddress, open: impl FnOnce() -> Arc<Member>) -> usize {
        let known = self.primaries.iter().position(|primary| primary.address == *address);
        known.unwrap_or_else(|| {
            self.primaries.push(open());
            self.primaries.len() - 1
        })
    }

    /// What one redirect tells.
    pub(super) fn learn(&mut self, slot: Slot, address: &NodeAddress, open: impl FnOnce() -> Arc<Member>) {
        if let Ok(number) = u16::try_from(self.number(address, open)) {
            self.owners.insert(slot, number);
        }
    }

    /// What a node tells of all. Connections to those who stay are kept, and those to the others end with their calls.
    pub(super) fn replace(&mut self, topology: Topology, open: impl Fn(&NodeAddress) -> Arc<Member>) {
        // In the order in which they were, as the number of a primary is that of its queue.
        let stays = |known: &&Arc<Member>| topology.slots.iter().any(|(_, address)| *address == known.address);
        let primaries = self.primaries.iter().filter(stays).cloned().collect();
        let mut next = Self { primaries, replicas: topology.replicas, owners: HashMap::new() };
        for (slots, address) in topology.slots {
            let number = next.number(&address, || open(&address));
            let Ok(number) = u16::try_from(number) else { continue };
            next.owners.extend(slots.filter_map(Slot::new).map(|slot| (slot, number)));
        }
        *self = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), bulk("an id"), Value::Array(Vec::new())])
    }

    fn range(first: i64, last: i64, nodes: &[Value]) -> Value {
        Value::Array([&[Value::Int(first), Value::Int(last)], nodes].concat())
    }

    fn at(host: &str, port: u16) -> NodeAddress {
        NodeAddress::new(host, port)
    }

    fn open(address: &NodeAddress) -> Arc<Member> {
        let client = redis::Client::open(("nowhere.invalid", 1)).unwrap();
        Arc::new(Member { address: address.clone(), node: Arc::new(Node::new(client)) })
    }

    fn owner(map: &SlotMap, slot: u16) -> Option<String> {
        map.owner(Slot::new(slot).unwrap()).map(|(_, primary)| primary.address.to_string())
    }

    #[test]
    fn slots_are_read_with_their_primaries_and_replicas() {
        let answer = Value::Array(vec![
            range(0, 8_191, &[node(bulk("10.0.0.1"), 6_379), node(bulk("10.0.0.3"), 6_379)]),
            range(8_192, 16_383, &[node(bulk("fe80::1"), 6_380), node(bulk("10.0.0.3"), 6_379)]),
        ]);
        let topology = Topology::parse(&answer, "asked").unwrap();
        assert_eq!(topology.slots, [(0..=8_191, at("10.0.0.1", 6_379)), (8_192..=16_383, at("fe80::1", 6_380))]);
        assert_eq!(topology.replicas, [at("10.0.0.3", 6_379)]);
    }

    #[test]
    fn a_node_that_does_not_name_its_host_is_where_it_was_asked_and_one_that_nobody_knows_is_nowhere() {
        for host in [Value::Nil, bulk(""), bulk("0.0.0.0"), bulk("::")] {
            let answer = Value::Array(vec![range(0, 5, &[node(host.clone(), 7_000)])]);
            assert_eq!(Topology::parse(&answer, "asked").unwrap().slots, [(0..=5, at("asked", 7_000))], "{host:?}");
        }
        let answer = Value::Array(vec![
            range(0, 5, &[node(bulk("?"), 7_000), node(bulk("b"), 7_001)]),
            range(6, 9, &[node(bulk("c"), 7_002)]),
        ]);
        let topology = Topology::parse(&answer, "asked").unwrap();
        assert_eq!(topology.slots, [(6..=9, at("c", 7_002))], "its replica takes no writes");
        assert_eq!(topology.replicas, [at("b", 7_001)]);
    }

    #[test]
    fn an_answer_of_another_kind_is_an_error_and_no_part_of_one_panics() {
        let odd = [
            Value::Nil,
            Value::Array(Vec::new()),
            Value::Array(vec![Value::Nil, Value::Array(Vec::new()), range(0, 5, &[])]),
            Value::Array(vec![range(-1, 5, &[node(bulk("a"), 1)]), range(0, 70_000, &[node(bulk("a"), 1)])]),
            Value::Array(vec![range(0, 5, &[Value::Nil]), range(0, 5, &[Value::Array(vec![bulk("a")])])]),
            Value::Array(vec![range(0, 5, &[node(bulk("a"), 0)]), range(0, 5, &[node(bulk("a"), 70_000)])]),
            Value::Array(vec![range(0, 5, &[node(Value::BulkString(vec![0xff]), 1)])]),
        ];
        for answer in odd {
            let error = Topology::parse(&answer, "asked").unwrap_err();
            assert!(error.to_string().contains("names no primary"), "{error}");
        }
        // Slots that there are not are nobody's.
        let beyond = Value::Array(vec![range(16_383, 60_000, &[node(bulk("a"), 1)]), range(9, 3, &[])]);
        let mut map = SlotMap::default();
        map.replace(Topology::parse(&beyond, "asked").unwrap(), open);
        assert_eq!(map.owners.len(), 1);
    }

    #[test]
    fn a_redirect_is_read_whatever_its_host_looks_like() {
        for (address, read) in [
            ("10.0.0.1:6379", Some(at("10.0.0.1", 6_379))),
            ("node-1.example.com:6379", Some(at("node-1.example.com", 6_379))),
            ("fe80::1:6379", Some(at("fe80::1", 6_379))),
            ("[fe80::1]:6379", Some(at("fe80::1", 6_379))),
            (":6379", Some(at("asked", 6_379))),
            ("?:6379", None),
            ("10.0.0.1:0", None),
            ("10.0.0.1:port", None),
            ("10.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(redirected(address, "asked"), read, "{address:?}");
        }
    }

    #[test]
    fn a_slot_is_learnt_alone_and_all_are_told_anew() {
        let whole = |primary: &str| Topology {
            slots: vec![(0..=8_000, at(primary, 1)), (8_001..=16_383, at("b", 1))],
            replicas: Vec::new(),
        };
        let mut map = SlotMap::default();
        assert_eq!(owner(&map, 7), None);
        map.replace(whole("a"), open);
        let kept = Arc::clone(&map.primaries()[1]);
        assert_eq!((owner(&map, 0), owner(&map, 16_383)), (Some("a:1".to_owned()), Some("b:1".to_owned())));

        let slot = Slot::new(7).unwrap();
        map.learn(slot, &at("c", 1), || open(&at("c", 1)));
        assert_eq!((owner(&map, 7), owner(&map, 8)), (Some("c:1".to_owned()), Some("a:1".to_owned())));
        map.learn(slot, &at("b", 1), || panic!("it is known"));
        assert_eq!(owner(&map, 7), Some("b:1".to_owned()));

        map.replace(whole("d"), open);
        assert_eq!(owner(&map, 7), Some("d:1".to_owned()));
        assert_eq!(map.primaries().len(), 2, "a and c have left");
        assert!(map.primaries().iter().any(|known| Arc::ptr_eq(known, &kept)), "the connections to b are kept");
    }

    #[test]
    fn a_primary_keeps_its_number_whichever_is_told_first() {
        let whole = |first: &str, second: &str| Topology {
            slots: vec![(0..=8_000, at(first, 1)), (8_001..=16_383, at(second, 1))],
            replicas: Vec::new(),
        };
        let number = |map: &SlotMap, slot| map.owner(Slot::new(slot).unwrap()).unwrap().0;
        let mut map = SlotMap::default();
        map.replace(whole("a", "b"), open);
        let (a, b) = (number(&map, 0), number(&map, 16_383));
        map.replace(whole("b", "a"), open);
        assert_eq!((number(&map, 0), number(&map, 16_383)), (b, a));
    }

    #[test]
    fn a_slot_that_nobody_has_any_more_has_no_primary() {
        let mut map = SlotMap::default();
        map.replace(Topology { slots: vec![(0..=9, at("a", 1))], replicas: Vec::new() }, open);
        map.replace(Topology { slots: vec![(0..=5, at("a", 1))], replicas: Vec::new() }, open);
        assert_eq!((owner(&map, 5), owner(&map, 6)), (Some("a:1".to_owned()), None));
    }
}
