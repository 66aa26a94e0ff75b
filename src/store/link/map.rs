//! Which node of a Cluster serves which partition, as its nodes tell it.

use super::node::Node;
use super::place::Address;
use super::slots::slot;
use crate::model::identity::{PARTITIONS, Partition};
use redis::Value;
use std::sync::Arc;

/// Who serves what. Never changed, only replaced.
#[derive(Clone, Default)]
pub(super) struct Map {
    /// By partition: its primary.
    serving: Vec<Option<Arc<Node>>>,
    /// Every primary, in the order of their slots.
    pub(super) primaries: Vec<Address>,
    /// Every node that was told of, replicas too.
    pub(super) known: Vec<Address>,
}

/// What one node tells: ranges of slots, each with its nodes, the primary first.
pub(super) struct Told(Vec<(u16, u16, Vec<Address>)>);

impl Told {
    /// Reads the answer to `CLUSTER SLOTS` that came from `teller`.
    pub(super) fn read(value: Value, teller: &Address) -> Option<Told> {
        let mut ranges = Vec::new();
        for range in items(value)? {
            let mut range = items(range)?.into_iter();
            let (first, last) = (number(range.next()?)?, number(range.next()?)?);
            let nodes: Option<Vec<_>> = range.map(|node| address(node, teller)).collect();
            ranges.push((first, last, nodes.filter(|nodes| !nodes.is_empty())?));
        }
        ranges.sort_by_key(|(first, ..)| *first);
        (!ranges.is_empty()).then_some(Told(ranges))
    }

    fn primary_of(&self, slot: u16) -> Option<&Address> {
        let (.., nodes) =
            self.0.iter().find(|(first, last, _)| (*first..=*last).contains(&slot))?;
        nodes.first()
    }
}

impl Map {
    /// The map that most of those who told agree on, partition by partition.
    pub(super) fn of(told: &[Told], mut node: impl FnMut(&Address) -> Arc<Node>) -> Map {
        let mut map = Map::default();
        for partition in Partition::all() {
            let mut votes: Vec<(&Address, usize)> = Vec::new();
            for address in told.iter().filter_map(|told| told.primary_of(slot(partition))) {
                match votes.iter_mut().find(|(named, _)| *named == address) {
                    Some((_, count)) => *count += 1,
                    None => votes.push((address, 1)),
                }
            }
            let elected = votes.iter().rev().max_by_key(|(_, count)| *count);
            map.serving.push(elected.map(|(address, _)| node(address)));
        }
        let named = |primaries: bool| {
            let mut named: Vec<Address> = Vec::new();
            for (.., nodes) in told.iter().flat_map(|told| &told.0) {
                for address in nodes.iter().take(if primaries { 1 } else { usize::MAX }) {
                    if !named.contains(address) {
                        named.push(address.clone());
                    }
                }
            }
            named
        };
        map.known = named(false);
        // One that only some name is not one any more, or not yet.
        let agreed = |address: &Address| {
            let naming = told
                .iter()
                .filter(|told| told.0.iter().any(|(.., nodes)| nodes.first() == Some(address)));
            naming.count() * 2 > told.len()
        };
        map.primaries = named(true).into_iter().filter(agreed).collect();
        map
    }

    /// The node that serves a partition.
    pub(super) fn serving(&self, partition: Partition) -> Option<&Arc<Node>> {
        self.serving.get(usize::from(partition.number()))?.as_ref()
    }

    /// The same with another node for one partition.
    pub(super) fn with(&self, partition: Partition, node: Arc<Node>) -> Map {
        let mut map = self.clone();
        map.serving.resize(usize::from(PARTITIONS), None);
        map.serving[usize::from(partition.number())] = Some(node);
        map
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.serving.iter().all(Option::is_none)
    }
}

/// Where a redirection points: `slot host:port`; without a host it is the one that gave it.
pub(super) fn redirected(details: Option<&str>, by: &str) -> Option<Address> {
    let (_, whole) = details?.trim().split_once(' ')?;
    let (host, port) = whole.rsplit_once(':')?;
    let host = if host.is_empty() { by } else { host };
    Some(Address { host: host.to_owned(), port: port.parse().ok()? })
}

fn items(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn number(value: Value) -> Option<u16> {
    redis::from_redis_value(value).ok()
}

/// A node: its host, its port, and more. A host that is not known to itself is the teller's.
fn address(node: Value, teller: &Address) -> Option<Address> {
    let mut parts = items(node)?.into_iter();
    let host: Option<String> = redis::from_redis_value(parts.next()?).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let port = number(parts.next()?)?;
    Some(Address { host: host.unwrap_or_else(|| teller.host.clone()), port })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::node::At;
    use super::super::place::{Mode, Place, Source};
    use super::*;
    use std::time::Duration;

    fn told(text: &str) -> Told {
        let bytes = text.replace(' ', "\r\n") + "\r\n";
        let teller = Address { host: "me".into(), port: 1 };
        Told::read(redis::parse_redis_value(bytes.as_bytes()).unwrap(), &teller).unwrap()
    }

    #[test]
    fn ranges_are_read_and_a_node_without_a_host_is_where_its_teller_is() {
        let two = told("*2 *3 :0 :99 *2 $1 a :7 *4 :100 :16383 *2 $-1 :8 *2 $1 c :9");
        let host = |slot| two.primary_of(slot).map(ToString::to_string);
        assert_eq!(host(99).as_deref(), Some("a:7"));
        assert_eq!(host(100).as_deref(), Some("me:8"));
    }

    fn nobody() -> Arc<Node> {
        let source = Source {
            mode: Mode::Cluster,
            urls: "redis://localhost:1".into(),
            urls_file: None,
            master: String::new(),
            ca_file: None,
            identity: None,
        };
        let place = Arc::new(Place::new(source).unwrap());
        Arc::new(Node::new(place, At::Listed(0), Duration::from_secs(1)))
    }

    #[test]
    fn the_many_outvote_one_who_has_not_heard() {
        let old = "*1 *3 :0 :16383 *2 $3 old :1";
        let new = "*1 *3 :0 :16383 *2 $3 new :1";
        for all in [[old, new, new], [new, old, new], [new, new, old]] {
            let told: Vec<Told> = all.map(told).into();
            let mut named = Vec::new();
            let map = Map::of(&told, |address| {
                named.push(address.host.clone());
                nobody()
            });
            assert!(named.iter().all(|host| host == "new"), "{named:?}");
            assert_eq!(map.primaries.len(), 1);
        }
    }

    #[test]
    fn a_redirection_names_a_node() {
        let to = |text| redirected(Some(text), "me").map(|address| address.to_string());
        assert_eq!(to("3999 127.0.0.1:6381").as_deref(), Some("127.0.0.1:6381"));
        assert_eq!(to("3999 ::1:6381").as_deref(), Some("::1:6381"));
        assert_eq!(to("3999 :6381").as_deref(), Some("me:6381"));
        assert_eq!(to("3999"), None);
    }
}
